//! Who looks on while plugins are called: the recorder, a trial of another version, checks.

use std::sync::Arc;

use super::address::OutputTarget;
use crate::plugin::{Batch, CallCost, CallError, Decisions, Plugin};
use crate::reference::Table;

/// One call that was made, to be looked at before it is applied.
#[derive(Clone, Copy)]
pub struct Called<'c> {
    /// The pipeline's name.
    pub pipeline: &'c str,
    /// Which of its stages, from 0.
    pub stage: usize,
    /// The version that was called.
    pub plugin: &'c Arc<Plugin>,
    /// What it was handed.
    pub batch: &'c Batch<'c>,
    /// The tables that rows in it are from.
    pub tables: &'c [Arc<Table>],
    /// The outputs that the pipeline has.
    pub outputs: &'c [OutputTarget],
    /// What it answered.
    pub result: Result<&'c Decisions, &'c CallError>,
    /// What the call cost; zero where it failed.
    pub cost: CallCost,
}

/// Looks at calls on the shard's own thread, so it must not block: it copies what it wants to keep.
pub trait Observer: Send + Sync {
    /// A call was made.
    fn called(&self, call: &Called<'_>);
}

/// All who look on.
pub type Observers = Arc<[Arc<dyn Observer>]>;
