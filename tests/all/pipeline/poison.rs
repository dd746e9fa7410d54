//! One bad message, key or plugin harms nobody else; order per key holds whatever happens around it.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{MAIN, SINK, WORK, World, json, numbers, order, until};

#[tokio::test]
async fn poison_among_good_messages_takes_only_itself_away() {
    let world = World::usual().await;
    let what = |id: u64| match id % 30 {
        0 => "trap",
        10 => "unknown_output",
        20 => "reject",
        _ => "next",
    };
    world.publish((1..=300).map(|id| order(id, &format!("k{}", id % 7), what(id)))).await;
    world.settled("work").await;
    let dead = world.rest("dead");
    let mut ids = numbers(&dead, "id");
    ids.sort_unstable();
    assert_eq!(ids, (1..=300_u64).filter(|id| id.is_multiple_of(10)).collect::<Vec<_>>());
    assert_eq!(world.reports().len(), 30);

    let told = world.rest("sink");
    assert_eq!(told.len(), 270);
    let mut by_key: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for message in &told {
        let line = json(message);
        let (id, n) = (line["id"].as_u64().expect("id"), line["n"].as_u64().expect("n"));
        by_key.entry(id % 7).or_default().push((id, n));
    }
    for lines in by_key.values() {
        let counts = lines.iter().map(|(_, n)| *n);
        assert!(counts.eq(1..=lines.len() as u64), "counted without the poison: {lines:?}");
        assert!(lines.is_sorted_by_key(|(id, _)| *id), "in order: {lines:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn order_per_key_holds_under_priorities() {
    // A queue without priorities delivers in order; in the host's backlog they count.
    let world = World::start(&[&WORK.replace("max_priority = 9", ""), SINK, MAIN]).await;
    world.control(sluicegate::admin::Command::Pause("main".to_owned()));
    until("it is paused", || world.state() == sluicegate::admin::PipelineState::Paused).await;
    let what = |id: u64| match id % 27 {
        9 => "trap",
        18 => "unroutable",
        _ => "next",
    };
    let orders = (1..=400).map(|id| {
        let mut order = order(id, &format!("k{}", id % 4), what(id));
        order.properties.priority = u8::try_from(id * 7 % 10).ok();
        order
    });
    world.publish(orders).await;
    world.control(sluicegate::admin::Command::Resume("main".to_owned()));
    world.settled("work").await;
    let mut by_key: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for id in numbers(&world.rest("sink"), "id") {
        // A rewound message may be told again, with another count; the first time is what orders it.
        if seen.insert(id) {
            by_key.entry(id % 4).or_default().push(id);
        }
    }
    assert_eq!(world.rest("dead").len(), (1..=400).filter(|id| what(*id) != "next").count());
    for ids in by_key.values() {
        assert!(ids.is_sorted(), "{ids:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_plugin_that_loops_holds_up_no_other_pipeline() {
    const OTHER: &str = r##"
[[queue]]
name = "other"
bind = [{ exchange = "out", key = "other" }]
dead_letter = { exchange = "dead", queue = "dead" }
[[queue]]
name = "answers"
[[plugin]]
name = "looping"
file = "ledger.wasm"
limits = { call = "50ms" }
breaker = false
[[pipeline]]
name = "looping"
queue = "other"
key = { header = "key" }
stages = ["looping"]
retry.attempts.deadline = 1
outputs.out = { exchange = "", routing_key = "answers" }
"##;
    let world = World::start(&[WORK, SINK, MAIN, OTHER]).await;
    let mut orders = Vec::new();
    for id in 1..=40 {
        let mut looping = order(1000 + id, &format!("k{id}"), "loop");
        looping.routing_key = "other".to_owned();
        orders.push(sluicegate::broker::Outgoing {
            exchange: "out".to_owned(),
            routing_key: looping.routing_key,
            properties: looping.properties,
            body: looping.body.to_string().into(),
        });
    }
    world.publish_raw(orders).await;
    world.rest("sink");
    world.publish((1..=200).map(|id| order(id, &format!("k{}", id % 5), "next"))).await;
    world.settled("work").await;
    let looped = world.figures_of("looping");
    assert!(looped.dead_lettered < 40, "the good ones are through before the looping ones");
    let good = numbers(&world.rest("sink"), "id").into_iter().filter(|id| *id <= 200).count();
    assert_eq!(good, 200);
    world.settled("other").await;
    assert_eq!(world.rest("dead").len(), 40);
    assert!(world.reports().iter().all(|report| report["class"] == "deadline"));
    assert_eq!(world.figures().failures.len(), 0);
    world.end().await;
}
