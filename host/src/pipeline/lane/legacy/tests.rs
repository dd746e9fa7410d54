#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::pipeline::lane::fixture::{Bench, bodies};
use crate::pipeline::publishing::Fate;

/// All keys are another shard's.
fn elsewhere() -> Spread {
    Spread::over(2).part(1, 1)
}

fn runs(bench: &mut Bench) -> Vec<String> {
    bench.work();
    let items = bench.handed();
    let told = bodies(&items);
    bench.answers(items, |_| Fate::Safe);
    told
}

#[tokio::test]
async fn keys_that_went_and_came_back_have_their_state_under_a_new_generation_and_are_known() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "x");
    assert_eq!(runs(&mut bench), ["x=1"]);
    let limits = bench.lane.shape.id_window;
    let legacy = bench.lane.share(elsewhere());
    assert!(!bench.lane.owns("a"));
    let dealt = Legacy::deal(vec![legacy], elsewhere(), limits);
    let legacy = Legacy::deal(dealt, Spread::over(1), limits).remove(0);
    let nothing = bench.lane.share(Spread::over(1));
    assert!(bench.lane.owns("a"));
    bench.lane.take_over(legacy);
    drop(nothing);

    bench.settled();
    let again = bench.arrives_again(2, "a", "x");
    bench.arrives(2, "a", "y");
    assert_eq!(runs(&mut bench), ["y=2"], "what was settled doesn't run again");
    assert_eq!(bench.settled()[0], (again, Settlement::Ack));
    assert!(bench.counter.handed[1] > bench.counter.handed[0] + 1, "{:?}", bench.counter.handed);
}

#[tokio::test]
async fn what_is_asked_about_a_key_that_went_is_not_done_here() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "x");
    runs(&mut bench);
    let _legacy = bench.lane.share(elsewhere());
    let (answer, mut answered) = tokio::sync::oneshot::channel();
    let places = bench.lane.shape.places.clone();
    bench.lane.forget("a".into(), places, answer);
    assert!(answered.try_recv().is_err(), "who asked hears that it wasn't done");
    bench.lane.idle(0, vec!["a".into()], u64::MAX);
    let _legacy = bench.lane.share(Spread::over(1));
    bench.arrives(2, "a", "y");
    assert_eq!(runs(&mut bench), ["y=2"], "its state is there");
}
