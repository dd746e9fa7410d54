//! What a batch notes in the crash journal before it runs, and who runs alone.

use super::Lane;
use crate::pipeline::crash::Standing;
use crate::pipeline::job::Job;
use crate::report;
use crate::verdict::{Failure, FailureClass};

/// How a batch is to be run.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// With nothing else running in the process.
    pub(super) alone: bool,
    /// What was noted, to be struck out after it.
    pub(super) letters: Vec<String>,
}

impl Lane {
    /// Notes what was delivered before; a suspect is left alone in the batch, and what can't run with
    /// it goes back to the front. An error says why nothing can be noted: the whole batch is back.
    pub(super) fn guard(&mut self, batch: &mut Vec<Job>) -> Result<Guard, String> {
        let shape = std::sync::Arc::clone(&self.shape);
        let mut guard = Guard::default();
        if !shape.crashes.wary() {
            return Ok(guard);
        }
        let mut end = batch.len();
        for (at, job) in batch.iter_mut().enumerate() {
            if !job.redelivered || job.unfit.is_some() {
                continue;
            }
            let letter = self.letter(job);
            match shape.crashes.standing(&letter) {
                Standing::Clear => guard.letters.push(letter),
                Standing::Suspect if at == 0 => {
                    guard = Guard { alone: true, letters: vec![letter] };
                    end = 1;
                    break;
                }
                Standing::Suspect => {
                    end = at;
                    break;
                }
                Standing::Condemned(deaths) => {
                    job.unfit = Some(crash_loop(deaths));
                    job.condemned = Some(letter);
                }
            }
        }
        let noted = shape.crashes.enter(&guard.letters, guard.alone);
        let back = if noted.is_ok() { batch.split_off(end) } else { std::mem::take(batch) };
        let back = back.into_iter().map(|job| self.reopen(job)).collect();
        self.backlog.push_front(back);
        noted.map_err(|error| format!("the crash journal can't be written: {error}"))?;
        if guard.alone {
            shape.metrics.ran_alone();
        }
        Ok(guard)
    }

    /// A condemned message is settled: it is no suspect any more.
    pub(super) fn note_settled(&self, job: &Job) {
        if let Some(letter) = &job.condemned {
            self.shape.crashes.settled(letter);
        }
    }

    fn letter(&self, job: &Job) -> String {
        let message = &job.message;
        let id = message.properties.message_id.as_deref();
        let queue = &self.shape.addresses.queue;
        report::letter(queue, &message.exchange, &message.routing_key, id, &message.body)
    }
}

fn crash_loop(deaths: u32) -> Failure {
    Failure {
        class: FailureClass::Crash,
        code: "crash_loop".to_owned(),
        text: format!("{deaths} hosts died while this message ran alone; it isn't run again"),
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    }
}
