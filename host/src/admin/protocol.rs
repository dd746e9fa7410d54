//! What is said over the control socket: one request and one answer per connection, each a line of JSON.
//!
//! ```text
//! → {"request":"pause","pipeline":"readings"}
//! ← {"answer":"done","message":"pipeline 'readings' is paused"}
//! ```
//!
//! What is followed answers with lines until one side has enough; a client that is too slow for them
//! is told how many it missed:
//!
//! ```text
//! → {"request":"tap","pipeline":"readings","sample_ppm":100000,"rate":20}
//! ← {"answer":"following","message":"pipeline 'readings'"}
//! ← {"pipeline":"readings","stage":0, …}
//! ← {"lost":12}
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::state::{Look, OneKey};

/// What is asked of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// How is it doing?
    Status,
    /// As [`Command::Drain`].
    Drain,
    /// As [`Command::Pause`].
    Pause {
        /// The pipeline.
        pipeline: String,
    },
    /// As [`Command::Resume`].
    Resume {
        /// The pipeline.
        pipeline: String,
    },
    /// As [`Command::Scale`].
    Scale {
        /// The pipeline.
        pipeline: String,
        /// The shards.
        shards: usize,
    },
    /// As [`Watch::Tap`].
    Tap(Tap),
    /// As [`Watch::ReloadPlugin`].
    ReloadPlugin {
        /// The plugin.
        plugin: String,
    },
    /// As [`Watch::Rollback`].
    Rollback {
        /// The plugin.
        plugin: String,
        /// What the digest of the version begins with.
        to: Option<String>,
    },
    /// As [`Command::PluginHistory`].
    PluginHistory {
        /// The plugin; none is all of them.
        plugin: Option<String>,
    },
    /// As [`Watch::State`].
    State(StateRequest),
    /// As [`Watch::Reload`].
    Reload {
        /// The plugin; `None` is the config and all of them.
        plugin: Option<String>,
    },
}

/// What an operator can follow while it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Messages and decisions of a pipeline.
    Tap(Tap),
    /// A reload of that plugin, or of the config and all plugins, while it is done: lines of
    /// [`ReloadLine`](super::reload::ReloadLine). It goes on where nobody follows any more.
    Reload(Option<String>),
    /// A plugin whose file is loaded anew: each step, then how it ended.
    ReloadPlugin(String),
    /// A plugin whose former version is put back: the same.
    Rollback {
        /// The plugin.
        plugin: String,
        /// What the digest of the version begins with; none is the last one.
        to: Option<String>,
    },
    /// What plugins remember: lines as [`state::look`](crate::state::look()) tells them, then [`StateEnded`].
    State(StateRequest),
}

/// What is asked about what plugins remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRequest {
    /// The state folder that is meant, so that no other host answers.
    pub folder: PathBuf,
    /// What is asked.
    pub ask: StateAsk,
}

/// What can be asked about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateAsk {
    /// What is there?
    Look(Look),
    /// Forget that key.
    Forget(OneKey),
}

/// The last line about what plugins remember: without it something is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEnded {
    /// Tells it from all other lines.
    pub state_ended: bool,
    /// Stages at which the key was forgotten.
    pub forgotten: usize,
    /// Why it can't be told, or done.
    pub error: Option<String>,
}

/// A look at what a pipeline's plugins are handed and decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tap {
    /// The pipeline.
    pub pipeline: String,
    /// With bodies and state; without, only their sizes.
    pub bodies: bool,
    /// How many of a million messages are looked at.
    pub sample_ppm: u32,
    /// At most so many messages in a second.
    pub rate: u32,
    /// What is looked at is recorded as capsules too.
    pub record: bool,
}

/// What an operator can tell a host to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop consuming, finish what is in hand, exit.
    Drain,
    /// Take no more deliveries in that pipeline; finish those in hand.
    Pause(String),
    /// Take deliveries again.
    Resume(String),
    /// Have that pipeline use so many shards.
    Scale(String, usize),
    /// Say which versions of a plugin served, or of all: JSON.
    PluginHistory(Option<String>),
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status {
        /// The host.
        status: Box<Status>,
    },
    /// The command is carried out.
    Done {
        /// What happens now.
        message: String,
    },
    /// To what is followed: lines come behind this one.
    Following {
        /// What is followed.
        message: String,
    },
    /// It isn't carried out.
    Refused {
        /// Why.
        error: String,
    },
}
