//! Messages that are counted by key while their hosts die: once each where they have an id, whoever else has
//! the same; at least once where they have none.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use sluicegate::limits::STATE_FOLDER;
use sluicegate::state::{Durability, EmbeddedStore, Place, StateStore as _};
use sluicegate_tests::guests::TALLY;

use super::process::Site;
use super::traffic::{Traffic, broker, id, tallying};
use crate::rabbit::{node, unique};

/// Messages of each producer.
const COUNT: u64 = 200;
/// Moments at which one host after the other dies, on their way from a run to an acknowledgement.
const DEATHS: [&str; 6] =
    ["post-run", "pre-confirm", "post-confirm", "pre-commit", "post-commit", "pre-ack"];
/// Producers, each with a name, a key, and something of its own in its bodies, if only by chance.
const PRODUCERS: [(&str, &str, u64); 4] =
    [("north", "shared", 1), ("south", "shared", 2), ("east", "e", 0), ("west", "w", 0)];

/// What became of all that the producers sent.
struct Counted {
    /// What is kept of each key.
    kept: BTreeMap<&'static str, u64>,
    /// Outputs of each key beyond the first of its message.
    told_twice: BTreeMap<String, u64>,
}

fn site(name: &str, id: &str) -> Site {
    let config = tallying(name, &format!("id = \"{id}\""));
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("tally.wasm", TALLY);
    site
}

/// Every producer numbers its messages from 1.
async fn produce(traffic: &Traffic, queue: &str) {
    for number in 1..=COUNT {
        for (producer, key, own) in PRODUCERS {
            let mut headers = FieldTable::default();
            headers.insert("key".into(), AMQPValue::LongString(key.into()));
            let properties: BasicProperties = id(number)
                .with_headers(headers)
                .with_app_id(producer.into())
                .with_content_type("application/json".into());
            let body = format!(r#"{{"id": {number}, "sent_us": {own}}}"#);
            traffic.send(queue, properties, body.as_bytes()).await;
        }
    }
}

/// Lets hosts die at each moment, then one finish; and counts.
async fn counted(name: &str, id: &str) -> Counted {
    let site = site(name, id);
    site.run().stop();
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    produce(&traffic, &input).await;
    for point in DEATHS {
        let mut host = site.start_with(&[("SLUICEGATE_FAULT", &format!("{point}:abort:after=2"))]);
        assert_ne!(host.end(), 0, "no {point} came");
    }
    let host = site.run();
    traffic.raw.await_depth(&input, 0).await;
    host.stop();
    assert_eq!(traffic.raw.depth(&input).await, 0);
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);

    let store = EmbeddedStore::open(&site.path("state").join(STATE_FOLDER), Durability::Process);
    let store = store.unwrap();
    let place = &Place::of_stages(name, ["tally"])[0];
    let kept = PRODUCERS.map(|(_, key, _)| {
        let entry = store.load(place, key).unwrap().unwrap().entry;
        (key, rmp_serde::from_slice(&entry.bytes.unwrap()).unwrap())
    });
    let mut told: BTreeMap<(String, u64, u64), u64> = BTreeMap::new();
    for message in traffic.take_all(&out).await {
        let line: Value = serde_json::from_slice(&message.data).unwrap();
        let headers = message.properties.headers().clone().unwrap();
        let Some(AMQPValue::LongString(key)) = headers.inner().get("key") else { panic!("no key") };
        let number = |field: &str| line[field].as_u64().unwrap();
        *told.entry((key.to_string(), number("id"), number("sent_us"))).or_default() += 1;
    }
    assert_eq!(told.len() as u64, COUNT * PRODUCERS.len() as u64, "each came out");
    let mut told_twice: BTreeMap<String, u64> = BTreeMap::new();
    for ((key, ..), times) in told {
        *told_twice.entry(key).or_default() += times - 1;
    }
    Counted { kept: BTreeMap::from(kept), told_twice }
}

fn sent(key: &str) -> u64 {
    COUNT * PRODUCERS.iter().filter(|(_, of, _)| *of == key).count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_that_use_the_same_ids_are_counted_exactly_whatever_dies() {
    let name = unique("sameids");
    let Counted { kept, told_twice } = counted(&name, "property").await;
    println!("with ids: kept {kept:?}, told twice {told_twice:?}");
    for (key, count) in kept {
        assert_eq!(count, sent(key), "key {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ids_what_was_committed_and_not_acknowledged_counts_twice_and_nothing_is_missed() {
    let name = unique("noids");
    let Counted { kept, told_twice } = counted(&name, "none").await;
    println!("without ids: kept {kept:?}, told twice {told_twice:?}");
    let mut twice = 0;
    for (key, count) in kept {
        let more = count.checked_sub(sent(key)).unwrap_or_else(|| panic!("key {key}: {count}"));
        // What counts again is told again; what died before its commit is told again, and counts once.
        assert!(more <= told_twice[key], "key {key}: {more} counted, {} told", told_twice[key]);
        twice += more;
    }
    assert!(twice > 0, "a host died between a commit and its acknowledgements");
}
