//! What an incident goes through. What answers whether it is closed answers `true` where it is.

use std::time::Duration;

use sluicegate_sdk::{Context, EncodeError, Failure, Timer};

use crate::incident::{Incident, Phase, Severity};
use crate::{Command, Incidents, Open, after};

/// A timer later than this wasn't late by chance: the host was down, and an acknowledgement may be in the queue.
const OVERDUE: Duration = Duration::from_secs(10);
/// How long the queue is given then.
const CATCH_UP_S: u64 = 60;
/// Coming back so often while it cools down is told.
const FLAPS_TOLD: u32 = 3;

impl Incidents {
    /// A meter has it.
    pub(crate) fn raised(
        &self,
        incident: &mut Incident,
        key: &str,
        (meter, severity): (&str, Severity),
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let first = incident.meters.is_empty();
        let worse = severity > incident.severity;
        let news = incident.add(meter, self.meters_max);
        (incident.severity, incident.heard_s) = (incident.severity.max(severity), now_s);
        ctx.set_timer(&incident.timer("expire"), after(self.expire_s));
        incident.changed |= news || worse;
        if first {
            self.gather(incident, ctx);
        }
        match incident.phase {
            Phase::Gathering
                if incident.affected() >= self.at_once
                    || !self.gather.contains(&incident.class) =>
            {
                self.open(incident, key, now_s, ctx)?;
            }
            Phase::Cooling if !incident.is_well(self.restored_percent) => {
                incident.phase = Phase::Raised;
                (incident.turned_s, incident.flaps) = (now_s, incident.flaps.saturating_add(1));
                if incident.flaps == FLAPS_TOLD {
                    self.tell(incident, key, "flapping", now_s, ctx)?;
                }
            }
            Phase::Raised if news => self.gather(incident, ctx),
            Phase::Gathering | Phase::Raised | Phase::Cooling => {}
        }
        Ok(())
    }

    fn open(
        &self,
        incident: &mut Incident,
        key: &str,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        incident.phase = Phase::Raised;
        self.tell(incident, key, "opened", now_s, ctx)?;
        self.arm_escalation(incident, ctx);
        Ok(())
    }

