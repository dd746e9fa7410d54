//! Keys that nobody uses any more are forgotten when their time is up, and no others.

use std::time::Duration;

use super::world::{SINK, WORK, World, numbers, order, until};

const MAIN: &str = r##"
[[plugin]]
name = "ledger"
file = "ledger.wasm"

[[pipeline]]
name = "main"
queue = "work"
key = { header = "key" }
stages = ["ledger"]
state_ttl = "1h"
outputs.out = { exchange = "out" }
"##;

#[tokio::test(flavor = "multi_thread")]
async fn idle_keys_are_forgotten_when_their_time_is_up_and_count_from_the_beginning() {
    let world = World::held(&[WORK, SINK, MAIN]).await;
    world.publish([order(1, "idle", ""), order(2, "used", "")]).await;
    world.take("sink", 2).await;
    world.settled("work").await;
    assert!((world.metric("sluicegate_state_keys{") - 2.0).abs() < 0.1);
    // Used, unchanged or not, it counts as used.
    world.clock.advance(Duration::from_secs(50 * 60));
    world.publish([order(3, "used", "")]).await;
    world.take("sink", 1).await;
    world.settled("work").await;
    world.clock.advance(Duration::from_secs(20 * 60));
    until("one key is forgotten", || {
        world.metric("sluicegate_state_keys_swept_total") > 0.5
            && world.metric("sluicegate_state_keys{") < 1.5
    })
    .await;
    world.publish([order(4, "idle", ""), order(5, "used", "")]).await;
    let mut counted = numbers(&world.take("sink", 2).await, "n");
    counted.sort_unstable();
    assert_eq!(counted, [1, 3]);
    world.end().await;
}
