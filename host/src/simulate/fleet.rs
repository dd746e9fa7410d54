//! The fleet: whose turn it is, what is planted, what was sent.

use std::collections::VecDeque;

use fastrand::Rng;

use super::body::{Event, Reading, Status};
use super::meter::{Encoding, Meter, TRANSFORMER_METERS, between, round};
use super::{Bad, EXCHANGE, Fault, Plant, Sent, Simulated};
use crate::broker::Outgoing;
use crate::message::{Properties, Table};

/// Seconds from one reading of a meter to the next.
const INTERVAL_S: i64 = 1800;
/// Where the fleet's time starts: 2016-01-01T00:00:00Z, far enough back for hours of a fast demo.
const START_S: i64 = 1_451_606_400;
/// Readings of a meter before its first spike, and between two: a detector has to learn first, and
/// may rest after an alarm.
const CALM_READINGS: u32 = 120;
/// One of so many readings is a spike, once there was calm.
const SPIKE_ONE_IN: u32 = 400;
/// One of so many turns brings an event besides.
const FAULT_ONE_IN: u32 = 300;
/// One of so many turns brings a report of a meter's state besides.
const STATUS_ONE_IN: u32 = 40;
/// One of so many readings is bad.
const BAD_ONE_IN: u32 = 250;
/// One of so many rounds of the fleet a transformer fails.
const OUTAGE_ONE_IN: u32 = 48;
/// Rounds after which its meters have power again.
const OUTAGE_ROUNDS: u64 = 4;
/// Priority of events; readings have none.
const EVENT_PRIORITY: u8 = 4;

/// A fleet of meters. An endless iterator.
#[derive(Clone, Debug)]
pub struct Fleet {
    rng: Rng,
    meters: Vec<Meter>,
    /// Whose turn it is in this round.
    order: Vec<usize>,
    round: u64,
    /// Messages due before the next turn.
    due: VecDeque<Simulated>,
    /// The transformer without power, and until which round.
    outage: Option<(usize, u64)>,
    sent: Sent,
}

// === impl Fleet ===

impl Fleet {
    /// A fleet of so many meters, at least one. The same seed gives the same messages.
    #[must_use]
    pub fn new(seed: u64, meters: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let meters = (1..=meters.max(1)).map(|number| Meter::new(number, &mut rng)).collect();
        Self {
            rng,
            meters,
            order: Vec::new(),
            round: 0,
            due: VecDeque::new(),
            outage: None,
            sent: Sent::default(),
        }
    }

    /// What was sent so far.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// The fleet's time, in seconds since 1970.
    #[must_use]
    pub fn now_s(&self) -> i64 {
        START_S + i64::try_from(self.round).unwrap_or(i64::MAX / INTERVAL_S) * INTERVAL_S
    }

    /// The next message.
    pub fn next_message(&mut self) -> Simulated {
        loop {
            if let Some(simulated) = self.due.pop_front() {
                self.count(&simulated);
                return simulated;
            }
            let Some(at) = self.order.pop() else {
                self.begin_round();
                continue;
            };
            self.take_turn(at);
        }
    }

    fn begin_round(&mut self) {
        self.round += 1;
        self.order = (0..self.meters.len()).collect();
        self.rng.shuffle(&mut self.order);
        let transformers = self.meters.len().div_ceil(TRANSFORMER_METERS);
        match self.outage {
            Some((transformer, until)) if self.round >= until => {
                self.outage = None;
                self.report_all(transformer, Fault::PowerRestore);
            }
            None if self.rng.u32(..OUTAGE_ONE_IN) == 0 => {
                let transformer = self.rng.usize(..transformers);
                self.outage = Some((transformer, self.round + OUTAGE_ROUNDS));
                self.report_all(transformer, Fault::PowerLoss);
            }
            Some(_) | None => {}
        }
    }

    /// Every meter of a transformer reports the same.
    fn report_all(&mut self, transformer: usize, fault: Fault) {
        for at in 0..self.meters.len() {
            if self.meters[at].transformer == transformer {
                self.report(at, fault);
            }
        }
    }

    /// A meter's turn: nothing while it has no power.
    fn take_turn(&mut self, at: usize) {
        if self.outage.is_some_and(|(transformer, _)| transformer == self.meters[at].transformer) {
            return;
        }
        if self.rng.u32(..FAULT_ONE_IN) == 0 {
            let fault = Fault::LONE[self.rng.usize(..Fault::LONE.len())];
            self.report(at, fault);
        }
        if self.rng.u32(..STATUS_ONE_IN) == 0 {
            self.say_status(at);
        }
        if self.rng.u32(..BAD_ONE_IN) == 0 {
            let bad = Bad::ALL[self.rng.usize(..Bad::ALL.len())];
            self.read_badly(at, bad);
        } else {
            self.read(at);
        }
    }

    fn report(&mut self, at: usize, fault: Fault) {
        let (id, ts) = self.next_id(at);
        let meter = &self.meters[at];
        let transformer = format!("t-{:02}", meter.transformer + 1);
        let event = Event {
            meter: &meter.id,
            ts: &ts,
            event: fault.as_str(),
            seq: meter.seq,
            region: meter.region,
            transformer: &transformer,
        };
        let body = meter.encoding.encode(&event);
        let mut message = self.message(at, "event", id, body);
        message.properties.priority = Some(EVENT_PRIORITY);
        self.due.push_back(Simulated { message, planted: Some(Plant::Fault(fault)) });
    }

