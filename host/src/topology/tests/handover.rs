//! What others get in hand: definitions, permissions; and what they give back: an inventory.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};

use super::*;
use crate::broker::embedded::Embedded;
use crate::broker::{Broker as _, BrokerError};
use crate::config::{Amqp, Credentials, Login, Output, Tls, Unroutable};

fn amqp(config: &mut Config, change: impl FnOnce(&mut Amqp)) {
    let mut amqp = Amqp {
        urls: vec!["amqp://127.0.0.1:5672/plant%2Fone".to_owned()],
        credentials: Credentials::Inline(Login::new("u", "p:ä")),
        tls: Tls::default(),
        heartbeat: limits::HEARTBEAT,
        version: None,
        management: None,
        definitions: None,
    };
    change(&mut amqp);
    let kind = BrokerKind::Amqp(amqp);
    config.brokers.insert("main".to_owned(), Broker { kind, declare: Declare::Verify });
}

#[test]
fn definitions_are_rabbitmqs_own() {
    let mut config = empty();
    amqp(&mut config, |_| {});
    config.exchanges = vec![exchange("in", ExchangeKind::Headers)];
    let mut q = queue("q", QueueKind::Classic);
    q.max_priority = Some(4);
    let mut arguments = Table::default();
    arguments.set("x-match", "any");
    arguments.set("level", 3_i64);
    q.bind =
        vec![Binding { exchange: "in".to_owned(), key: String::new(), arguments, filter: None }];
    config.queues = vec![q];
    let expected = serde_json::json!({
        "exchanges": [{
            "name": "in", "vhost": "plant/one", "type": "headers", "durable": true,
            "auto_delete": false, "internal": false, "arguments": {}
        }],
        "queues": [{
            "name": "q", "vhost": "plant/one", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "classic", "x-max-priority": 4}
        }],
        "bindings": [{
            "source": "in", "vhost": "plant/one", "destination": "q",
            "destination_type": "queue", "routing_key": "",
            "arguments": {"x-match": "any", "level": 3}
        }]
    });
    assert_eq!(definitions(&config, "main"), expected);
}

#[test]
fn private_queues_are_in_no_definitions() {
    let mut config = readings();
    let mut probe = queue("probe", QueueKind::Classic);
    probe.exclusive = true;
    config.queues.push(probe);
    assert!(!definitions(&config, "main").to_string().contains("probe"));
}

#[test]
fn permissions_to_create_are_exact_and_escaped() {
    let mut config = readings();
    config.pipelines[0].outputs.insert(
        "alerts".to_owned(),
        Output {
            broker: "main".to_owned(),
            exchange: "meters.alerts".to_owned(),
            routing_key: None,
            unroutable: Unroutable::Drop,
        },
    );
    let permissions = permissions(&config, "main", Declare::Create);
    assert_eq!(
        permissions.configure,
        r"^(lost|meters|meters\.dead|meters\.lost|readings|readings\.dead|sluicegate\.failures|sluicegate\.replay|sluicegate\.retry\.readings\.quorum\.1000|sluicegate\.retry\.readings\.quorum\.30000|sluicegate\.return)$"
    );
    assert_eq!(
        permissions.write,
        r"^(amq\.default|lost|meters\.alerts|meters\.dead|meters\.lost|readings|readings\.dead|sluicegate\.failures|sluicegate\.return)$"
    );
    assert_eq!(
        permissions.read,
        r"^(meters|meters\.dead|meters\.lost|readings|sluicegate\.failures|sluicegate\.replay|sluicegate\.retry\.readings\.quorum\.1000|sluicegate\.retry\.readings\.quorum\.30000|sluicegate\.return)$"
    );
}

#[test]
fn permissions_to_run_alone_are_to_consume_and_publish() {
    let permissions = permissions(&readings(), "main", Declare::None);
    assert_eq!(permissions.configure, "^$");
    assert_eq!(permissions.write, r"^(amq\.default|sluicegate\.failures)$");
    assert_eq!(permissions.read, "^(readings)$");
}

