//! What a trial does and for how long, as the environment says; a short one otherwise.

use std::time::Duration;

use super::faults::Fault;

/// Says what to do: `for=10m seed=7 faults=200 only=host-killed,cut hurry=90`, in any order, all optional.
const VARIABLE: &str = "SLUICEGATE_CHAOS";
/// The seed of the short trial, the same each time.
const SEED: u64 = 1;

/// How many in a hundred quick faults are followed by the next before all is well again.
const HURRY: u8 = 25;

/// What a trial does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// What it draws from.
    pub(super) faults: Vec<Fault>,
    pub(super) ends: Ends,
    /// How many in a hundred quick faults aren't recovered from before the next.
    pub(super) hurry: u8,
}

/// When nothing more is broken. Each of the plan's faults strikes once before that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    After(Duration),
    /// So many faults.
    Count(usize),
}

// === impl Plan ===

impl Plan {
    /// What the environment says; without it, a short one.
    pub(super) fn from_environment() -> Self {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text).unwrap_or_else(|why| panic!("{VARIABLE}: {why}")),
            Err(_) => Self::short(),
        }
    }

    /// Every fault that is over soon, once.
    pub(super) fn short() -> Self {
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.is_quick()).collect();
        Self { seed: SEED, ends: Ends::Count(faults.len()), faults, hurry: HURRY }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut plan = Self {
            seed: fastrand::u64(..1_000_000),
            faults: Fault::ALL.to_vec(),
            ends: Ends::After(Duration::from_secs(60)),
            hurry: HURRY,
        };
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or(format!("'{word}' has no '='"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("'{word}' is no number"));
            match name {
                "seed" => plan.seed = number()?,
                "for" => plan.ends = Ends::After(duration(value)?),
                "faults" => plan.ends = Ends::Count(usize::try_from(number()?).unwrap_or_default()),
                "hurry" => plan.hurry = u8::try_from(number()?.min(100)).unwrap_or(HURRY),
                "only" => {
                    plan.faults = value.split(',').map(Fault::named).collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("'{name}' is none of seed, for, faults, only, hurry")),
            }
        }
        Ok(plan)
    }
}

/// `90s`, `10m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    units
        .iter()
        .find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            Some(Duration::from_secs(number * seconds))
        })
        .ok_or(format!("'{text}' is no time such as 90s, 10m or 2h"))
}

#[test]
fn a_plan_is_read_as_it_is_written() {
    let plan = Plan::parse("seed=7 only=cut,host-killed for=10m hurry=90").unwrap();
    assert_eq!((plan.seed, plan.faults.len(), plan.hurry), (7, 2, 90));
    assert!(matches!(plan.ends, Ends::After(time) if time == Duration::from_secs(600)));
    assert!(matches!(Plan::parse("faults=200").unwrap().ends, Ends::Count(200)));
    for wrong in ["seed", "seed=x", "for=10", "only=peace", "pace=3"] {
        assert!(Plan::parse(wrong).is_err(), "{wrong}");
    }
}
