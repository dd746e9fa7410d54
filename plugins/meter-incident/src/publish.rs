//! What is told of an incident, and to whom.

use jiff::Timestamp;
use serde::Serialize;
use sluicegate_sdk::EncodeError;

use crate::incident::{Incident, Severity};
use crate::{Incidents, Step};

/// Meters that a message names; it counts all.
const NAMED: usize = 100;

#[derive(Serialize)]
struct Told<'a> {
    incident: &'a str,
    class: &'a str,
    severity: Severity,
    status: &'a str,
    /// What it is of: a transformer, or a meter.
    key: &'a str,
    region: &'a str,
    began: String,
    at: String,
    affected: usize,
    back: usize,
    /// The first of those that still have it.
    meters: Vec<&'a str>,
    escalation: u32,
    flaps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<&'a str>,
}

impl Incidents {
    /// Publishes what it has come to: for whoever binds to it, and where it is critical for all.
    pub(crate) fn tell(
        &self,
        incident: &mut Incident,
        status: &str,
        step: &mut Step<'_, '_>,
    ) -> Result<(), EncodeError> {
        let Step { key, now_s, .. } = *step;
        incident.changed = false;
        incident.told = incident.told.saturating_add(1);
        let id = incident.id(key);
        let still = incident.meters.iter().filter(|meter| !meter.back);
        let told = Told {
            incident: &id,
            class: &incident.class,
            severity: incident.severity,
            status,
            key,
            region: &incident.region,
            began: written(incident.began_s),
            at: written(now_s),
            affected: incident.affected(),
            back: incident.back(),
            meters: still.take(NAMED).map(|meter| meter.id.as_str()).collect(),
            escalation: incident.escalations,
            flaps: incident.flaps,
            acknowledged_by: incident.acknowledged_by.as_deref(),
        };
        let severity = incident.severity.as_str();
        let routing_key =
            format!("incident.{}.{severity}.{status}.{}", incident.class, incident.region);
        // Of what it says: after a crash something else may be told as the same step.
        let message_id = format!("{id}/{}/{status}/{}-{}", incident.told, told.affected, told.back);
        let critical = incident.severity == Severity::Critical;
        for output in ["incidents", "critical"].into_iter().take(1 + usize::from(critical)) {
            step.ctx
                .emit(output)
                .routing_key(&routing_key)
                .kind("incident")
                .message_id(&message_id)
                .priority(incident.severity.priority())
                .header("incident-key", key)
                .header("fault-class", incident.class.as_str())
                .header("severity", severity)
                .header("status", status)
                .header("region", incident.region.as_str())
                .json(&told)?;
        }
        Ok(())
    }
}

fn written(at_s: u64) -> String {
    let at = i64::try_from(at_s).ok().and_then(|at_s| Timestamp::from_second(at_s).ok());
    at.unwrap_or_default().to_string()
}
