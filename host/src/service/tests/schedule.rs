//! Random schedules of messages and faults, by seed, against an oracle that knows each message's fate.
//!
//! A schedule runs in one thread on a paused clock, shards included, so that a seed means the same run
//! to the letter, whenever and wherever. What is real: supervisor, intake, lanes, stages, judgement,
//! publishing, the embedded broker, and the state machine that writes acknowledgements. What isn't: the
//! plugin (`guest`) and what lies between host and broker (`wire`), which does harm.
//!
//! A few hundred seeds run with all tests. `SLUICEGATE_SCHEDULES=0..10000` runs others and prints
//! counts; `cargo xtask schedules` is a shorter way to say it.

mod book;
mod guest;
mod host;
mod memory;
mod oracle;
mod plan;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use self::plan::{Action, Plan};
use self::world::World;

/// The seeds that run with all tests.
const SEEDS: Range<u64> = 0..300;
/// What says which others.
const CHOICE: &str = "SLUICEGATE_SCHEDULES";
/// Set where failing schedules are only to be counted.
const BRIEF: &str = "SLUICEGATE_SCHEDULES_BRIEF";
/// Runs spent on cutting a failing schedule down.
const CUTS: usize = 300;
/// Lines of a failing run's end that are shown.
const SHOWN: usize = 60;
/// Failing seeds that are cut down and shown.
const SHOWN_SEEDS: usize = 3;

/// How a schedule went.
#[derive(Debug, Default)]
struct Outcome {
    digest: String,
    trace: Vec<String>,
    violations: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

/// Runs a schedule in a world of its own.
fn run(plan: &Plan) -> Outcome {
    // Jitter and the like come from the thread's own generator.
    fastrand::seed(plan.seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut world = World::new(plan);
        world.run(plan).await;
        let (digest, trace) = world.book.traced();
        let facts = world.book.facts();
        let dead = world.dead.len();
        let deliveries: usize = facts.deliveries.values().map(Vec::len).sum();
        let counts = BTreeMap::from([
            ("messages", facts.specs.len()),
            ("deliveries", deliveries),
            ("outputs", world.outputs.len()),
            ("timers' outputs", world.rung.len()),
            ("swaps", facts.version),
            ("dead letters", dead),
            ("reports", world.reports.len()),
            ("hosts", facts.life),
            ("hosts killed", facts.killed.len()),
            ("channels", facts.channels),
            ("confirms lost", facts.unknown.values().chain(facts.unknown_copies.values()).sum()),
        ]);
        Outcome { digest, trace, violations: facts.violations.clone(), counts }
    })
}

/// Leaves out what a failing schedule fails without.
fn cut(plan: &Plan) -> Plan {
    let mut least = plan.clone();
    let mut runs = 0;
    let mut size = least.actions.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < least.actions.len() && runs < CUTS {
            let mut fewer = least.clone();
            let end = (at + size).min(fewer.actions.len());
            fewer.actions.drain(at..end);
            runs += 1;
            if run(&fewer).violations.is_empty() {
                at += size;
            } else {
                least = fewer;
            }
        }
        size = if size == 1 || runs >= CUTS { 0 } else { size.div_ceil(2) };
    }
    for at in 0..least.actions.len() {
        let Action::Publish(specs) = &least.actions[at] else { continue };
        for spec in (0..specs.len()).rev() {
            let mut fewer = least.clone();
            if let Action::Publish(specs) = &mut fewer.actions[at] {
                specs.remove(spec);
            }
            runs += 1;
            if runs < 2 * CUTS && !run(&fewer).violations.is_empty() {
                least = fewer;
            }
        }
    }
    least
}

fn chosen() -> Option<Range<u64>> {
    let text = std::env::var(CHOICE).ok()?;
    let (from, to) = text.split_once("..").expect("seeds as FROM..TO");
    Some(from.parse().expect("a seed")..to.parse().expect("a seed"))
}

/// A failing seed, as short as it gets.
fn shown(seed: u64, outcome: &Outcome) -> String {
    let plan = cut(&Plan::of(seed));
    let short = run(&plan);
    let from = short.trace.len().saturating_sub(SHOWN);
    let mut text =
        format!("seed {seed}: {:#?}\ncut down to {:?}\n", outcome.violations, plan.settings);
    for action in &plan.actions {
        let _ = writeln!(text, "  {action:?}");
    }
    let _ = writeln!(text, "{}\n{:#?}", short.trace[from..].join("\n"), short.violations);
    text
}

#[test]
fn every_message_has_one_fate_whatever_the_schedule() {
    let choice = chosen();
    let seeds = choice.clone().unwrap_or(SEEDS);
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<BTreeMap<u64, Outcome>> = Mutex::default();
    let counts: Mutex<BTreeMap<&'static str, usize>> = Mutex::default();
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(&Plan::of(seed));
                    for (name, count) in &outcome.counts {
                        *counts.lock().unwrap().entry(name).or_default() += count;
                    }
                    if !outcome.violations.is_empty() {
                        failed.lock().unwrap().insert(seed, outcome);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if choice.is_some() {
        let ran = seeds.end - seeds.start;
        let seconds = started.elapsed().as_secs_f64();
        println!("{ran} schedules in {seconds:.1} s: {} with violations", failed.len());
        for (name, count) in counts.into_inner().unwrap() {
            println!("  {count:>9} {name}");
        }
        let kinds = failed.values().flat_map(|outcome| outcome.violations.iter());
        let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
        for text in kinds {
            *by_kind.entry(text.split(':').next().unwrap_or_default()).or_default() += 1;
        }
        for (kind, count) in by_kind {
            println!("  {count:>9} x {kind}");
        }
        for (seed, outcome) in failed.iter().take(40) {
            println!("  seed {seed}: {}", outcome.violations[0]);
        }
    }
    let shown_seeds = if std::env::var_os(BRIEF).is_some() { 0 } else { SHOWN_SEEDS };
    let shown: Vec<String> =
        failed.iter().take(shown_seeds).map(|(seed, outcome)| shown(*seed, outcome)).collect();
    assert!(failed.is_empty(), "{} seeds with violations\n{}", failed.len(), shown.join("\n\n"));
}

#[test]
fn a_seed_means_the_same_run_to_the_letter() {
    for seed in SEEDS.take(40) {
        let plan = Plan::of(seed);
        let (first, second) = (run(&plan), run(&plan));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
}
