//! An incident as it is remembered.

use serde::{Deserialize, Serialize};

/// How soon somebody must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Info,
    Minor,
    Major,
    Critical,
}

/// Where in its life it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Nobody was told yet.
    Gathering,
    /// It is there.
    Raised,
    /// It is over, unless it comes back.
    Cooling,
}

/// What belongs together: one class of fault of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) class: String,
    pub(crate) region: String,
    pub(crate) severity: Severity,
    pub(crate) phase: Phase,
    /// Seconds since 1970, as all times here.
    pub(crate) began_s: u64,
    /// The last report.
    pub(crate) heard_s: u64,
    /// When the meters were last all well, or one of them no more.
    pub(crate) turned_s: u64,
    pub(crate) meters: Vec<Meter>,
    /// Meters beyond those that are told apart.
    pub(crate) more: u32,
    pub(crate) acknowledged_by: Option<String>,
    pub(crate) escalations: u32,
    /// How often it came back while it cooled down.
    pub(crate) flaps: u32,
    /// Whether it is waited for more to join it.
    pub(crate) gathers: bool,
    /// Whether something changed that isn't published.
    pub(crate) changed: bool,
    /// How many messages told of it.
    pub(crate) told: u32,
}

/// A meter of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meter {
    pub(crate) id: String,
    pub(crate) back: bool,
}

// === impl Severity ===

impl Severity {
    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::Info, Self::Minor, Self::Major, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == text)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }

    /// The priority of messages about it.
    pub(crate) fn priority(self) -> u8 {
        match self {
            Self::Info => 0,
            Self::Minor => 3,
            Self::Major => 6,
            Self::Critical => 9,
        }
    }
}

// === impl Incident ===

impl Incident {
    pub(crate) fn new(class: &str, region: &str, now_s: u64) -> Self {
        Self {
            class: class.to_owned(),
            region: region.to_owned(),
            severity: Severity::Info,
            phase: Phase::Gathering,
            began_s: now_s,
            heard_s: now_s,
            turned_s: now_s,
            meters: Vec::new(),
            more: 0,
            acknowledged_by: None,
            escalations: 0,
            flaps: 0,
            gathers: false,
            changed: false,
            told: 0,
        }
    }

    /// The name by which it is acknowledged.
    pub(crate) fn id(&self, key: &str) -> String {
        format!("{key}/{}/{}", self.class, self.began_s)
    }

    pub(crate) fn timer(&self, what: &str) -> String {
        format!("{}/{what}", self.class)
    }

    /// A meter has it. Whether that is news.
    pub(crate) fn add(&mut self, id: &str, most: usize) -> bool {
        if let Some(meter) = self.meters.iter_mut().find(|meter| meter.id == id) {
            return std::mem::replace(&mut meter.back, false);
        }
        if self.meters.len() >= most {
            self.more = self.more.saturating_add(1);
        } else {
            self.meters.push(Meter { id: id.to_owned(), back: false });
        }
        true
    }

    /// A meter has it no more. Whether that is news.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let meter = self.meters.iter_mut().find(|meter| meter.id == id);
        meter.is_some_and(|meter| !std::mem::replace(&mut meter.back, true))
    }

    pub(crate) fn affected(&self) -> usize {
        self.meters.len() + self.more as usize
    }

    pub(crate) fn back(&self) -> usize {
        self.meters.iter().filter(|meter| meter.back).count()
    }

    /// Whether so many in a hundred of the meters that are told apart are back.
    pub(crate) fn is_well(&self, percent: usize) -> bool {
        self.back() * 100 >= self.meters.len() * percent
    }
}
