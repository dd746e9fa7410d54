#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;
use crate::broker::embedded::Embedded;

/// What a supervisor of an embedded broker, which is as old as RabbitMQ 3.10, says of that queue.
async fn trouble_with(queue: &str) -> Option<String> {
    let text = format!("[broker.main]\nurl = \"embedded:\"\n\n[[queue]]\nname = \"q\"\n{queue}");
    let (config, _) = config::parse(&text, Path::new("test.toml")).unwrap();
    let plan = topology::plan(&config).remove("main").unwrap();
    let broker = Embedded::new();
    let needs = Needs::of("main", &config, plan);
    let (supervisor, connection) = Supervisor::new(broker, needs, &Telemetry::new());
    let mut states = connection.states.clone();
    tokio::select! {
        () = supervisor.run() => unreachable!("it runs for ever"),
        changed = states.changed() => changed.unwrap(),
    }
    states.borrow().trouble.clone()
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_can_do_what_is_asked_is_ready() {
    assert_eq!(trouble_with("kind = \"quorum\"").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_the_brokers_version_cannot_do_is_refused_with_the_reason() {
    let trouble = trouble_with("kind = \"quorum\"\nmax_priority = 4").await.unwrap();
    assert!(trouble.contains("queue 'q'") && trouble.contains("priorit"), "{trouble}");
}
