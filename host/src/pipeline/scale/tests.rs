#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// A second after another: what is held of a window of 100, how many are settled, for how many milliseconds
/// all lanes together work.
struct Run {
    scale: Scale,
    width: usize,
    sample: Sample,
    widths: Vec<usize>,
}

impl Run {
    fn new(least: usize, most: usize) -> Self {
        let bounds = Shards { least, most, latency: Duration::from_millis(100) };
        let sample =
            Sample { at: Instant::now(), held: 0, window: 100, settled: 0, worked: Duration::ZERO };
        let scale = Scale::new(bounds, 8).unwrap();
        Self { scale, width: least, sample, widths: Vec::new() }
    }

    fn seconds(&mut self, seconds: u32, held: usize, settled: u64, worked_ms: u64) -> &mut Self {
        for _ in 0..seconds {
            let it = &mut self.sample;
            it.at += Duration::from_secs(1);
            it.held = held;
            it.settled += settled;
            it.worked += Duration::from_millis(worked_ms);
            if let Some(decision) = self.scale.look(self.width, self.sample) {
                self.width = decision.width;
                self.widths.push(decision.width);
            }
        }
        self
    }
}

#[test]
fn it_grows_while_the_window_is_full_and_its_shards_are_busy_up_to_the_most() {
    let mut run = Run::new(1, 3);
    run.seconds(SCALE_UP_LOOKS, 100, 10_000, 950);
    assert_eq!(run.width, 1, "a burst isn't a load");
    run.seconds(1, 100, 10_000, 950);
    assert_eq!(run.width, 2);
    run.seconds(60, 100, 20_000, 1_900);
    assert_eq!(run.widths, [2, 3], "and no further");
}

#[test]
fn it_grows_when_messages_take_longer_than_wanted() {
    // 40 held at 200 a second take 200 ms; the window isn't full.
    assert_eq!(Run::new(1, 4).seconds(SCALE_UP_LOOKS + 1, 40, 200, 700).width, 2);
    // At 4,000 a second it is 10 ms.
    assert_eq!(Run::new(1, 4).seconds(60, 40, 4_000, 700).width, 1);
}

#[test]
fn shards_that_wait_for_a_broker_get_no_company() {
    assert!(Run::new(1, 4).seconds(60, 100, 50, 100).widths.is_empty());
}

#[test]
fn it_shrinks_when_fewer_would_not_be_half_busy_for_a_while_down_to_the_least() {
    let mut run = Run::new(1, 3);
    run.width = 3;
    run.seconds(SCALE_DOWN_LOOKS, 5, 1_000, 600);
    assert_eq!(run.width, 3, "a lull isn't the end");
    run.seconds(1, 5, 1_000, 600);
    assert_eq!(run.width, 2, "600 ms of two shards' time");
    run.seconds(10 * SCALE_DOWN_LOOKS, 5, 1_000, 600);
    assert_eq!(run.width, 2, "600 ms are too much for one");
    run.seconds(10 * SCALE_DOWN_LOOKS, 1, 10, 20);
    assert_eq!(run.width, 1);
    run.seconds(10 * SCALE_DOWN_LOOKS, 0, 0, 0);
    assert_eq!(run.widths, [2, 1], "and no further");
}

#[test]
fn the_same_load_never_makes_it_grow_and_shrink() {
    for load in 0..30 {
        for held in [0, 20, 74, 76, 100] {
            let mut run = Run::new(1, 3);
            run.seconds(20 * SCALE_DOWN_LOOKS, held, 1_000, load * 100);
            assert!(run.widths.is_sorted(), "{load} {held}: {:?}", run.widths);
        }
    }
}

#[test]
fn there_is_nothing_to_decide_within_one_width_or_on_a_host_of_one_shard() {
    let bounds = |least, most| Shards { least, most, latency: Duration::from_millis(100) };
    assert!(Scale::new(bounds(2, 2), 8).is_none());
    assert!(Scale::new(bounds(1, 4), 1).is_none());
    assert!(Scale::new(bounds(4, 8), 4).is_none());
}
