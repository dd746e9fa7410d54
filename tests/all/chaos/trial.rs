//! A host behind a proxy, its broker, load, and one fault after another; then peace, and a verdict.

mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;
use sluicegate::limits::JOURNAL_FILE;
use sluicegate_tests::guests::COURIER;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::counts::{Counts, Recoveries};
use super::ends::{Books, Doing};
use super::faults::{Doubles, Fault};
use super::kept;
use super::plan::{Ends, Plan};
use super::proxy::{Proxy, Weather};
use super::workload::{PIPELINES, config};
use crate::rabbit::RabbitNode;
use crate::service::process::{Host, Site};

/// The broker's user that the host is.
pub(super) const USER: &str = "host";
/// Within so long of a fault's end everything is well again, on however busy a machine.
const RECOVERY_MAX: Duration = Duration::from_secs(180);
/// How long a host that won't be left in peace may take to have something under way.
const WORK_MAX: Duration = Duration::from_secs(10);
/// Inputs that are through by then: more than what the host before it had left at the targets.
const WORK: u64 = 20;
/// Between looks that cost the broker something.
const SLOW_LOOK: Duration = Duration::from_secs(1);
/// Looks at empty queues after which nothing more will come.
const EMPTY_LOOKS: usize = 15;
/// Peace between two faults, at most.
const PEACE_MS: u64 = 800;
/// Memory that no host may reach: many times what it needs.
const MEMORY_MAX_KIB: u64 = 1024 * 1024;

/// A trial under way.
pub(super) struct Trial {
    pub(super) runtime: Runtime,
    pub(super) node: RabbitNode,
    pub(super) proxy: Proxy,
    pub(super) books: Arc<Books>,
    pub(super) doing: watch::Sender<Doing>,
    pub(super) random: Rng,
    plan: Plan,
    pub(super) site: Site,
    pub(super) host: Option<Host>,
    publishers: Vec<JoinHandle<()>>,
    recoveries: Recoveries,
    memory_kib: u64,
    /// How much of what is wrong has been printed.
    told: usize,
    struck: BTreeMap<&'static str, usize>,
    /// Where hosts died: at a moment by name, or at random.
    pub(super) deaths: BTreeMap<&'static str, usize>,
    pub(super) problems: Vec<String>,
    pub(super) logs: VecDeque<String>,
}

/// How it went.
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) problems: Vec<String>,
    /// For people.
    pub(super) table: String,
}

/// Runs a trial to its end.
pub(super) fn run(plan: Plan) -> Outcome {
    println!("chaos: seed {}, {:?}", plan.seed, plan.ends);
    let mut trial = Trial::start(plan);
    trial.rage();
    trial.settle();
    trial.judge()
}

// === impl Trial ===

impl Trial {
    fn start(plan: Plan) -> Self {
        let runtime = Runtime::new().unwrap();
        let node = RabbitNode::start_fresh();
        // It may listen before it takes commands.
        node.ctl(&["await_startup"]);
        node.ctl(&["add_user", USER, USER]);
        node.ctl(&["set_permissions", USER, ".*", ".*", ".*"]);
        let proxy = runtime.block_on(Proxy::start(node.address())).unwrap();
        let brokers_die = plan.faults.iter().any(|fault| fault.kills_the_broker());
        let url = format!("amqp://{USER}:{USER}@{}/%2f", proxy.address);
        let site = Site::new(&config(&url, brokers_die));
        site.write("courier.wasm", COURIER);
        let host = site.run();
        let books = runtime.block_on(async { Books::new(node.url()) });
        let (doing, told) = watch::channel(Doing::default());
        let publishers = runtime.block_on(async { books.run(&plan, &told) });
        let random = Rng::with_seed(plan.seed);
        Self {
            runtime,
            node,
            proxy,
            books,
            doing,
            random,
            plan,
            site,
            host: Some(host),
            publishers,
            recoveries: Recoveries::default(),
            memory_kib: 0,
            told: 0,
            struck: BTreeMap::new(),
            deaths: BTreeMap::new(),
            problems: Vec::new(),
            logs: VecDeque::new(),
        }
    }

