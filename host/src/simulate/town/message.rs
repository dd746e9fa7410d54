//! What the meters of a town write.

use serde::Serialize;
use serde_json::json;

use super::household::Used;
use super::{Meter, TRANSFORMER_METERS};
use crate::broker::Outgoing;
use crate::message::{Properties, Table};
use crate::simulate::meter::Encoding;
use crate::simulate::{EXCHANGE, body};

/// A meter, and where it stands.
pub(super) struct Parts<'a> {
    pub(super) n: usize,
    pub(super) meter: &'a Meter,
    pub(super) region: &'static str,
}

/// The name of a transformer.
pub(super) fn transformer(number: usize) -> String {
    format!("t-{:04}", number + 1)
}

impl Parts<'_> {
    /// A reading in the long form, with its registers.
    pub(super) fn reading(&self, ts: i64, interval_s: i64, used: Used, volts: f64) -> Outgoing {
        let kwh = |wh: u64| wh as f64 / 1000.0;
        let mut obis = json!({
            "1-0:1.8.0": kwh(self.meter.import_wh),
            "1-0:1.29.0": kwh(used.import_wh),
            "1-0:32.7.0": (volts * 10.0).round() / 10.0,
        });
        if self.meter.export_wh > 0 {
            obis["1-0:2.8.0"] = json!(kwh(self.meter.export_wh));
        }
        let reading = json!({
            "v": 1, "meter": self.meter.id, "ts": written(ts), "seq": self.meter.seq, "int_s": interval_s,
            "obis": obis, "q": "GOOD",
        });
        self.message("reading", ts, None, &reading)
    }

    pub(super) fn event(&self, event: &str, ts: i64) -> Outgoing {
        let transformer = transformer(self.n / TRANSFORMER_METERS);
        let event = body::Event {
            meter: &self.meter.id,
            ts: &written(ts),
            event,
            seq: self.meter.seq,
            region: self.region,
            transformer: &transformer,
        };
        self.message("event", ts, Some(4), &event)
    }

    pub(super) fn status(&self, ts: i64, volts: f64, rssi: f64) -> Outgoing {
        let status = json!({
            "meter": self.meter.id, "ts": written(ts), "seq": self.meter.seq, "region": self.region,
            "batt_v": (volts * 1000.0).round() / 1000.0, "rssi": rssi.round(), "fw": "4.2.1",
        });
        self.message("status", ts, None, &status)
    }

    fn message(
        &self,
        kind: &str,
        ts: i64,
        priority: Option<u8>,
        body: &impl Serialize,
    ) -> Outgoing {
        // One in five writes MessagePack.
        let encoding = if self.n % 5 == 4 { Encoding::MessagePack } else { Encoding::Json };
        let Meter { id, seq, .. } = self.meter;
        Outgoing {
            exchange: EXCHANGE.to_owned(),
            routing_key: format!("meter.{}.{id}.{kind}", self.region),
            properties: Properties {
                content_type: Some(encoding.content_type().to_owned()),
                headers: Table::from_iter([("meter-id", id.as_str()), ("region", self.region)]),
                kind: Some(kind.to_owned()),
                message_id: Some(format!("{id}-{ts}-{seq}")),
                delivery_mode: Some(2),
                priority,
                ..Properties::default()
            },
            body: encoding.encode(body).into(),
        }
    }
}

fn written(at_s: i64) -> String {
    jiff::Timestamp::from_second(at_s).unwrap_or_default().to_string()
}
