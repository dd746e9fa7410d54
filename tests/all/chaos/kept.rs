//! What the host keeps of each key when all is over: a stage of the couriers counts each input that it
//! handed on, dropped or finished, once, whatever died meanwhile.

use std::path::Path;

use serde_json::Value;
use sluicegate::limits::STATE_FOLDER;
use sluicegate::state::{Durability, EmbeddedStore, Place, StateStore as _};

use super::oracle::Oracle;
use super::workload::PIPELINES;

/// The stages that keep state, by their plugins.
const STAGES: [&str; 2] = ["first", "second"];

/// How many keys were looked at, and every one whose count isn't what its inputs say.
pub(super) fn miscounted(state: &Path, oracle: &Oracle) -> (usize, Vec<String>) {
    let store = match EmbeddedStore::open(&state.join(STATE_FOLDER), Durability::Process) {
        Ok(store) => store,
        Err(error) => return (0, vec![error.to_string()]),
    };
    let mut wrong = Vec::new();
    let counted = oracle.counted();
    for ((pipeline, key), counts) in &counted {
        let pipeline = PIPELINES[*pipeline];
        for (place, expected) in Place::of_stages(pipeline, STAGES).iter().zip(counts) {
            let kept = store.load(place, &key.to_string()).unwrap();
            let bytes = kept.and_then(|kept| kept.entry.bytes);
            let parcels = bytes.map_or(0, |bytes| {
                let handed: Value = rmp_serde::from_slice(&bytes).unwrap();
                let field = handed.get("parcels").or_else(|| handed.get(0));
                field.and_then(Value::as_u64).unwrap()
            });
            if parcels != *expected {
                wrong.push(format!("{place}, key {key}: {parcels} counted of {expected}"));
            }
        }
    }
    (counted.len() * STAGES.len(), wrong)
}
