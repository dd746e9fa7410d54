//! [Fluvio](https://fluvio.io)'s SmartEngine, on its own: a SmartModule is handed records and answers records.
//!
//! It has no refusal of one record (an error ends its batch), so that a record that is refused is left out
//! of the answer; no routing key; no state that its host keeps (see the guest). What it leaks is made good
//! unmeasured: a guest's answers are never freed, and a chain ends at a gigabyte.

use std::thread;

use anyhow::{Context as _, anyhow};
use fluvio_smartengine::{
    DEFAULT_SMARTENGINE_VERSION, SmartEngine, SmartModuleChainBuilder, SmartModuleChainInstance,
    SmartModuleConfig,
};
use fluvio_smartmodule::Record;
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInput;
use sluicegate_bench::dispatch::{Logic, Turns};
use sluicegate_bench::method::{Contender, Done};
use sluicegate_bench::sample::Sample;

use crate::guests;

/// Bytes of records after which a chain is replaced, before it ends by itself.
const CHAIN_BYTES: usize = 300_000_000;
/// What the guest writes before a meter's name in the key of what it tells.
const TOLD: &[u8] = b"out/";

/// A chain of one SmartModule.
pub(crate) struct Fluvio {
    chain: SmartModuleChainInstance,
    logic: Logic,
    turns: Turns,
    bytes: usize,
}

impl Fluvio {
    pub(crate) fn new(logic: Logic, samples: &[Sample], batch: usize) -> anyhow::Result<Self> {
        Ok(Self { chain: chain(logic)?, logic, turns: Turns::new(samples, batch), bytes: 0 })
    }

    fn call(&mut self, done: &mut Done) -> anyhow::Result<()> {
        if self.bytes > CHAIN_BYTES {
            self.renew()?;
        }
        let samples = self.turns.take();
        let taken = samples.len();
        let records: Vec<Record> = samples
            .iter()
            .map(|sample| Record::new_key_value(sample.key.as_bytes(), sample.body.clone()))
            .collect();
        let input = SmartModuleInput::try_from_records(records, DEFAULT_SMARTENGINE_VERSION)?;
        self.bytes += input.raw_bytes().len();
        let output = self.chain.process(input)?;
        if let Some(error) = output.error {
            return Err(anyhow!("{error}"));
        }
        let told = |record: &Record| record.key().is_some_and(|it| it.as_ref().starts_with(TOLD));
        let told = output.successes.iter().filter(|record| told(record)).count();
        done.messages += taken as u64;
        done.told += told as u64;
        done.refused += (taken + told - output.successes.len()) as u64;
        Ok(())
    }

    /// Another chain, made on another thread: what this one used is all that is measured.
    fn renew(&mut self) -> anyhow::Result<()> {
        let logic = self.logic;
        let made = thread::spawn(move || chain(logic)).join();
        self.chain = made.map_err(|_| anyhow!("the chain's thread panicked"))??;
        self.bytes = 0;
        Ok(())
    }
}

fn chain(logic: Logic) -> anyhow::Result<SmartModuleChainInstance> {
    let (name, wasm) = match logic {
        Logic::Pass | Logic::CheckJson | Logic::CheckMessagePack => ("filter", guests::FILTER),
        Logic::Route | Logic::Anomaly => ("array-map", guests::ARRAY_MAP),
    };
    let config = SmartModuleConfig::builder()
        .smartmodule_names(vec![name.to_owned()])
        .param("logic", logic.as_str())
        .build()
        .map_err(|error| anyhow!("{error}"))?;
    SmartModuleChainBuilder::from((config, wasm)).initialize(&SmartEngine::new())
}

impl Contender for Fluvio {
    fn name(&self) -> &str {
        "Fluvio SmartModule"
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for _ in 0..batches {
            self.call(&mut done).with_context(|| self.name().to_owned())?;
        }
        Ok(done)
    }
}
