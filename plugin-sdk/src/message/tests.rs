#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use crate::testing::{Input, Tester};
use crate::{Context, Decision, List, Message, Plugin, Table, Verdict};

/// Answers with everything that a message says of itself.
#[derive(serde::Deserialize)]
struct Echo {}

impl Plugin for Echo {
    type State = ();

    fn process(&self, m: &Message<'_>, (): &mut (), ctx: &mut Context<'_>) -> Decision {
        ctx.info(format_args!("{} {} {:?}", m.exchange(), m.routing_key(), m.key()));
        ctx.info(format_args!("{:?} {:?} {:?}", m.content_type(), m.priority(), m.timestamp()));
        ctx.info(format_args!("{:?} {:?} {:?}", m.message_id(), m.correlation_id(), m.reply_to()));
        ctx.info(format_args!("{:?} {:?} {}", m.kind(), m.app_id(), m.attempt()));
        for death in m.deaths() {
            let keys: Vec<&str> = death.routing_keys().collect();
            ctx.info(format_args!("{} {} {} {keys:?}", death.reason, death.queue, death.count));
        }
        for n in 0..3 {
            ctx.debug(m.derived_id(n));
        }
        Ok(Verdict::done())
    }
}

fn lines(input: Input) -> Vec<String> {
    let outcome = Tester::<Echo>::new(&serde_json::json!({})).unwrap().run(input);
    outcome.log.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn everything_that_came_with_a_message_is_there() {
    let input = Input::new().exchange("ex").routing_key("a.b").key("k").priority(4);
    let input = input.content_type("text/plain").timestamp(7).message_id("id").attempt(3);
    let said = lines(input.correlation_id("c").reply_to("q").kind("note").app_id("app"));
    assert_eq!(said[0], r#"ex a.b Some("k")"#);
    assert_eq!(said[1], r#"Some("text/plain") Some(4) Some(7)"#);
    assert_eq!(said[2], r#"Some("id") Some("c") Some("q")"#);
    assert_eq!(said[3], r#"Some("note") Some("app") 3"#);
}

#[test]
fn deaths_are_read_from_what_rabbitmq_writes() {
    let death = Table::new()
        .field("count", 2i64)
        .field("reason", "rejected")
        .field("queue", "orders")
        .field("exchange", "")
        .field("routing-keys", &List::new().item("a").item("b"));
    let no_death = Table::new().field("count", 1i64);
    let deaths = List::new().item(&death).item(&no_death).item("noise");
    let said = lines(Input::new().header("x-death", &deaths));
    assert_eq!(said[4], r#"rejected orders 2 ["a", "b"]"#);
    assert_eq!(said.len(), 4 + 1 + 3);
}

#[test]
fn derived_ids_are_stable_and_differ_by_message_and_number() {
    let ids = |seed| lines(Input::new().seed(seed)).split_off(4);
    assert_eq!(ids(1), ids(1));
    let all: BTreeSet<String> = (0..50).flat_map(ids).collect();
    assert_eq!(all.len(), 150);
    for id in &all {
        assert_eq!((id.len(), &id[14..15]), (36, "8"), "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}
