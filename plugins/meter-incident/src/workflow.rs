//! What an incident goes through. What answers whether it is closed answers `true` where it is.

use std::time::Duration;

use sluicegate_sdk::{EncodeError, Failure, Timer};

use crate::incident::{Incident, Phase, Severity};
use crate::{Command, Incidents, Open, Step, after};

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
        (meter, severity): (&str, Severity),
        step: &mut Step<'_, '_>,
    ) -> Result<(), Failure> {
        let first = incident.meters.is_empty();
        let worse = severity > incident.severity;
        let news = incident.add(meter, self.meters_max);
        (incident.severity, incident.heard_s) = (incident.severity.max(severity), step.now_s);
        step.ctx.set_timer(&incident.timer("expire"), after(self.expire_s));
        incident.changed |= news || worse;
        if first {
            self.gather(incident, step);
        }
        match incident.phase {
            Phase::Gathering
                if incident.affected() >= self.at_once
                    || !self.gather.contains(&incident.class) =>
            {
                self.open(incident, step)?;
            }
            Phase::Cooling if !incident.is_well(self.restored_percent) => {
                incident.phase = Phase::Raised;
                (incident.turned_s, incident.flaps) =
                    (step.now_s, incident.flaps.saturating_add(1));
                if incident.flaps == FLAPS_TOLD {
                    self.tell(incident, "flapping", step)?;
                }
            }
            Phase::Raised if news => self.gather(incident, step),
            Phase::Gathering | Phase::Raised | Phase::Cooling => {}
        }
        Ok(())
    }

    fn open(&self, incident: &mut Incident, step: &mut Step<'_, '_>) -> Result<(), EncodeError> {
        incident.phase = Phase::Raised;
        self.tell(incident, "opened", step)?;
        self.arm_escalation(incident, step);
        Ok(())
    }

    /// What was gathered is told.
    pub(crate) fn grouped(
        &self,
        incident: &mut Incident,
        step: &mut Step<'_, '_>,
    ) -> Result<bool, EncodeError> {
        incident.gathers = false;
        match incident.phase {
            // Over before anybody was told: a flicker of few meters is no incident.
            Phase::Gathering if incident.is_well(self.restored_percent) => {
                return Ok(self.forget(incident, step));
            }
            Phase::Gathering => self.open(incident, step)?,
            // While it flaps the cooling down says what there is to say.
            Phase::Raised if incident.changed && incident.flaps == 0 => {
                self.tell(incident, "updated", step)?;
            }
            Phase::Raised | Phase::Cooling => {}
        }
        Ok(false)
    }

    /// Whatever joins it within the time is told together. A timer that is set isn't put off: it would be for as
    /// long as reports come.
    fn gather(&self, incident: &mut Incident, step: &mut Step<'_, '_>) {
        if !std::mem::replace(&mut incident.gathers, true) {
            step.ctx.set_timer(&incident.timer("group"), after(self.group_s));
        }
    }

    /// A meter has it no more.
    pub(crate) fn cleared(
        &self,
        open: &mut Open,
        at: usize,
        meter: &str,
        step: &mut Step<'_, '_>,
    ) -> Result<(), Failure> {
        let incident = &mut open.incidents[at];
        if !incident.remove(meter) {
            return Ok(());
        }
        (incident.changed, incident.heard_s) = (true, step.now_s);
        if incident.phase != Phase::Raised {
            return Ok(());
        }
        if incident.is_well(self.restored_percent) {
            incident.phase = Phase::Cooling;
            incident.turned_s = step.now_s;
            step.ctx.set_timer(&incident.timer("cool"), after(self.cool_down_s));
            step.ctx.cancel_timer(&incident.timer("escalate"));
            if incident.flaps == 0 {
                self.tell(incident, "restored", step)?;
            }
        } else {
            self.gather(incident, step);
        }
        Ok(())
    }

    /// It had the time to come back.
    pub(crate) fn cooled(
        &self,
        incident: &mut Incident,
        step: &mut Step<'_, '_>,
    ) -> Result<bool, EncodeError> {
        let calm_s = step.now_s.saturating_sub(incident.turned_s);
        if calm_s < self.cool_down_s {
            step.ctx.set_timer(&incident.timer("cool"), after(self.cool_down_s - calm_s));
            return Ok(false);
        }
        if incident.phase == Phase::Cooling {
            self.tell(incident, "closed", step)?;
            return Ok(self.forget(incident, step));
        }
        incident.flaps = 0;
        self.tell(incident, "reopened", step)?;
        self.arm_escalation(incident, step);
        Ok(false)
    }

    /// Nobody acknowledged it in time.
    pub(crate) fn escalate(
        &self,
        incident: &mut Incident,
        timer: &Timer<'_>,
        step: &mut Step<'_, '_>,
    ) -> Result<bool, EncodeError> {
        if timer.late() > OVERDUE {
            step.ctx.set_timer(timer.name(), after(CATCH_UP_S));
            return Ok(false);
        }
        if incident.phase == Phase::Raised && incident.acknowledged_by.is_none() {
            incident.escalations = incident.escalations.saturating_add(1);
            self.tell(incident, "escalated", step)?;
            self.arm_escalation(incident, step);
        }
        Ok(false)
    }

    fn arm_escalation(&self, incident: &Incident, step: &mut Step<'_, '_>) {
        let times = self.escalate_s.get(&incident.severity);
        let time = times.and_then(|times| times.get(incident.escalations as usize));
        if let (Some(time), None) = (time, &incident.acknowledged_by) {
            step.ctx.set_timer(&incident.timer("escalate"), after(*time));
        }
    }

    /// Nothing was heard of it for long.
    pub(crate) fn expired(
        &self,
        incident: &mut Incident,
        step: &mut Step<'_, '_>,
    ) -> Result<bool, EncodeError> {
        if incident.phase != Phase::Gathering {
            self.tell(incident, "closed", step)?;
        }
        Ok(self.forget(incident, step))
    }

    /// Somebody looks after it.
    pub(crate) fn acknowledge(
        &self,
        open: &mut Open,
        command: &Command,
        step: &mut Step<'_, '_>,
    ) -> Result<(), Failure> {
        let at = find(open, step.key, command)?;
        let incident = &mut open.incidents[at];
        if incident.acknowledged_by.is_none() {
            incident.acknowledged_by = Some(command.by.clone());
            step.ctx.cancel_timer(&incident.timer("escalate"));
            self.tell(incident, "acknowledged", step)?;
        }
        Ok(())
    }

    /// Somebody says that it is over.
    pub(crate) fn close_by(
        &self,
        open: &mut Open,
        command: &Command,
        step: &mut Step<'_, '_>,
    ) -> Result<(), Failure> {
        let at = find(open, step.key, command)?;
        let mut incident = open.incidents.remove(at);
        incident.acknowledged_by.get_or_insert_with(|| command.by.clone());
        self.tell(&mut incident, "closed", step)?;
        self.forget(&incident, step);
        Ok(())
    }

    /// Its timers go with it.
    fn forget(&self, incident: &Incident, step: &mut Step<'_, '_>) -> bool {
        for what in ["group", "escalate", "cool", "expire"] {
            step.ctx.cancel_timer(&incident.timer(what));
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
