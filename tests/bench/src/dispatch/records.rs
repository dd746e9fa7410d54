//! A component over a contract of records and strings, as one would write it at first.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Store};

use super::{Logic, Turns};
use crate::guests;
use crate::method::{Contender, Done};
use crate::sample::Sample;

mod contract {
    wasmtime::component::bindgen!({ world: "records", path: "guests/records/wit" });
}

use contract::{Message, Records as Guest, State, Verdict};

/// An instance of that component.
pub struct Records {
    store: Store<()>,
    guest: Guest,
    turns: Turns,
    states: HashMap<Arc<str>, Vec<u8>>,
    stateful: bool,
}

impl Records {
    /// Loads it for that logic.
    ///
    /// # Errors
    /// It doesn't load.
    pub fn new(logic: Logic, samples: &[Sample], batch: usize) -> anyhow::Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config)?;
        let component = Component::new(&engine, guests::RECORDS)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let guest = Guest::instantiate(&mut store, &component, &linker)?;
        guest.call_configure(&mut store, logic.as_str())?;
        Ok(Self {
            store,
            guest,
            turns: Turns::new(samples, batch),
            states: HashMap::new(),
            stateful: logic == Logic::Anomaly,
        })
    }

    fn call(&mut self, done: &mut Done) -> anyhow::Result<()> {
        let samples = self.turns.take();
        let messages: Vec<Message> = samples
            .iter()
            .map(|sample| Message {
                exchange: "meters".to_owned(),
                routing_key: sample.routing_key.clone(),
                key: Some(sample.key.to_string()),
                headers: Vec::new(),
                body: sample.body.to_vec(),
            })
            .collect();
        let mut keys: Vec<&Arc<str>> = Vec::new();
        if self.stateful {
            keys.extend(samples.iter().map(|sample| &sample.key));
            keys.sort_unstable();
            keys.dedup();
        }
        let states: Vec<State> = keys
            .iter()
            .map(|key| State { key: key.to_string(), bytes: self.states.get(&***key).cloned() })
            .collect();
        let (decisions, changed) = self.guest.call_process(&mut self.store, &messages, &states)?;
        for decision in &decisions {
            done.messages += 1;
            done.refused += u64::from(matches!(decision.verdict, Verdict::Reject(_)));
            done.told += decision.emissions.len() as u64;
        }
        for (key, bytes) in keys.into_iter().zip(changed) {
            if let Some(bytes) = bytes {
                self.states.insert(Arc::clone(key), bytes);
            }
        }
        Ok(())
    }
}

impl Contender for Records {
    fn name(&self) -> &str {
        "list<record>"
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for _ in 0..batches {
            self.call(&mut done)?;
        }
        Ok(done)
    }
}
