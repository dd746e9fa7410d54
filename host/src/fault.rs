//! Places where a test can have this process die or stand still.
//!
//! Compiled in by the feature `fault-points`, which only the tests' package asks for; without it
//! [`point`] is empty and the environment isn't read. With it, `SLUICEGATE_FAULT` says what happens
//! where, `;` between several:
//!
//! ```text
//! pre-run:abort:body~poison              the process aborts before it runs a message with "poison" in it
//! post-confirm:abort:after=100           at the hundredth group that is confirmed
//! pre-ack:stall:chance=0.01:seed=7       one message in a hundred, the same ones each time
//! ```
//!
//! A point is one of those in [`Point`]. An action is `abort` (as by a trap in native code), `exit`
//! (code 70, no destructors) or `stall` (that thread waits for ever). All conditions of a fault must
//! hold; `after` counts the passings at which those before it held, and strikes at one of them only.

/// A moment in a message's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A batch is about to run; the messages are those of the batch.
    PreRun,
    /// It ran.
    PostRun,
    /// A group is written to the broker; no confirm is waited for yet. The messages are outputs.
    PreConfirm,
    /// Every outcome of a group is known. The messages are outputs.
    PostConfirm,
    /// A group's messages are confirmed, and what they did is about to be handed to the store.
    PreCommit,
    /// A group's state and identities are committed.
    PostCommit,
    /// A message is about to be settled.
    PreAck,
}

/// Passes a point with those bodies.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point<'b, B: Iterator<Item = &'b [u8]>>(_: Point, _: impl FnOnce() -> B) {}

#[cfg(feature = "fault-points")]
pub use self::plan::point;

#[cfg(feature = "fault-points")]
mod plan {
    use std::str::FromStr;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use super::Point;

    /// Says what happens where.
    const VARIABLE: &str = "SLUICEGATE_FAULT";
    /// `exit` ends with it.
    const EXIT: i32 = 70;

    static FAULTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let parts = text.split(';').filter(|part| !part.is_empty());
        parts
            .map(|part| {
                part.parse().unwrap_or_else(|error: String| {
                    // A test that asks for a fault that there isn't must not pass.
                    tracing::error!("{VARIABLE}: {error}");
                    std::process::exit(EXIT);
                })
            })
            .collect()
    });

    /// Passes a point with those bodies; where a fault is planned there, it strikes.
    pub fn point<'b, B: Iterator<Item = &'b [u8]>>(point: Point, bodies: impl FnOnce() -> B) {
        if FAULTS.iter().all(|fault| fault.point != point) {
            return;
        }
        let bodies: Vec<&[u8]> = bodies().collect();
        for fault in FAULTS.iter().filter(|fault| fault.point == point) {
            if fault.strikes(&bodies) {
                fault.act();
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Fault {
        point: Point,
        action: Action,
        conditions: Vec<Condition>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Abort,
        Exit,
        Stall,
    }

    #[derive(Debug)]
    enum Condition {
        Body(Vec<u8>),
        After(Mutex<u64>),
        Chance(f64, Mutex<fastrand::Rng>),
    }

    impl Fault {
        pub(super) fn strikes(&self, bodies: &[&[u8]]) -> bool {
            self.conditions.iter().all(|condition| condition.holds(bodies))
        }

        fn act(&self) {
            tracing::error!(fault = ?self.action, point = ?self.point, "as a test asked for");
            match self.action {
                Action::Abort => std::process::abort(),
                Action::Exit => std::process::exit(EXIT),
                Action::Stall => loop {
                    std::thread::park();
                },
            }
        }
    }

    impl Condition {
        fn holds(&self, bodies: &[&[u8]]) -> bool {
            match self {
                Self::Body(part) => bodies
                    .iter()
                    .any(|body| body.windows(part.len()).any(|window| window == &part[..])),
                Self::After(left) => {
                    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                    *left = left.wrapping_sub(1);
                    *left == 0
                }
                Self::Chance(chance, dice) => {
                    dice.lock().unwrap_or_else(PoisonError::into_inner).f64() < *chance
                }
            }
        }
    }

    impl FromStr for Fault {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            let mut parts = text.split(':');
            let point = match parts.next() {
                Some("pre-run") => Point::PreRun,
                Some("post-run") => Point::PostRun,
                Some("pre-confirm") => Point::PreConfirm,
                Some("post-confirm") => Point::PostConfirm,
                Some("pre-commit") => Point::PreCommit,
                Some("post-commit") => Point::PostCommit,
                Some("pre-ack") => Point::PreAck,
                _ => return Err(format!("'{text}' names no point")),
            };
            let action = match parts.next() {
                Some("abort") => Action::Abort,
                Some("exit") => Action::Exit,
                Some("stall") => Action::Stall,
                _ => return Err(format!("'{text}' names no action")),
            };
            let parts: Vec<&str> = parts.collect();
            let number = |value: &str| {
                value.parse::<u64>().map_err(|_| format!("'{value}' in '{text}' is no number"))
            };
            let seed = parts.iter().find_map(|part| part.strip_prefix("seed="));
            let seed = seed.map_or(Ok(1), number)?;
            let mut conditions = Vec::new();
            for part in parts {
                if let Some(body) = part.strip_prefix("body~").filter(|body| !body.is_empty()) {
                    conditions.push(Condition::Body(body.as_bytes().to_vec()));
                } else if let Some(after) = part.strip_prefix("after=") {
                    conditions.push(Condition::After(Mutex::new(number(after)?)));
                } else if let Some(chance) = part.strip_prefix("chance=") {
                    let chance = chance.parse().map_err(|_| format!("'{part}' is no chance"))?;
                    let dice = Mutex::new(fastrand::Rng::with_seed(seed));
                    conditions.push(Condition::Chance(chance, dice));
                } else if !part.starts_with("seed=") {
                    return Err(format!("'{part}' in '{text}' is no condition"));
                }
            }
            Ok(Self { point, action, conditions })
        }
    }
}

#[cfg(all(test, feature = "fault-points"))]
mod tests;
