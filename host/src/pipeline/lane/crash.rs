//! What of a batch is noted in the crash journal while it runs, and who runs alone.

use super::Lane;
use crate::fault::{self, Point};
use crate::pipeline::crash::Standing;
use crate::pipeline::job::Job;
use crate::pipeline::stages::{Call, Run};
use crate::report;
use crate::verdict::{Failure, FailureClass};

/// How a batch is to be run.
#[derive(Debug, Default)]
struct Guard {
    /// With nothing else running in the process.
    alone: bool,
    /// What is noted while it runs.
    letters: Vec<String>,
}

impl Lane {
    /// Runs as much of the batch as may run together; the rest is back in the backlog. An error says why
    /// nothing could be noted: nothing ran.
    pub(super) fn run_guarded(
        &mut self,
        call: &mut dyn Call,
        batch: &mut Vec<Job>,
        now_us: u64,
    ) -> Result<Run, String> {
        let Guard { alone, letters } = self.guard(batch);
        let run = self.shape.crashes.run(letters, alone, || {
            let runs = || batch.iter().filter(|job| job.unfit.is_none());
            fault::point(Point::PreRun, || runs().map(|job| &**job.body()));
            self.run(call, batch, now_us)
        });
        if alone && run.is_ok() {
            self.shape.metrics.ran_alone();
        }
        run.map_err(|error| format!("the crash journal can't be written: {error}"))
    }

    /// Looks for what was delivered before; a suspect is left alone in the batch, and what can't run with
    /// it goes back to the front.
    fn guard(&mut self, batch: &mut Vec<Job>) -> Guard {
        let shape = std::sync::Arc::clone(&self.shape);
        let mut guard = Guard::default();
        if !shape.crashes.wary() {
            return guard;
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
        self.put_back(batch.split_off(end));
        guard
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
