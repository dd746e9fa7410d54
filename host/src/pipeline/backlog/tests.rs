#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::super::fixture::job;
use super::*;

const ALL: BatchLimits = BatchLimits { messages: usize::MAX, least: 1, bytes: usize::MAX };

fn names(jobs: &[Job]) -> Vec<String> {
    jobs.iter().map(|job| String::from_utf8(job.body().to_vec()).unwrap()).collect()
}

fn backlog(jobs: &[(&str, u8, &str)]) -> Backlog {
    let mut backlog = Backlog::default();
    for (key, priority, body) in jobs {
        backlog.push(job(key, *priority, body));
    }
    backlog
}

#[tokio::test]
async fn higher_priorities_come_first_and_equals_in_order() {
    let mut backlog = backlog(&[("a", 0, "1"), ("b", 5, "2"), ("c", 0, "3"), ("d", 5, "4")]);
    assert_eq!(names(&backlog.take(ALL, |_| true)), ["2", "4", "1", "3"]);
}

#[tokio::test]
async fn an_urgent_message_lifts_the_earlier_ones_of_its_key() {
    let mut backlog = backlog(&[("x", 0, "1"), ("a", 0, "2"), ("a", 1, "3"), ("a", 9, "4")]);
    assert_eq!(names(&backlog.take(ALL, |_| true)), ["2", "3", "4", "1"]);
}

#[tokio::test]
async fn a_message_that_is_not_ready_holds_its_key_and_nobody_else() {
    let mut backlog = backlog(&[("a", 0, "1"), ("b", 0, "2"), ("a", 0, "3")]);
    assert_eq!(names(&backlog.take(ALL, |job| &job.body()[..] != b"1")), ["2"]);
    assert_eq!(names(&backlog.take(ALL, |_| true)), ["1", "3"]);
    assert!(backlog.is_empty());
}

#[tokio::test]
async fn a_batch_is_bounded_by_messages_and_by_bytes_but_never_empty() {
    let mut backlog = backlog(&[("a", 0, "11111"), ("b", 0, "22"), ("c", 0, "33")]);
    let limits = BatchLimits { messages: 2, least: 1, bytes: 3 };
    assert_eq!(names(&backlog.take(limits, |_| true)), ["11111"]);
    assert_eq!(names(&backlog.take(limits, |_| true)), ["22"]);
}

#[tokio::test]
async fn messages_put_back_come_before_those_of_their_key_in_order() {
    let mut backlog = backlog(&[("a", 0, "3"), ("b", 0, "4")]);
    backlog.push_front(vec![job("a", 0, "1"), job("a", 0, "2")]);
    assert_eq!(names(&backlog.take(ALL, |_| true)), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn what_runs_on_former_versions_again_reaches_to_the_last_message_that_is_half_told() {
    let told = |name: &str, versions: u64| {
        let mut job = job("a", 0, name);
        (job.confirmed, job.versions) = (vec![1], versions);
        job
    };
    let mut backlog = Backlog::default();
    for (key, name) in [("b", "1"), ("a", "2")] {
        backlog.push(job(key, 0, name));
    }
    assert!(backlog.half_told(7).is_empty());
    [told("3", 7), job("a", 0, "4"), told("5", 7), told("6", 8), job("a", 0, "7")]
        .into_iter()
        .for_each(|job| backlog.push(job));
    assert_eq!(backlog.half_told(7), [("a".into(), 4)].into_iter().collect());
    assert_eq!(backlog.half_told(8), [("a".into(), 5)].into_iter().collect());
}

proptest! {
    #[test]
    fn order_per_key_holds_whatever_the_priorities(
        arrivals in prop::collection::vec((0..4u8, 0..4u8), 0..60),
        size in 1..7usize,
    ) {
        let mut backlog = Backlog::default();
        for (n, (key, priority)) in arrivals.iter().enumerate() {
            backlog.push(job(&key.to_string(), *priority, &n.to_string()));
        }
        let mut last: HashMap<Arc<str>, usize> = HashMap::default();
        let mut taken = 0;
        while !backlog.is_empty() {
            for job in backlog.take(BatchLimits { messages: size, least: 1, bytes: 100 }, |_| true) {
                let n: usize = std::str::from_utf8(job.body()).unwrap().parse().unwrap();
                let before = last.insert(job.key.clone().unwrap(), n);
                prop_assert!(before.is_none_or(|before| before < n));
                taken += 1;
            }
        }
        prop_assert_eq!(taken, arrivals.len());
        prop_assert!(backlog.keys.is_empty());
    }
}
