//! What a failure says of the stage that it happened at.

use super::Runner;
use crate::plugin::CallError;
use crate::reference::digests;
use crate::verdict::{FailedStage, Failure};

impl Runner<'_> {
    /// What a call that failed as a whole is to its messages.
    pub(super) fn call_failure(&self, stage: usize, error: CallError) -> Failure {
        Failure {
            class: error.class,
            code: error.class.as_str().to_owned(),
            text: error.text,
            stage: Some(self.failed_stage(stage)),
            backtrace: error.backtrace,
            retry_after: None,
        }
    }

    /// That stage, as its last call was made.
    pub(super) fn failed_stage(&self, index: usize) -> FailedStage {
        let plugin = self.setting.stages[index].plugin.clone();
        let digest = self.call.version(index).digest.to_owned();
        FailedStage { index, plugin, digest, tables: digests(&self.tables) }
    }
}