    fn say_status(&mut self, at: usize) {
        let (id, ts) = self.next_id(at);
        let rssi = self.rng.i32(-110..-60);
        let meter = &self.meters[at];
        let status = Status {
            meter: &meter.id,
            ts: &ts,
            battery_v: meter.battery_v(),
            rssi,
            firmware: "4.2.1",
            seq: meter.seq,
            region: meter.region,
        };
        let body = meter.encoding.encode(&status);
        let message = self.message(at, "status", id, body);
        self.due.push_back(Simulated { message, planted: None });
    }

    fn read(&mut self, at: usize) {
        let spikes = self.meters[at].calm >= CALM_READINGS && self.rng.u32(..SPIKE_ONE_IN) == 0;
        let factor = if spikes { between(&mut self.rng, 8.0, 14.0) } else { 1.0 };
        let message = self.reading(at, factor);
        let meter = &mut self.meters[at];
        meter.calm = if spikes { 0 } else { meter.calm.saturating_add(1) };
        self.due.push_back(Simulated { message, planted: spikes.then_some(Plant::Spike) });
    }

    /// A reading of `factor` times what is used.
    fn reading(&mut self, at: usize, factor: f64) -> Outgoing {
        let (id, ts) = self.next_id(at);
        let now_s = self.now_s();
        let meter = &self.meters[at];
        let kwh = meter.kwh(now_s, INTERVAL_S, &mut self.rng);
        let reading = Reading {
            meter: &meter.id,
            ts: &ts,
            kwh: round(kwh * factor, 1000.0),
            voltage: meter.voltage(now_s, &mut self.rng),
            seq: meter.seq,
            region: meter.region,
        };
        let body = meter.encoding.encode(&reading);
        self.message(at, "reading", id, body)
    }

    fn read_badly(&mut self, at: usize, bad: Bad) {
        let mut message = self.reading(at, if bad == Bad::NegativeKwh { -1.0 } else { 1.0 });
        let (id, ts, seq) = (&self.meters[at].id, self.ts(at), self.meters[at].seq);
        let json = match bad {
            Bad::NegativeKwh => None,
            Bad::Cut => Some(format!(r#"{{"meter":"{id}","ts":"{ts}","kwh":0."#)),
            Bad::NoMeter => {
                Some(format!(r#"{{"ts":"{ts}","kwh":0.25,"voltage":230.0,"seq":{seq}}}"#))
            }
            Bad::WrongType => Some(format!(
                r#"{{"meter":"{id}","ts":"{ts}","kwh":"a lot","voltage":230.0,"seq":{seq}}}"#
            )),
            Bad::WrongContentType => Some(format!("<reading meter=\"{id}\" kwh=\"0.25\"/>")),
            Bad::Empty => Some(String::new()),
        };
        if let Some(json) = json {
            let kind = match bad {
                Bad::WrongContentType => "application/xml",
                _ => Encoding::Json.content_type(),
            };
            message.properties.content_type = Some(kind.to_owned());
            message.body = json.into();
        }
        self.due.push_back(Simulated { message, planted: Some(Plant::Bad(bad)) });
    }

    /// Counts the meter's messages; the new one's id and time.
    fn next_id(&mut self, at: usize) -> (String, String) {
        self.meters[at].seq += 1;
        let meter = &self.meters[at];
        (format!("{}-{}", meter.id, meter.seq), self.ts(at))
    }

    /// The meters of a fleet don't read themselves in the same second.
    fn ts(&self, at: usize) -> String {
        let spread = i64::try_from(at).unwrap_or(0) % INTERVAL_S;
        jiff::Timestamp::from_second(self.now_s() + spread).unwrap_or_default().to_string()
    }

    fn message(&self, at: usize, kind: &str, id: String, body: Vec<u8>) -> Outgoing {
        let meter = &self.meters[at];
        Outgoing {
            exchange: EXCHANGE.to_owned(),
            routing_key: format!("meter.{}.{}.{kind}", meter.region, meter.id),
            properties: Properties {
                content_type: Some(meter.encoding.content_type().to_owned()),
                headers: Table::from_iter([("meter-id", meter.id.as_str())]),
                kind: Some(kind.to_owned()),
                correlation_id: Some(id.clone()),
                message_id: Some(id),
                app_id: Some("sluicegate demo".to_owned()),
                ..Properties::default()
            },
            body: body.into(),
        }
    }

    fn count(&mut self, simulated: &Simulated) {
        let sent = &mut self.sent;
        sent.messages += 1;
        match simulated.message.properties.kind.as_deref() {
            Some("event") => sent.events += 1,
            Some("status") => sent.statuses += 1,
            _ => sent.readings += 1,
        }
        match simulated.planted {
            Some(Plant::Spike) => sent.spikes += 1,
            Some(Plant::Fault(_)) => sent.faults += 1,
            Some(Plant::Bad(_)) => sent.bad += 1,
            None => {}
        }
    }
}

impl Iterator for Fleet {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        Some(self.next_message())
    }
}

#[cfg(test)]
mod tests;
