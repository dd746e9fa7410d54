//! What a schedule is: settings, messages and actions, drawn from a seed. Plain data, so that a failing
//! one can be cut down.

use std::fmt::Write as _;

use bytes::Bytes;
use fastrand::Rng;

/// Keys that messages with an id have; few, so that they collide.
pub(super) const KEYS: u8 = 4;

/// How the host is set up.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) shards: usize,
    pub(super) prefetch: usize,
    pub(super) batch: usize,
    pub(super) quorum: bool,
    pub(super) letters: Letters,
    /// Attempts of each kind of failure that may have several, the first included.
    pub(super) attempts: Attempts,
}

/// How what failed for good ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    Nack,
    Annotate,
    Discard,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    pub(super) retry: u32,
    pub(super) trap: u32,
    pub(super) deadline: u32,
}

/// What the guest does with a message, at the stage that the message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Pass,
    Done,
    Drop,
    /// Three emissions instead of one.
    Emit,
    /// Sets a timer, so many milliseconds ahead.
    Set(u32),
    /// Cancels the timer that it would set.
    Cancel,
    /// Fails so at every attempt before that one.
    Fail(How, u32),
    /// Emits to an output that there isn't.
    Unknown,
    /// Emits to an exchange that routes nowhere.
    Unroutable,
    /// Emits what no broker takes.
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Retry,
    Reject,
    Trap,
    Deadline,
}

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) id: u32,
    /// Keys of messages without an id are their own, for those may count twice.
    pub(super) key: Option<String>,
    pub(super) priority: Option<u8>,
    /// It has a message id.
    pub(super) named: bool,
    /// How often its producer publishes it.
    pub(super) copies: usize,
    pub(super) what: What,
    pub(super) at: usize,
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Publish(Vec<Spec>),
    /// Milliseconds pass.
    Wait(u64),
    /// Everything that can run runs so often, in no time.
    Yield(u32),
    DropConnections,
    CancelConsumers,
    /// Some publishes are nacked, or lost, until [`Action::Heal`].
    Refuse,
    /// Some confirms are lost.
    LoseConfirms,
    Unreachable,
    Heal,
    DeleteExchange(&'static str),
    Pause,
    Resume,
    /// Drained within so many milliseconds, or abandoned, and started again.
    Restart(u64),
    /// Killed and started again.
    Kill,
    /// The pipeline is altered while the host runs on.
    Alter(Alteration),
    /// The pipeline uses so many shards from now on.
    Scale(usize),
    /// Another version of the plugin serves.
    Swap,
}

/// What is altered, and how long the pipeline may take to finish what it has in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alteration {
    pub(super) prefetch: usize,
    pub(super) batch: usize,
    pub(super) grace_ms: u64,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) settings: Settings,
    pub(super) actions: Vec<Action>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let r = &mut random;
        let settings = Settings {
            shards: r.usize(1..=3),
            prefetch: [3, 10, 40, 100][r.usize(..4)],
            batch: [1, 4, 64][r.usize(..3)],
            quorum: r.u8(..4) == 0,
            letters: match r.u8(..10) {
                0..=2 => Letters::Annotate,
                3 => Letters::Discard,
                _ => Letters::Nack,
            },
            attempts: Attempts { retry: r.u32(1..=4), trap: r.u32(1..=2), deadline: r.u32(1..=3) },
        };
        let length = r.usize(8..40);
        let mut next = 0;
        // A schedule has few kinds of trouble, so that there are some without any of each.
        let troubles: Vec<u8> = (0..r.usize(..4)).map(|_| r.u8(..12)).collect();
        // Most keys see no unroutable message, for such a one may have results amended.
        let spoilt = r.bool();
        let actions = (0..length).map(|_| action(r, &mut next, &troubles, spoilt)).collect();
        Self { seed, settings, actions }
    }
}

fn action(r: &mut Rng, next: &mut u32, troubles: &[u8], spoilt: bool) -> Action {
    match r.u8(..10) {
        0..=3 => {
            let specs = (0..r.u32(1..12)).map(|_| spec(r, next, spoilt)).collect();
            return Action::Publish(specs);
        }
        4 => return Action::Wait(r.u64(1..500)),
        5 => return Action::Wait(r.u64(1..20)),
        6 => return Action::Yield(r.u32(1..60)),
        7 => return Action::Heal,
        _ => {}
    }
    let Some(trouble) = (!troubles.is_empty()).then(|| troubles[r.usize(..troubles.len())]) else {
        return Action::Yield(r.u32(1..60));
    };
    match trouble {
        0 => Action::DropConnections,
        1 => Action::Refuse,
        2 => Action::LoseConfirms,
        3 => Action::Unreachable,
        4 => Action::DeleteExchange(["out", "aside", "sluicegate.failures"][r.usize(..3)]),
        5 => [Action::Pause, Action::Resume][r.usize(..2)].clone(),
        6 => Action::Restart([0, 5, 60_000][r.usize(..3)]),
        7 => Action::CancelConsumers,
        8 => Action::Alter(Alteration {
            prefetch: [3, 10, 40, 100][r.usize(..4)],
            batch: [1, 4, 64][r.usize(..3)],
            grace_ms: [0, 5, 60_000][r.usize(..3)],
        }),
        9 => Action::Swap,
        10 => Action::Scale(r.usize(1..=3)),
        _ => Action::Kill,
    }
}

