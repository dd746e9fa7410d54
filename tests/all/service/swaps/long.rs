//! Versions that take turns under load: a handful of swaps as a test, as many as one likes as
//! `cargo xtask swaps`.

#![allow(clippy::cast_possible_truncation, reason = "figures of a test: small ones")]

use std::time::{Duration, Instant};

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use sluicegate_tests::guests::{TALLY, TALLY_NEXT};

use super::super::process::Host;
use super::super::traffic::{Traffic, id};
use super::load::Load;
use super::{save, site, told};
use crate::rabbit::{node, unique};

/// What `cargo xtask swaps` says.
const VARIABLE: &str = "SLUICEGATE_SWAPS";
/// Messages that are drained to see how many can be.
const SATURATING: usize = 10_000;
/// A busy machine may stand still for a while: what ends a trial is messages.
const RELOAD: &str = r#"watch = false, trial = { messages = 100, time = "5s" }, probation = { messages = 200, time = "5s" }"#;

/// Messages in a second that one pipeline drains when they wait for it.
async fn saturating_rate() -> f64 {
    let name = unique("saturating");
    let site = site(&name, RELOAD);
    let traffic = Traffic::on(node()).await;
    // The queue is the host's to declare, so it is there first.
    let host = site.run();
    site.tell(&["pause", &name]);
    let queue = format!("{name}.in");
    let mut confirms = Vec::new();
    for n in 0..SATURATING {
        let mut headers = FieldTable::default();
        headers.insert("key".into(), AMQPValue::LongString(format!("k{}", n % 16).into()));
        let properties = id(n).with_headers(headers).with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        let (to, body) = (queue.as_str().into(), br#"{"id":1}"#);
        let sent = traffic.raw.channel.basic_publish("".into(), to, options, body, properties);
        confirms.push(sent.await.unwrap());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    traffic.raw.await_depth(&format!("{name}.in"), SATURATING as u32).await;
    let begun = Instant::now();
    site.tell(&["resume", &name]);
    traffic.raw.await_depth(&format!("{name}.in"), 0).await;
    let rate = SATURATING as f64 / begun.elapsed().as_secs_f64();
    host.stop();
    rate
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

/// The upper bound of the bucket that the longest pause is in, and the mean, in seconds.
fn pauses(host: &Host) -> (String, f64, f64) {
    let (_, text) = host.get("/metrics");
    let name = "sluicegate_plugin_swap_pause_seconds";
    let sum = host.metric(&format!("{name}_sum"), &[]);
    let count = host.metric(&format!("{name}_count"), &[]);
    let buckets = text.lines().filter(|line| line.starts_with(&format!("{name}_bucket")));
    let full = buckets.filter(|line| line.ends_with(&format!(" {count}")));
    let least = full.map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap());
    (least.take(1).collect(), sum / count.max(1.0), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_take_turns_under_load_and_nothing_is_lost_doubled_or_of_two_versions() {
    let words = std::env::var(VARIABLE).ok();
    let swaps: usize = words.as_deref().and_then(|n| n.parse().ok()).unwrap_or(4);
    let rate = if words.is_some() { (saturating_rate().await / 2.0) as u64 } else { 200 };
    let name = unique("turns");
    let site = site(&name, RELOAD);
    let host = site.run();
    let load = Load::start(&name, rate).await;
    load.await_lines(200).await;
    let begun = Instant::now();
    let from = load.lines();
    // As long without swaps as so many swaps take at least.
    load.await_lines(rate as usize * swaps.min(60)).await;
    let still = load.latencies(from);
    let (from, alone) = (load.lines(), begun.elapsed());
    let begun = Instant::now();
    for n in 0..swaps {
        save(&site, if n % 2 == 0 { TALLY_NEXT } else { TALLY });
        let (code, last) =
            tokio::task::block_in_place(|| told(&site, &["reload", "tally", "--json"]));
        assert_eq!((code, &last["outcome"]), (0, &"reloaded".into()), "swap {n}: {last}");
        assert!(!last["text"].as_str().unwrap().starts_with("untested"), "swap {n}: {last}");
    }
    let took = begun.elapsed();
    let swapped = load.latencies(from);
    let (longest, mean, lanes) = pauses(&host);
    let came = load.end().await;
    println!(
        "{swaps} swaps in {took:.1?} at {rate} messages/s, {} messages of {} versions\n\
         latency p50 {:.1?} p99 {:.1?} max {:.1?} (without swaps, {alone:.1?}: p50 {:.1?} p99 {:.1?} max {:.1?})\n\
         a lane paused {lanes} times for {:.2} ms on average, never longer than {longest} s",
        came.sent(),
        came.versions(),
        percentile(&swapped, 0.5),
        percentile(&swapped, 0.99),
        percentile(&swapped, 1.0),
        percentile(&still, 0.5),
        percentile(&still, 0.99),
        percentile(&still, 1.0),
        mean * 1000.0,
    );
    came.assert_clean();
    assert_eq!(came.versions(), 2);
    let dead = Traffic::on(node()).await.raw.depth(&format!("{name}.dead")).await;
    assert_eq!(dead, 0);
    host.stop();
}
