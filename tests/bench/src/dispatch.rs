//! Calls of plugins, in process: one logic at a time, by each contender, on the same messages.

pub mod native;
pub mod plugin;
pub mod records;

use std::time::Duration;

use bench_logic::Encoding;
use serde::Serialize;

use crate::method::{Contender, Row, compare};
use crate::sample::{Sample, Wanted, samples};

/// A hash map as whoever wants speed has it; the host's own are such ones.
pub type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logic {
    /// Nothing: the message goes on.
    Pass,
    /// JSON is decoded and checked.
    CheckJson,
    /// MessagePack is decoded and checked.
    CheckMessagePack,
    /// JSON is decoded and checked, and something told of each message.
    Route,
    /// MessagePack is decoded and compared with the meter's past.
    Anomaly,
}

/// All of them.
pub const ALL: [Logic; 5] =
    [Logic::Pass, Logic::CheckJson, Logic::CheckMessagePack, Logic::Route, Logic::Anomaly];

/// What was compared.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// What was computed.
    pub logic: Logic,
    /// Bytes of a body.
    pub bytes: usize,
    /// Messages of a call.
    pub batch: usize,
    /// How it came out.
    pub rows: Vec<Row>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Turns of each contender.
    pub rounds: usize,
    /// Processor time of a turn.
    pub turn: Duration,
}

impl Logic {
    /// Its name in the plugins' configs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::CheckJson => "check-json",
            Self::CheckMessagePack => "check-message-pack",
            Self::Route => "route",
            Self::Anomaly => "anomaly",
        }
    }

    /// How its messages are encoded.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Pass | Self::CheckJson | Self::Route => Encoding::Json,
            Self::CheckMessagePack | Self::Anomaly => Encoding::MessagePack,
        }
    }
}

/// The messages of a comparison.
///
/// # Errors
/// They can't be made.
pub fn messages(logic: Logic, bytes: usize, keys: usize) -> anyhow::Result<Vec<Sample>> {
    samples(Wanted { messages: 16 * 1024, keys, bytes, encoding: logic.encoding() })
}

/// Makes more contenders for a logic, its messages and how many of them a call takes.
pub type More<'m> =
    dyn FnMut(Logic, &[Sample], usize) -> anyhow::Result<Vec<Box<dyn Contender>>> + 'm;

/// Compares those contenders, and what `more` adds to them.
///
/// # Errors
/// One can't be made or fails.
pub fn run(
    logic: Logic,
    bytes: usize,
    batch: usize,
    effort: Effort,
    more: &mut More<'_>,
) -> anyhow::Result<Compared> {
    let samples = messages(logic, bytes, 1000)?;
    let mut contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(native::Native::new("native", logic, &samples, batch)),
        Box::new(native::Native::new("native, again", logic, &samples, batch)),
        Box::new(plugin::Sandboxed::new(logic, &samples, batch)?),
        Box::new(records::Records::new(logic, &samples, batch)?),
    ];
    contenders.extend(more(logic, &samples, batch)?);
    agree(&mut contenders)?;
    let rows = compare(&mut contenders, effort.rounds, effort.turn)?;
    Ok(Compared { logic, bytes, batch, rows })
}

/// All must come to the same decisions.
fn agree(contenders: &mut [Box<dyn Contender>]) -> anyhow::Result<()> {
    let mut expected = None;
    for contender in contenders {
        let done = contender.take(200)?;
        let expected = *expected.get_or_insert(done);
        anyhow::ensure!(done == expected, "{}: {done:?} instead of {expected:?}", contender.name());
    }
    Ok(())
}

/// Messages in turn, batch by batch.
#[derive(Clone, Debug)]
pub struct Turns {
    samples: Vec<Sample>,
    batch: usize,
    next: usize,
}

impl Turns {
    /// The next batches of those messages.
    #[must_use]
    pub fn new(samples: &[Sample], batch: usize) -> Self {
        Self { samples: samples.to_vec(), batch, next: 0 }
    }

    /// The next batch.
    pub fn take(&mut self) -> &[Sample] {
        if self.next + self.batch > self.samples.len() {
            self.next = 0;
        }
        let from = self.next;
        self.next += self.batch;
        &self.samples[from..self.next]
    }
}