fn spec(r: &mut Rng, next: &mut u32, spoilt: bool) -> Spec {
    let id = *next;
    *next += 1;
    let until = r.u32(2..5);
    let what = match r.u8(..36) {
        0..=14 => What::Pass,
        15 => What::Done,
        16 => What::Drop,
        17 => What::Emit,
        18 | 19 => What::Fail(How::Retry, until),
        20 => What::Fail(How::Retry, u32::MAX),
        21 => What::Fail(How::Reject, u32::MAX),
        22 => What::Fail(How::Trap, until),
        23 => What::Fail(How::Trap, u32::MAX),
        24 => What::Fail(How::Deadline, until),
        25 => What::Fail(How::Reject, u32::MAX),
        26 => What::Unknown,
        27 if spoilt => What::Unroutable,
        28 if spoilt => What::TooLong,
        30..=33 => What::Set([10, 25, 100, 400][r.usize(..4)]),
        34 => What::Cancel,
        _ => What::Pass,
    };
    let named = r.u8(..8) > 0;
    let key = match (named, r.u8(..10)) {
        (_, 0) => None,
        (true, _) => Some(format!("k{}", r.u8(..KEYS))),
        (false, _) => Some(format!("u{}", r.u8(..2))),
    };
    // A timer that counts once is one of a key, set by a message that counts once.
    let timeless = key.is_none() || !named;
    let what = match what {
        What::Set(_) | What::Cancel if timeless => What::Pass,
        what => what,
    };
    Spec {
        id,
        key,
        priority: (r.u8(..5) == 0).then(|| r.u8(..10)),
        named,
        copies: if named && r.u8(..8) == 0 { 2 } else { 1 },
        what,
        at: r.usize(..2),
    }
}

impl Spec {
    /// What it says to the guest.
    pub(super) fn body(&self) -> Bytes {
        let mut text = String::new();
        let (word, until) = match self.what {
            What::Pass => ("pass", 0),
            What::Done => ("done", 0),
            What::Drop => ("drop", 0),
            What::Emit => ("emit", 0),
            What::Set(after_ms) => ("set", after_ms),
            What::Cancel => ("cancel", 0),
            What::Fail(How::Retry, until) => ("retry", until),
            What::Fail(How::Reject, until) => ("reject", until),
            What::Fail(How::Trap, until) => ("trap", until),
            What::Fail(How::Deadline, until) => ("deadline", until),
            What::Unknown => ("unknown", 0),
            What::Unroutable => ("unroutable", 0),
            What::TooLong => ("toolong", 0),
        };
        let _ = write!(text, "{} {word} {} {until}", self.id, self.at);
        Bytes::from(text)
    }

    /// How it must end: `Ok`, or the code that it dies of.
    pub(super) fn end(&self, attempts: Attempts) -> Result<(), &'static str> {
        let (allowed, code) = match self.what {
            What::Pass | What::Done | What::Drop | What::Emit => return Ok(()),
            What::Set(_) | What::Cancel => return Ok(()),
            What::Unknown => return Err("malformed"),
            What::Unroutable => return Err("unroutable"),
            What::TooLong => return Err("too_large"),
            What::Fail(How::Reject, _) => return Err("told"),
            What::Fail(How::Retry, _) => (attempts.retry, "again"),
            What::Fail(How::Trap, _) => (attempts.trap, "trap"),
            What::Fail(How::Deadline, _) => (attempts.deadline, "deadline"),
        };
        let What::Fail(_, until) = self.what else { return Ok(()) };
        if until <= allowed { Ok(()) } else { Err(code) }
    }

    /// Whether it fails only when its outputs are published, with what ran since built upon it.
    pub(super) fn fails_late(&self) -> bool {
        matches!(self.what, What::Unroutable | What::TooLong)
    }

    /// The outputs of a success: exchange, stage, index.
    pub(super) fn outputs(&self) -> Vec<(&'static str, usize, usize)> {
        let emissions = |stage: usize| match self.what {
            What::Emit if self.at == stage => 3,
            _ => 1,
        };
        let last = match self.what {
            What::Done | What::Drop => self.at,
            _ => 1,
        };
        let exchanges = ["out", "aside"];
        let of =
            |stage: usize| (0..emissions(stage)).map(move |index| (exchanges[stage], stage, index));
        (0..=last).flat_map(of).collect()
    }
}

/// The name of the timer that a message sets.
pub(super) fn timer_of(id: u32) -> String {
    format!("t{}", id % 2)
}
