#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn policy() -> Policy {
    Policy {
        attempts: BTreeMap::from([(FailureClass::Retry, 4), (FailureClass::Deadline, 2)]),
        rungs: [1, 5, 30].map(Duration::from_secs).to_vec(),
        terminal: Terminal::Nack,
    }
}

fn failure(class: FailureClass, retry_after: Option<Duration>) -> Failure {
    Failure {
        class,
        code: class.as_str().to_owned(),
        text: String::new(),
        stage: None,
        backtrace: Vec::new(),
        retry_after,
    }
}

#[test]
fn a_class_without_attempts_ends_at_once() {
    for class in [FailureClass::Trap, FailureClass::Memory, FailureClass::Reject] {
        assert_eq!(judge(&failure(class, None), 1, &policy()), Sentence::End, "{class}");
    }
}

#[test]
fn attempts_climb_the_rungs_and_then_end() {
    let retry = failure(FailureClass::Retry, None);
    let sentences: Vec<_> = (1..=4).map(|attempt| judge(&retry, attempt, &policy())).collect();
    assert_eq!(
        sentences,
        [
            Sentence::Retry(Duration::from_secs(1)),
            Sentence::Retry(Duration::from_secs(5)),
            Sentence::Retry(Duration::from_secs(30)),
            Sentence::End
        ]
    );
}

#[test]
fn a_wished_delay_rounds_up_to_a_rung_and_stops_at_the_last() {
    for (wish_ms, rung_s) in [(0, 1), (1, 1), (1001, 5), (5000, 5), (31_000, 30)] {
        let retry = failure(FailureClass::Retry, Some(Duration::from_millis(wish_ms)));
        assert_eq!(
            judge(&retry, 3, &policy()),
            Sentence::Retry(Duration::from_secs(rung_s)),
            "{wish_ms} ms"
        );
    }
}

#[test]
fn without_rungs_nothing_is_retried() {
    let policy = Policy { rungs: Vec::new(), ..policy() };
    assert_eq!(judge(&failure(FailureClass::Retry, None), 1, &policy), Sentence::End);
}