    /// One fault after another, each kind at least once.
    fn rage(&mut self) {
        let started = Instant::now();
        self.recover(Fault::Delayed);
        let mut first = self.plan.faults.clone();
        self.random.shuffle(&mut first);
        let mut count = 0;
        loop {
            let over = match self.plan.ends {
                Ends::After(time) => first.is_empty() && started.elapsed() >= time,
                Ends::Count(all) => count >= all,
            };
            // What went wrong is in the logs of the hosts that are still there.
            if over || !self.problems.is_empty() || !self.books.oracle().counts().is_clean() {
                return;
            }
            let fault = first.pop().unwrap_or_else(|| self.draw_fault());
            self.strike(fault);
            count += 1;
        }
    }

    fn draw_fault(&mut self) -> Fault {
        let faults = self.plan.faults.clone();
        let all: u32 = faults.iter().map(|fault| fault.weight()).sum();
        let mut left = self.random.u32(..all);
        let drawn = faults.iter().find(|fault| {
            let found = left < fault.weight();
            left = left.saturating_sub(fault.weight());
            found
        });
        *drawn.unwrap_or(&faults[0])
    }

    fn strike(&mut self, fault: Fault) {
        self.wait_up_to(PEACE_MS);
        let doubles = fault.doubles() != Doubles::Nothing;
        if doubles {
            self.books.oracle().disturbed();
        }
        // Now and then it strikes while the network is slow, so that more is under way.
        if self.random.u8(..4) == 0 {
            let delay = Duration::from_millis(self.random.u64(5..200));
            self.proxy.set(Weather { delay, ..Weather::default() });
            self.wait_up_to(PEACE_MS);
        }
        self.inflict(fault);
        self.proxy.set(Weather::default());
        if fault.doubles() == Doubles::AtOnce {
            self.books.oracle().calmed(self.books.now());
        }
        self.ensure_host(fault);
        // Now and then the next fault meets a system that is still busy with this one.
        let hurry = fault.doubles() == Doubles::AtOnce && self.random.u8(..100) < self.plan.hurry;
        let took = if hurry { self.await_work() } else { self.recover(fault) };
        if fault.doubles() == Doubles::UntilRecovered {
            self.books.oracle().calmed(self.books.now());
        }
        *self.struck.entry(fault.name()).or_default() += 1;
        self.memory_kib = self.memory_kib.max(self.host().memory_kib());
        self.tell(fault, took);
    }

    fn tell(&mut self, fault: Fault, took: Option<Duration>) {
        let oracle = self.books.oracle();
        let counts = oracle.counts();
        let took = took.map_or("in a hurry".to_owned(), |took| {
            format!("recovered in {:.2} s", took.as_secs_f64())
        });
        println!(
            "[{:7.1} s] {:<18} {took:<22} acknowledged {:>7} delivered {:>7} dead {:>6} \
             duplicated {:>5}{}",
            self.books.now().as_secs_f64(),
            fault.name(),
            counts.acknowledged,
            counts.delivered,
            counts.dead_lettered,
            counts.duplicated,
            if counts.is_clean() { "" } else { "  WRONG" }
        );
        for wrong in &oracle.told()[self.told..] {
            println!("            {wrong}");
        }
        self.told = oracle.told().len();
    }

    /// Waits, not for long, until something comes out again: a host with nothing under way is no prey.
    fn await_work(&mut self) -> Option<Duration> {
        let before = self.books.oracle().counts().delivered;
        self.until(WORK_MAX, |trial| trial.books.oracle().counts().delivered >= before + WORK);
        None
    }

    /// Waits until what is published from now on comes out of every pipeline and the host is ready.
    fn recover(&mut self, fault: Fault) -> Option<Duration> {
        let since = self.books.now();
        let well = |trial: &mut Self| {
            trial.books.oracle().reached(since)
                && trial.host().try_get("/ready").is_some_and(|(status, _)| status == 200)
        };
        if self.until(RECOVERY_MAX, well) {
            let took = self.books.now() - since;
            self.recoveries.add(took);
            return Some(took);
        }
        let ready = self.host().try_get("/ready");
        let open: Vec<usize> =
            (0..PIPELINES.len()).map(|it| self.books.oracle().open(it)).collect();
        let name = fault.name();
        self.problems.push(format!(
            "not well {RECOVERY_MAX:?} after {name}: open {open:?}, ready says {ready:?}"
        ));
        None
    }

