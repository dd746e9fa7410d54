//! The benchmark's logic with emissions as a SmartModule that maps a record to several.

use std::cell::RefCell;
use std::collections::HashMap;

use bench_logic::{Encoding, Reading, Usual, told};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleExtraParams;
use fluvio_smartmodule::{RecordData, Result, SmartModuleRecord, smartmodule};

thread_local! {
    static STATEFUL: RefCell<bool> = const { RefCell::new(false) };
    /// Per meter, in memory: nothing else is kept for a SmartModule from record to record but an
    /// aggregate's accumulator, which would be all meters' at once and copied for each record.
    static USUAL: RefCell<HashMap<String, Usual>> = RefCell::new(HashMap::new());
}

#[smartmodule(init)]
fn init(params: SmartModuleExtraParams) -> Result<()> {
    STATEFUL.set(params.get("logic").is_some_and(|logic| logic == "anomaly"));
    Ok(())
}

#[smartmodule(array_map)]
pub fn array_map(record: &SmartModuleRecord) -> Result<Vec<(Option<RecordData>, RecordData)>> {
    let stateful = STATEFUL.with_borrow(|it| *it);
    let encoding = if stateful { Encoding::MessagePack } else { Encoding::Json };
    let Ok(reading) = Reading::check(record.value().as_ref(), encoding) else {
        return Ok(Vec::new());
    };
    let score = if stateful {
        USUAL.with_borrow_mut(|all| match all.get_mut(reading.meter) {
            Some(usual) => usual.judge(&reading),
            None => all.entry(reading.meter.to_owned()).or_default().judge(&reading),
        })
    } else {
        Some(0.0)
    };
    let mut records = Vec::with_capacity(2);
    records.push((record.key().cloned(), record.value().clone()));
    if let Some(score) = score {
        let key = format!("out/{}", reading.meter);
        records.push((Some(key.into()), told(&reading, score).into()));
    }
    Ok(records)
}
