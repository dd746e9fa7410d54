//! A message is a transaction: what fails after it ran leaves no trace, in no stage.

use std::collections::BTreeMap;

use super::world::{MAIN, SINK, WORK, World, copies, json, order, until};

/// The count told last of each id.
fn last_counts(messages: &[sluicegate::message::Message]) -> BTreeMap<u64, u64> {
    let line = |message| {
        let line = json(message);
        (line["id"].as_u64().expect("id"), line["n"].as_u64().expect("n"))
    };
    messages.iter().map(line).collect()
}

#[tokio::test]
async fn an_unroutable_output_fails_its_message_and_rewinds_its_key() {
    let world = World::usual().await;
    world.control(sluicegate::admin::Command::Pause("main".to_owned()));
    until("it is paused", || world.state() == sluicegate::admin::PipelineState::Paused).await;
    let what = |id| if id == 4 { "unroutable" } else { "next" };
    let of_a = (1..=9).map(|id| order(id, "a", what(id)));
    let of_b = (11..=19).map(|id| order(id, "b", "next"));
    world.publish(of_a.chain(of_b)).await;
    world.control(sluicegate::admin::Command::Resume("main".to_owned()));

    assert_eq!(json(&world.take("dead", 1).await[0])["id"], 4);
    world.settled("work").await;
    let report = world.reports().remove(0);
    assert_eq!(
        (report["class"].as_str(), report["code"].as_str()),
        (Some("publish"), Some("unroutable"))
    );
    assert!(report["text"].as_str().expect("a text").contains("'void'"), "{report}");
    assert!(world.figures().rewound >= 1);

    let told = world.rest("sink");
    let counts = last_counts(&told);
    for (place, id) in [1, 2, 3, 5, 6, 7, 8, 9].into_iter().enumerate() {
        assert_eq!(counts[&id], place as u64 + 1, "state without the failed one: {counts:?}");
    }
    let copies = copies(&told);
    for id in [1, 2, 3].into_iter().chain(11..=19) {
        assert_eq!(
            copies[&id], 1,
            "what was confirmed and is the same isn't sent again: {copies:?}"
        );
    }
    let mut ids: BTreeMap<u64, Vec<Option<String>>> = BTreeMap::new();
    for message in &told {
        let id = json(message)["id"].as_u64().expect("id");
        ids.entry(id).or_default().push(message.properties.message_id.clone());
    }
    assert!(ids.values().all(|ids| ids.windows(2).all(|two| two[0] == two[1])), "{ids:?}");

    world.publish([order(100, "a", "next")]).await;
    assert_eq!(last_counts(&world.take("sink", 1).await)[&100], 9, "the state that is kept");
    world.end().await;
}

#[tokio::test]
async fn an_output_that_may_be_unroutable_is_dropped_and_nobody_fails() {
    let main = MAIN.replace("exchange = \"void\"", "exchange = \"void\", unroutable = \"drop\"");
    let world = World::start(&[WORK, SINK, &main]).await;
    world.publish([order(1, "a", "unroutable"), order(2, "a", "next")]).await;
    world.settled("work").await;
    assert_eq!(last_counts(&world.rest("sink")), BTreeMap::from([(1, 1), (2, 2)]));
    assert_eq!((world.figures().done, world.figures().rewound), (2, 0));
    world.end().await;
}

const TWO_STAGES: &str = r##"
[[plugin]]
name = "first"
file = "ledger.wasm"
config = { name = "first" }
limits = { call = "2s" }
[[plugin]]
name = "second"
file = "ledger.wasm"
config = { name = "second" }
limits = { call = "2s" }
[[pipeline]]
name = "main"
queue = "work"
key = { header = "key" }
stages = ["first", "second"]
retry = { max_attempts = 2, rungs = ["20ms"] }
outputs.out = { exchange = "out" }
"##;

#[tokio::test]
async fn a_failure_at_a_later_stage_leaves_no_trace_in_an_earlier_one() {
    let world = World::start(&[WORK, SINK, TWO_STAGES]).await;
    world.control(sluicegate::admin::Command::Pause("main".to_owned()));
    until("it is paused", || world.state() == sluicegate::admin::PipelineState::Paused).await;
    let failures =
        BTreeMap::from([(3, "reject"), (6, "trap"), (7, "unknown_output"), (10, "retry")]);
    let orders = (1..=12).map(|id| {
        let mut order = order(id, "a", failures.get(&id).copied().unwrap_or("next"));
        order.body["at"] = "second".into();
        order
    });
    world.publish(orders).await;
    world.control(sluicegate::admin::Command::Resume("main".to_owned()));
    world.take("dead", 4).await;
    world.settled("work").await;
    let told = world.rest("sink");
    for stage in ["first", "second"] {
        let of_stage: Vec<_> =
            told.iter().filter(|message| json(message)["stage"] == stage).cloned().collect();
        let good = [1, 2, 4, 5, 8, 9, 11, 12];
        let expected: BTreeMap<u64, u64> = good.into_iter().zip(1..).collect();
        assert_eq!(last_counts(&of_stage), expected, "at stage {stage}");
        assert_eq!(of_stage.len(), good.len(), "no emission of a run that was undone");
    }
    world.end().await;
}
