//! One message between two stages of its batch.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Emitted, Outcome, Stage};
use crate::message::Properties;
use crate::pipeline::job::Job;
use crate::plugin::Input;
use crate::route;
use crate::verdict::{Emission, Failure};

/// A message between two stages.
pub(super) struct Progress<'j> {
    /// Its place in the batch.
    pub(super) at: usize,
    /// The job.
    pub(super) job: &'j Job,
    /// Its body, as the stages so far have left it.
    pub(super) body: Cow<'j, Bytes>,
    /// Its properties, likewise; its own, where a stage changed them.
    pub(super) properties: Cow<'j, Properties>,
    emitted: Vec<Emitted>,
    /// How it came out, once it has.
    pub(super) outcome: Option<Outcome>,
    /// Up to which stage it may have left traces in its key's state, should it have failed.
    pub(super) tainted: usize,
}

// === impl Progress ===

impl<'j> Progress<'j> {
    /// A job before the first stage.
    pub(super) fn new(at: usize, job: &'j Job) -> Self {
        Self {
            at,
            job,
            body: Cow::Borrowed(job.body()),
            properties: Cow::Borrowed(&job.message.properties),
            emitted: Vec::new(),
            outcome: None,
            tainted: 0,
        }
    }

    /// Whether a stage sees it: a message whose condition holds, a timer that was set there.
    pub(super) fn is_for(&self, at: usize, stage: &Stage) -> bool {
        if let Some(timer) = self.job.timer {
            return timer.stage == at;
        }
        let Some(when) = &stage.when else { return true };
        let kind = self.properties.kind.as_deref();
        let header = |(name, value): &(String, Option<String>)| {
            let found = self.properties.headers.get(name);
            found.is_some_and(|found| match value {
                Some(wanted) => found.as_text() == Some(wanted),
                None => true,
            })
        };
        let key = &self.job.message.routing_key;
        when.routing_key.as_ref().is_none_or(|pattern| route::topic_matches(pattern, key))
            && when.kind.as_deref().is_none_or(|wanted| kind == Some(wanted))
            && when.header.as_ref().is_none_or(header)
    }

    /// What a stage is handed of it.
    pub(super) fn input(&self, stage: usize, slot: Option<u32>) -> Input<'_> {
        Input {
            exchange: &self.job.message.exchange,
            routing_key: &self.job.message.routing_key,
            key: self.job.key.as_deref(),
            properties: &self.properties,
            body: &self.body,
            attempt: self.job.attempt,
            seed: stage_seed(self.job.seed, stage),
            slot,
            row: None,
            due_us: self.job.timer.map(|timer| timer.due_us),
        }
    }

    /// Takes down what a stage emitted.
    ///
    /// # Errors
    /// An emission names an output that there isn't.
    pub(super) fn emit(
        &mut self,
        stage: usize,
        emissions: Vec<Emission>,
        resolve: &dyn Fn(&str) -> Result<usize, String>,
    ) -> Result<(), String> {
        for (index, emission) in emissions.into_iter().enumerate() {
            let inherits = emission.body.is_none() && emission.properties.content_type.is_none();
            self.emitted.push(Emitted {
                stage,
                index,
                target: resolve(&emission.output)?,
                body: emission.body.is_none().then(|| Bytes::clone(&self.body)),
                emission,
                content_type: inherits.then(|| self.properties.content_type.clone()).flatten(),
            });
        }
        Ok(())
    }

    /// Up to which stage it left traces, having failed. A timer was at none before its own.
    pub(super) fn traces(&self) -> usize {
        let own = self.job.timer.is_some_and(|timer| timer.stage == self.tainted);
        if own { 0 } else { self.tainted }
    }

    /// It failed at that stage.
    pub(super) fn fail(&mut self, stage: usize, failure: Failure) {
        self.tainted = stage;
        self.outcome = Some(Outcome::Failed(failure));
    }

    /// How it came out, with all it emitted.
    pub(super) fn finish(self) -> Outcome {
        match self.outcome {
            Some(Outcome::Failed(failure)) => Outcome::Failed(failure),
            Some(Outcome::Dropped { reason, .. }) => {
                Outcome::Dropped { reason, emitted: self.emitted }
            }
            Some(Outcome::Done(_)) | None => Outcome::Done(self.emitted),
        }
    }
}

/// Two stages derive different ids from one message. Its own inverse: of a stage's seed it makes the
/// message's.
#[must_use]
pub fn stage_seed(mut seed: [u8; 16], stage: usize) -> [u8; 16] {
    for (byte, mix) in seed.iter_mut().zip((stage as u64).to_le_bytes()) {
        *byte ^= mix;
    }
    seed
}