    /// Nothing more is published; everything comes to rest.
    fn settle(&mut self) {
        self.doing.send_replace(Doing { ending: true, uncollected: None });
        let ended = |trial: &mut Self| trial.publishers.iter().all(JoinHandle::is_finished);
        if !self.until(RECOVERY_MAX, ended) {
            self.problems.push("the publishers can't publish".to_owned());
        }
        self.await_rest();
        if self.memory_kib > MEMORY_MAX_KIB {
            self.problems.push(format!("the host took {} KiB of memory", self.memory_kib));
        }
        let dropped = self.host().metric("sluicegate_broker_receipts_dropped", &[]);
        if dropped > 0.0 {
            self.problems.push(format!("{dropped} receipts were dropped"));
        }
        self.end_host();
        if self.problems.is_empty() && !self.until(RECOVERY_MAX, |trial| trial.depths().is_empty())
        {
            self.problems.push("the host left something behind".to_owned());
        }
    }

    /// Until every fate has come and every queue is empty; or all are, and what is missing is lost.
    fn await_rest(&mut self) {
        let deadline = Instant::now() + RECOVERY_MAX;
        let mut empty = 0;
        while Instant::now() < deadline {
            self.read_journal();
            let open = (0..PIPELINES.len()).any(|it| self.books.oracle().open(it) > 0);
            empty = if self.depths().is_empty() { empty + 1 } else { 0 };
            if empty > 0 && (!open || empty > EMPTY_LOOKS) {
                return;
            }
            self.wait(SLOW_LOOK);
        }
        let left = self.depths();
        self.problems.push(format!("not at rest after {RECOVERY_MAX:?}: {left:?}"));
    }

    /// Reports that no broker took.
    fn read_journal(&self) {
        let journal = self.site.path("state").join(JOURNAL_FILE);
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        for report in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let field = |name: &str| report[name].as_str().unwrap_or_default();
            self.books.oracle().report(field("message_id"), field("class"));
        }
    }

    /// Queues that hold anything, ready or not.
    fn depths(&self) -> Vec<String> {
        let listed =
            self.node.ctl(&["list_queues", "-q", "--no-table-headers", "name", "messages"]);
        let held = listed.lines().filter(|line| !line.ends_with("\t0"));
        held.map(|line| line.replace('\t', ": ")).collect()
    }

    fn judge(mut self) -> Outcome {
        let (keys, miscounted) = kept::miscounted(&self.site.path("state"), &self.books.oracle());
        let (counts, told) = self.books.close().verdict();
        let mut table = String::new();
        let seed = self.plan.seed;
        let _ = writeln!(table, "\nseed {seed}, {:.0} s", self.books.now().as_secs_f64());
        for (name, count) in &self.struck {
            let _ = writeln!(table, "{name:<22}{count:>12}");
        }
        let deaths: usize = self.deaths.values().sum();
        let _ = writeln!(table, "{:<22}{deaths:>12}", "hosts killed");
        for (name, count) in &self.deaths {
            let _ = writeln!(table, "  {name:<20}{count:>12}");
        }
        let _ = write!(table, "\n{counts}\n{}", self.recoveries);
        let _ = writeln!(table, "{:<22}{:>12}", "host's memory, MiB", self.memory_kib / 1024);
        // What went with a queue is counted or not, as it came.
        if !self.plan.faults.contains(&Fault::QueueDeleted) {
            let _ = writeln!(table, "{:<22}{keys:>12}", "keys' counts");
            let _ = writeln!(table, "{:<22}{:>12}", "  wrong", miscounted.len());
            self.problems.extend(miscounted);
        }
        self.problems.extend(told);
        if !self.problems.is_empty() {
            let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.log"));
            let kept: String = self.logs.iter().map(|log| format!("{log}\n---\n")).collect();
            std::fs::write(&logs, kept).unwrap();
            self.problems.push(format!("the last hosts' logs are in {}", logs.display()));
        }
        Outcome { counts, problems: self.problems, table }
    }
}
