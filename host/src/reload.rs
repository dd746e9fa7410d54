//! What changes on a running host: files that are followed, plugins that are swapped.
//!
//! ```text
//! file ──► settled, whole ──► compiled, configured ──► trial ──► swap ──► probation ──► it stays
//!             └──────────────┴─── kept old: why ───────┘              └──► rolled back: why
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `config` | says what another config changes |
//! | `watch` | follows files and tells of what they hold once it has settled |
//! | `whole` | tells a whole component from one that is still being written |
//! | `plugins`, `attendant` | takes each plugin from version to version, one step after another |
//! | `eyes` | looks at the calls of the version that serves: failures, copies for a trial |
//! | `gate` | has a version wait before its swap until all of a config can be applied |
//! | `trial` | runs a version on what the serving one is handed, and throws the answers away |
//! | `probation` | judges a version that serves since a moment ago |
//! | `history` | keeps the last versions, so that one can be put back |
//! | `outcome` | what became of it, and what is told on the way |

mod attendant;
pub mod config;
mod eyes;
mod gate;
mod history;
mod outcome;
mod plugins;
mod probation;
mod trial;
pub mod watch;
mod whole;

pub use gate::{Alteration, Serving};
pub use history::{History, Kept};
pub use outcome::{Line, Outcome, What};
pub use plugins::{Recorded, RecordedCall, Reloads, Standing, Teller};
pub use whole::whole;
