//! `meter-validate`'s successor in the tests of dead letters: a household that feeds in has negative
//! energy, and that is no failure any more. What else was rejected still is, with the same codes.

use serde::Deserialize;
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
struct NetMeter {}

#[derive(Deserialize)]
struct Reading {
    meter: Option<String>,
    kwh: f64,
    voltage: Option<f64>,
}

impl Plugin for NetMeter {
    type State = ();

    fn process(&self, message: &Message, _: &mut (), _: &mut Context) -> Decision {
        let reading: Reading = message.decode()?;
        if reading.meter.is_none() {
            return Err(Failure::reject("missing_meter", "nobody's reading"));
        }
        if reading.kwh.abs() > 100.0 {
            return Err(Failure::reject("energy_range", format!("{} kWh", reading.kwh)));
        }
        if reading.voltage.is_some_and(|volts| !(50.0..=500.0).contains(&volts)) {
            return Err(Failure::reject("voltage_range", "a broken sensor"));
        }
        Ok(Verdict::next())
    }
}

sluicegate_sdk::export!(NetMeter);