    /// What was gathered is told.
    pub(crate) fn grouped(
        &self,
        incident: &mut Incident,
        key: &str,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<bool, EncodeError> {
        incident.gathers = false;
        match incident.phase {
            // Over before anybody was told: a flicker of few meters is no incident.
            Phase::Gathering if incident.is_well(self.restored_percent) => {
                return Ok(self.forget(incident, ctx));
            }
            Phase::Gathering => self.open(incident, key, now_s, ctx)?,
            // While it flaps the cooling down says what there is to say.
            Phase::Raised if incident.changed && incident.flaps == 0 => {
                self.tell(incident, key, "updated", now_s, ctx)?;
            }
            Phase::Raised | Phase::Cooling => {}
        }
        Ok(false)
    }

    /// Whatever joins it within the time is told together. A timer that is set isn't put off: it would be for as
    /// long as reports come.
    fn gather(&self, incident: &mut Incident, ctx: &mut Context<'_>) {
        if !std::mem::replace(&mut incident.gathers, true) {
            ctx.set_timer(&incident.timer("group"), after(self.group_s));
        }
    }

    /// A meter has it no more.
    pub(crate) fn cleared(
        &self,
        open: &mut Open,
        at: usize,
        key: &str,
        meter: &str,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let incident = &mut open.incidents[at];
        if !incident.remove(meter) {
            return Ok(());
        }
        (incident.changed, incident.heard_s) = (true, now_s);
        if incident.phase != Phase::Raised {
            return Ok(());
        }
        if incident.is_well(self.restored_percent) {
            incident.phase = Phase::Cooling;
            incident.turned_s = now_s;
            ctx.set_timer(&incident.timer("cool"), after(self.cool_down_s));
            ctx.cancel_timer(&incident.timer("escalate"));
            if incident.flaps == 0 {
                self.tell(incident, key, "restored", now_s, ctx)?;
            }
        } else {
            self.gather(incident, ctx);
        }
        Ok(())
    }

    /// It had the time to come back.
    pub(crate) fn cooled(
        &self,
        incident: &mut Incident,
        key: &str,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<bool, EncodeError> {
        let calm_s = now_s.saturating_sub(incident.turned_s);
        if calm_s < self.cool_down_s {
            ctx.set_timer(&incident.timer("cool"), after(self.cool_down_s - calm_s));
            return Ok(false);
        }
        if incident.phase == Phase::Cooling {
            self.tell(incident, key, "closed", now_s, ctx)?;
            return Ok(self.forget(incident, ctx));
        }
        incident.flaps = 0;
        self.tell(incident, key, "reopened", now_s, ctx)?;
        self.arm_escalation(incident, ctx);
        Ok(false)
    }

    /// Nobody acknowledged it in time.
    pub(crate) fn escalate(
        &self,
        incident: &mut Incident,
        timer: &Timer<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<bool, EncodeError> {
        if timer.late() > OVERDUE {
            ctx.set_timer(timer.name(), after(CATCH_UP_S));
            return Ok(false);
        }
        if incident.phase == Phase::Raised && incident.acknowledged_by.is_none() {
            incident.escalations = incident.escalations.saturating_add(1);
            self.tell(incident, timer.key(), "escalated", timer.now().as_secs(), ctx)?;
            self.arm_escalation(incident, ctx);
        }
        Ok(false)
    }

    fn arm_escalation(&self, incident: &Incident, ctx: &mut Context<'_>) {
        let times = self.escalate_s.get(&incident.severity);
        let time = times.and_then(|times| times.get(incident.escalations as usize));
        if let (Some(time), None) = (time, &incident.acknowledged_by) {
            ctx.set_timer(&incident.timer("escalate"), after(*time));
        }
    }

    /// Nothing was heard of it for long.
    pub(crate) fn expired(
        &self,
        incident: &mut Incident,
        key: &str,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<bool, EncodeError> {
        if incident.phase != Phase::Gathering {
            self.tell(incident, key, "closed", now_s, ctx)?;
        }
        Ok(self.forget(incident, ctx))
    }

    /// Somebody looks after it.
    pub(crate) fn acknowledge(
        &self,
        open: &mut Open,
        key: &str,
        command: &Command,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let at = find(open, key, command)?;
        let incident = &mut open.incidents[at];
        if incident.acknowledged_by.is_none() {
            incident.acknowledged_by = Some(command.by.clone());
            ctx.cancel_timer(&incident.timer("escalate"));
            self.tell(incident, key, "acknowledged", now_s, ctx)?;
        }
        Ok(())
    }

    /// Somebody says that it is over.
    pub(crate) fn close_by(
        &self,
        open: &mut Open,
        key: &str,
        command: &Command,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let at = find(open, key, command)?;
        let mut incident = open.incidents.remove(at);
        incident.acknowledged_by.get_or_insert_with(|| command.by.clone());
        self.tell(&mut incident, key, "closed", now_s, ctx)?;
        self.forget(&incident, ctx);
        Ok(())
    }

    /// Its timers go with it.
    fn forget(&self, incident: &Incident, ctx: &mut Context<'_>) -> bool {
        for what in ["group", "escalate", "cool", "expire"] {
            ctx.cancel_timer(&incident.timer(what));
        }
        true
    }
}

fn find(open: &Open, key: &str, command: &Command) -> Result<usize, Failure> {
    let named = |incident: &Incident| incident.id(key) == command.incident;
    open.incidents.iter().position(named).ok_or_else(|| {
        let text = format!("{key} has no open incident '{}'", command.incident);
        Failure::reject("unknown_incident", text)
    })
}
