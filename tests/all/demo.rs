//! `sluicegate demo`: the whole of it, with plain output. It ends well only if everything that it
//! published is accounted for.

use std::process::ExitCode;

use clap::Parser;
use sluicegate::cli::{self, Cli};

use crate::rabbit::RabbitNode;

async fn demo(words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut all = vec!["sluicegate", "demo", "--plain", "--for", "2s", "--meters", "50"];
    all.extend(words);
    cli::main(Cli::try_parse_from(all)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_accounts_for_all_that_it_published() {
    assert_eq!(demo(&["--rate", "1000"]).await.unwrap(), ExitCode::SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_on_a_rabbitmq_accounts_for_all_and_names_its_objects() {
    let node = RabbitNode::start_fresh();
    assert_eq!(demo(&["--rate", "500", "--broker", &node.url()]).await.unwrap(), ExitCode::SUCCESS);
    let queues = node.ctl(&["-q", "list_queues", "--no-table-headers", "name", "messages"]);
    assert!(queues.contains("sluicegate.demo."), "{queues}");
    for queue in queues.lines() {
        assert!(queue.starts_with("sluicegate.demo."), "{queue}");
        let reports = queue.starts_with("sluicegate.demo.failures");
        assert!(reports || queue.ends_with("\t0"), "{queue} isn't empty");
    }
}

#[tokio::test]
async fn a_broker_that_is_none_is_told_at_once() {
    let error = demo(&["--broker", "localhost"]).await.unwrap_err().to_string();
    assert!(error.contains("address"), "{error}");
}