#[test]
fn verifying_needs_no_right_to_configure_where_the_broker_is_read_otherwise() {
    let mut config = readings();
    amqp(&mut config, |_| {});
    assert_ne!(permissions(&config, "main", Declare::Verify).configure, "^$");
    amqp(&mut config, |amqp| amqp.management = Some("http://127.0.0.1:15672".to_owned()));
    assert_eq!(permissions(&config, "main", Declare::Verify).configure, "^$");
}

#[test]
fn server_named_queues_need_the_brokers_own_names() {
    let mut config = empty();
    let mut probe = queue("probe", QueueKind::Classic);
    probe.server_named = true;
    probe.bind = vec![bind("amq.topic", "#")];
    config.queues = vec![probe];
    config.pipelines = vec![pipeline("probe")];
    let permissions = permissions(&config, "main", Declare::None);
    assert_eq!(permissions.configure, r"^(amq\.gen-.*)$");
    assert_eq!(permissions.write, r"^(amq\.gen-.*|sluicegate\.failures)$");
    assert_eq!(permissions.read, r"^(amq\.gen-.*|amq\.topic)$");
}

/// Everything of the plan on the embedded broker, and a definitions export beside it.
async fn exported(
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<Applied, Vec<BrokerError>> {
    let mut config = readings();
    amqp(&mut config, |_| {});
    let mut definitions = definitions(&config, "main");
    change(&mut definitions);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(definitions.to_string().as_bytes()).unwrap();
    amqp(&mut config, |amqp| amqp.definitions = Some(file.path().to_owned()));
    let (broker, plan) = (Embedded::new(), main_plan(&config));
    apply(&*broker, &plan, Declare::Create).await.unwrap();
    prepare(&*broker, &config.brokers["main"], &plan).await
}

#[tokio::test]
async fn an_export_verifies_bindings() {
    assert_eq!(exported(|_| {}).await.unwrap().unverified, Vec::<String>::new());
}

#[tokio::test]
async fn a_binding_that_the_export_lacks_is_missing() {
    let errors = exported(|all| drop(all["bindings"].as_array_mut().unwrap().remove(0))).await;
    let errors = errors.unwrap_err();
    let text = errors[0].to_string();
    assert!(
        text.contains("binding of queue 'readings.dead' to exchange 'meters.dead' with key '#'")
    );
}

#[tokio::test]
async fn bindings_of_another_virtual_host_dont_count() {
    let moved = exported(|all| {
        for binding in all["bindings"].as_array_mut().unwrap() {
            binding["vhost"] = "/".into();
        }
    });
    assert_eq!(moved.await.unwrap_err().len(), 6);
}

#[tokio::test]
async fn an_unreadable_export_is_told_and_leaves_bindings_unverified() {
    let mut config = readings();
    amqp(&mut config, |amqp| amqp.definitions = Some("/nowhere/definitions.json".into()));
    let (broker, plan) = (Embedded::new(), main_plan(&config));
    apply(&*broker, &plan, Declare::Create).await.unwrap();
    let applied = prepare(&*broker, &config.brokers["main"], &plan).await.unwrap();
    assert!(applied.unverified[0].contains("/nowhere/definitions.json"));
    assert_eq!(applied.unverified.len(), 7);
}

/// Answers as the management plugin does, to its own user alone, from what `definitions` has.
async fn management(all: serde_json::Value) -> SocketAddr {
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
        let all = all.clone();
        async move {
            let login = headers.get("authorization").and_then(|value| value.to_str().ok());
            if login != Some("Basic dTpwOsOk") {
                return (StatusCode::UNAUTHORIZED, String::new());
            }
            let mut what = uri.path().split('/').skip(2);
            match (what.next(), what.next()) {
                (Some(what), Some("plant%2Fone")) => (StatusCode::OK, all[what].to_string()),
                _ => (StatusCode::NOT_FOUND, String::new()),
            }
        }
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn managed(password: &str, policy: serde_json::Value) -> Result<Applied, Vec<BrokerError>> {
    let mut config = readings();
    config.queues[0].dead_letter = DeadLetter::Policy;
    amqp(&mut config, |_| {});
    let mut all = definitions(&config, "main");
    for queue in all["queues"].as_array_mut().unwrap() {
        queue["effective_policy_definition"] = policy.clone();
    }
    let address = management(all).await;
    let credentials = Credentials::Inline(Login::new("u", password));
    amqp(&mut config, |amqp| {
        amqp.management = Some(format!("http://{address}/"));
        amqp.credentials = credentials;
    });
    let (broker, plan) = (Embedded::new(), main_plan(&config));
    apply(&*broker, &plan, Declare::Create).await.unwrap();
    prepare(&*broker, &config.brokers["main"], &plan).await
}

#[tokio::test]
async fn the_management_api_verifies_bindings_and_policies() {
    let applied = managed("p:ä", serde_json::json!({"dead-letter-exchange": "x"})).await.unwrap();
    assert_eq!(applied.unverified, Vec::<String>::new());
}

#[tokio::test]
async fn a_queue_without_the_policy_that_the_config_counts_on_is_an_error() {
    let errors = managed("p:ä", serde_json::json!([])).await.unwrap_err();
    assert!(errors[0].to_string().contains("set_policy"), "{}", errors[0]);
}

#[tokio::test]
async fn a_management_api_that_refuses_is_told_with_the_tag_that_it_needs() {
    let applied = managed("wrong", serde_json::json!({})).await.unwrap();
    assert!(applied.unverified[0].contains("tag `management`"), "{:?}", applied.unverified);
}

#[test]
fn an_inventory_compares_arguments_of_every_name() {
    let seen = serde_json::json!({"queues": [{
        "name": "q", "durable": true, "auto_delete": false,
        "arguments": {"x-message-ttl": 5, "x-own": "a"}
    }]});
    let inventory: inventory::Inventory = serde_json::from_value(seen).unwrap();
    let mut q = queue("q", QueueKind::Classic);
    q.message_ttl = Some(Duration::from_millis(5));
    let compare = |q: &Queue| inventory.compare(&Declaration::Queue(queue::declaration(q)));
    let error = compare(&q).unwrap_err().to_string();
    assert!(
        error.starts_with("queue 'q' exists with x-own = a, this config wants none"),
        "{error}"
    );
    q.arguments.set("x-own", "a");
    assert_eq!(compare(&q), Ok(()));
    q.durable = false;
    assert!(matches!(compare(&q), Err(BrokerError::Mismatch { .. })));
}

#[test]
fn the_virtual_host_is_the_addresss_path() {
    let mut config = empty();
    for (url, wanted) in [
        ("amqp://h", "/"),
        ("amqp://h:5672/", ""),
        ("amqps://h/%2f", "/"),
        ("amqp://h/a%20b?x=/y", "a b"),
    ] {
        amqp(&mut config, |amqp| amqp.urls = vec![url.to_owned()]);
        assert_eq!(vhost(&config.brokers["main"]), wanted, "{url}");
    }
}

#[tokio::test]
async fn orphans_are_those_that_the_management_api_lists_and_the_config_has_no_use_for() {
    let mut config = readings();
    amqp(&mut config, |_| {});
    let mut all = definitions(&config, "main");
    let queues = all["queues"].as_array_mut().unwrap();
    let left = [
        ("sluicegate.retry.readings.classic.7000", 3),
        ("sluicegate.retry.others.quorum.1000", 0),
        ("mine", 0),
    ];
    let broker = Embedded::new();
    for (name, messages) in left {
        let mut queue = queues[0].clone();
        queue["name"] = name.into();
        queue["messages"] = messages.into();
        queues.push(queue);
        let declared = super::queue(name, QueueKind::Classic);
        broker.declare(&Declaration::Queue(queue::declaration(&declared))).await.unwrap();
    }
    let address = management(all).await;
    amqp(&mut config, |amqp| amqp.management = Some(format!("http://{address}/")));
    let orphans = orphans(&config, "main", &*broker).await.unwrap();
    assert_eq!(orphans.source, Source::Management);
    let seen: Vec<_> = orphans
        .found
        .iter()
        .map(|orphan| (orphan.name.as_str(), orphan.messages, orphan.work.as_deref()))
        .collect();
    let expected = [
        ("sluicegate.retry.others.quorum.1000", Some(0), None),
        ("sluicegate.retry.readings.classic.7000", Some(3), Some("readings")),
    ];
    assert_eq!(seen, expected);
}
