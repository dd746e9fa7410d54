#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use super::*;
use crate::config::RetryOrder;
use crate::verdict::FailureClass;

fn policy() -> Policy {
    Policy {
        delays: true,
        retry: Retry {
            attempts: BTreeMap::from([
                (FailureClass::Retry, 4),
                (FailureClass::Deadline, 2),
                (FailureClass::Publish, 5),
            ]),
            rungs: [1, 5, 30].map(Duration::from_secs).to_vec(),
            class_rungs: BTreeMap::from([(
                FailureClass::Publish,
                [2, 60].map(Duration::from_secs).to_vec(),
            )]),
            order: RetryOrder::Free,
            park: 0,
        },
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
    let mut policy = policy();
    policy.retry.rungs.clear();
    assert_eq!(judge(&failure(FailureClass::Retry, None), 1, &policy), Sentence::End);
}

#[test]
fn a_class_with_rungs_of_its_own_climbs_and_rounds_up_on_those() {
    let retry = |attempt, after: Option<u64>| {
        let failure = failure(FailureClass::Publish, after.map(Duration::from_secs));
        judge(&failure, attempt, &policy())
    };
    let rung = |seconds| Sentence::Retry(Duration::from_secs(seconds));
    assert_eq!([1, 2, 3, 4].map(|n| retry(n, None)), [rung(2), rung(60), rung(60), rung(60)]);
    assert_eq!(retry(5, None), Sentence::End);
    assert_eq!([1, 3, 99].map(|after| retry(1, Some(after))), [rung(2), rung(60), rung(60)]);
}

#[test]
fn every_failure_at_every_attempt_has_a_sentence() {
    for class in FailureClass::ALL {
        for attempt in [0, 1, 2, 7, u32::MAX] {
            for after in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
                let sentence = judge(&failure(class, after), attempt, &policy());
                let ended = attempt >= policy().retry.attempts_of(class);
                assert_eq!(sentence == Sentence::End, ended, "{class} {attempt}");
            }
        }
    }
}
