#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use crate::pipeline::fixture::{Double, job, stage};
use crate::pipeline::job::{Fired, Job};
use crate::pipeline::stages::{Outcome, Run, Setting, run};
use crate::plugin::{Batch, CallError, Decisions, StateChange, TimerChange};
use crate::state::{Entry, Timer};
use crate::verdict::{FailureClass, Verdict};

/// Does what a body, or the name of a due timer, says: `set NAME DUE`, `cancel NAME`, `fail`.
struct Told;

impl Double for Told {
    fn process(&mut self, _: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        let mut timers = Vec::new();
        let mut messages = Vec::new();
        for (input, message) in batch.messages.iter().enumerate() {
            let told = match message.due_us {
                Some(_) => message.routing_key,
                None => std::str::from_utf8(message.body).unwrap(),
            };
            let mut verdict = Verdict::Done;
            match told.split(' ').collect::<Vec<_>>()[..] {
                ["set", name, due] => {
                    let due_us = Some(due.parse().unwrap());
                    timers.push(TimerChange { input, name: name.to_owned(), due_us });
                }
                ["cancel", name] => {
                    timers.push(TimerChange { input, name: name.to_owned(), due_us: None });
                }
                ["fail"] => {
                    verdict = Verdict::Reject { code: "told_to".to_owned(), text: String::new() };
                }
                _ => {}
            }
            messages.push(verdict.into());
        }
        let states = batch.states.iter().map(|_| StateChange::Unchanged).collect();
        Ok(Decisions { messages, states, timers })
    }
}

fn entry(timers: &[(&str, u64)]) -> Entry {
    let mut entry = Entry { generation: 7, ..Entry::default() };
    for (name, due_us) in timers {
        entry.set_timer(Timer { name: (*name).into(), due_us: *due_us, attempt: 0 });
    }
    entry
}

fn fired(name: &str, stage: usize) -> Job {
    let mut job = job("a", 0, "");
    job.message.routing_key = name.to_owned();
    job.timer = Some(Fired { stage, due_us: 5 });
    job
}

fn run_on(before: &[(&str, u64)], jobs: &[Job]) -> Run {
    run_where(false, before, jobs)
}

fn run_where(timers_full: bool, before: &[(&str, u64)], jobs: &[Job]) -> Run {
    let setting = Setting {
        stages: &[stage("p"), stage("p")],
        view: &|_, stage| (stage == 1).then(|| entry(before)),
        resolve: &|_| Err(String::new()),
        now_us: 0,
        timers_full,
    };
    run(&setting, &mut Told, jobs)
}

fn timers(run: &Run, stage: usize) -> Option<Vec<(String, u64)>> {
    let entry = run.changes.get("a", stage)?;
    Some(entry.timers().iter().map(|timer| (timer.name.to_string(), timer.due_us)).collect())
}

#[test]
fn a_due_timer_runs_at_its_own_stage_alone_and_is_gone_afterwards() {
    let run = run_on(&[("ring", 5), ("other", 9)], &[fired("ring", 1)]);
    assert_eq!(run.outcomes, [Outcome::Done(Vec::new())]);
    assert_eq!(timers(&run, 0), None);
    assert_eq!(timers(&run, 1), Some(vec![("other".to_owned(), 9)]));
}

#[test]
fn a_due_timer_may_set_itself_again() {
    let run = run_on(&[("set x 8", 5)], &[fired("set x 8", 1), job("a", 0, "set x 9")]);
    // The message set one at the first stage, where it was done.
    assert_eq!(timers(&run, 0), Some(vec![("x".to_owned(), 9)]));
    assert_eq!(timers(&run, 1), Some(vec![("x".to_owned(), 8)]));
}

#[test]
fn a_failing_timer_changes_nothing() {
    let run = run_on(&[("fail", 5)], &[fired("fail", 1)]);
    assert!(matches!(&run.outcomes[0], Outcome::Failed(failure) if failure.code == "told_to"));
    assert_eq!(timers(&run, 1), None);
}

#[test]
fn timers_alone_leave_the_generation_of_the_state_as_it_is() {
    let run = run_on(&[("set x 8", 5)], &[fired("set x 8", 1)]);
    assert_eq!(run.changes.get("a", 1).unwrap().generation, 7);
}

#[test]
fn a_message_that_sets_too_many_timers_fails_and_leaves_none() {
    let jobs: Vec<Job> = (0..=64).map(|n| job("a", 0, &format!("set t{n} {n}"))).collect();
    let run = run_on(&[], &jobs);
    let failed = run.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed(_)));
    assert_eq!(failed.count(), 1);
    assert!(
        matches!(&run.outcomes[64], Outcome::Failed(failure) if failure.code == "too_many_timers")
    );
    assert_eq!(timers(&run, 0).unwrap().len(), 64);
}

#[test]
fn a_key_that_would_be_one_too_many_to_have_timers_fails_and_one_that_has_some_goes_on() {
    let run = run_where(true, &[], &[job("a", 0, "set ring 7")]);
    let [Outcome::Failed(failure)] = &run.outcomes[..] else { panic!("{:?}", run.outcomes) };
    assert_eq!((failure.code.as_str(), failure.class), ("timers_full", FailureClass::Memory));
    assert!(run.changes.is_empty(), "it leaves nothing behind");
    let run = run_where(true, &[("set x 8", 5)], &[fired("set x 8", 1)]);
    assert_eq!(timers(&run, 1), Some(vec![("x".to_owned(), 8)]));
}
