//! Keys by the thousand, or as many as one likes as `cargo xtask keys`: each counts right, and what a message
//! costs among so many is printed.

#![allow(clippy::cast_possible_truncation, reason = "figures of a test: small ones")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::world::{SINK, WORK, World, json, order};

/// What `cargo xtask keys` says.
const VARIABLE: &str = "SLUICEGATE_KEYS";
/// Keys where nobody says how many.
const KEYS: u64 = 2000;
/// Messages that are on their way at once.
const GROUP: u64 = 5000;

fn main_with(durability: &str) -> String {
    format!(
        r##"
[[plugin]]
name = "ledger"
file = "ledger.wasm"
limits = {{ call = "2s" }}

[[pipeline]]
name = "main"
queue = "work"
key = {{ header = "key" }}
stages = ["ledger"]
prefetch = 5000
outputs.out = {{ exchange = "out" }}

[state]
durability = "{durability}"
"##
    )
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// What each key has counted, and the messages so far.
#[derive(Default)]
struct Book {
    counted: HashMap<String, u64>,
    sent: u64,
}

impl Book {
    /// Sends a message of each of those keys, and looks what each came to; wall and processor time of one.
    async fn send(&mut self, world: &World, keys: &[u64]) -> (Duration, Duration) {
        let (begun, before) = (Instant::now(), processor());
        for group in keys.chunks(GROUP as usize) {
            let orders: Vec<_> = (self.sent..)
                .zip(group)
                .map(|(id, key)| order(id, &format!("meter-{key:08}"), ""))
                .collect();
            self.sent += group.len() as u64;
            let wanted = group.iter().map(|key| {
                let counted = self.counted.entry(format!("order.meter-{key:08}")).or_default();
                *counted += 1;
            });
            wanted.for_each(drop);
            world.publish(orders).await;
            world.settled("work").await;
            let told = world.rest("sink");
            assert_eq!(told.len(), group.len());
            let last: HashMap<&str, u64> = told
                .iter()
                .map(|message| (message.routing_key.as_str(), json(message)["n"].as_u64().unwrap()))
                .collect();
            for (key, n) in last {
                assert_eq!(n, self.counted[key], "{key}");
            }
        }
        let messages = u32::try_from(keys.len()).unwrap();
        (begun.elapsed() / messages, (processor() - before) / messages)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_by_the_thousand_each_count_right_however_they_are_kept() {
    let told = std::env::var(VARIABLE).ok();
    let many: u64 = told.as_deref().and_then(|n| n.parse().ok()).unwrap_or(KEYS);
    let say = |text: String| {
        if told.is_some() {
            println!("{text}")
        }
    };
    let messages = many.min(100_000);
    for (durability, keys) in [("process", 100), ("process", many), ("power", 100), ("power", many)]
    {
        let main = main_with(durability);
        let mut world = World::start(&[WORK, SINK, &main]).await;
        let mut book = Book::default();
        let all: Vec<u64> = (0..keys).collect();
        let (wall, processor) = book.send(&world, &all).await;
        say(format!(
            "{durability}, the first message of {keys} keys: {wall:.1?}, {processor:.1?} of a processor"
        ));
        let mut random = fastrand::Rng::with_seed(7);
        let some: Vec<u64> = (0..messages).map(|_| random.u64(0..keys)).collect();
        let (wall, processor) = book.send(&world, &some).await;
        say(format!(
            "{durability}, one of {keys} keys at random: {wall:.1?}, {processor:.1?} of a processor"
        ));
        let begun = Instant::now();
        world.restart(Duration::ZERO, &[WORK, SINK, &main]).await;
        say(format!("{durability}, {keys} keys: stopped and started in {:.1?}", begun.elapsed()));
        let (wall, processor) = book.send(&world, &some[..some.len().min(20_000)]).await;
        say(format!(
            "{durability}, one of {keys} keys after that: {wall:.1?}, {processor:.1?} of a processor"
        ));
        world.end().await;
    }
}
