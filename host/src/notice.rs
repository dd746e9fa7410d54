//! What people may have to be told of: a message that failed for good, a condition that began or ended.

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::verdict::FailureClass;

/// One thing that somebody may want to hear of.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A message ended as a failure. It was judged so; should its report or its copy then be lost with
    /// a connection, it is judged again, and told again.
    Failure(Box<Report>),
    /// Something is the matter.
    Began(Condition),
    /// It no longer is.
    Ended(Condition),
}

/// Something that is the matter for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What.
    pub kind: ConditionKind,
    /// With what: a pipeline, a broker or a queue, by its name; empty for the host itself.
    pub subject: String,
    /// For people.
    pub text: String,
    /// Seconds since 1970.
    pub since: u64,
}

/// The kinds of condition. A closed set: metrics label by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// A broker can't be reached, or isn't as the config needs it.
    BrokerUnreachable,
    /// A broker takes no publishes: a memory or disk alarm.
    PublishesBlocked,
    /// A pipeline waits for its broker or its queue.
    PipelineWaiting,
    /// A pipeline was paused by an operator, or can't publish.
    PipelinePaused,
    /// A larger share of a pipeline's messages fails than before.
    FailuresRising,
    /// A dead-letter queue, or the queue of failure reports, is nearly full or nearly too old.
    DeadLettersNearLimit,
    /// Failure reports are on disk that no broker took.
    UntoldFailures,
    /// The archive of dead letters can't be written.
    ArchivePaused,
    /// The config file changed and couldn't be applied: an older one runs.
    ConfigStale,
    /// A plugin's latest version isn't what serves: it was refused, or put back.
    PluginHeldBack,
    /// A plugin fails so many messages that its breaker is open.
    PluginBroken,
    /// A plugin answered the same call differently.
    PluginImpure,
}

/// How bad it is. Ordered: what asks for errors gets what is critical too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Somebody should look at it some day.
    Warning,
    /// Messages end that should not.
    Error,
    /// Something stands still.
    Critical,
}

// === impl Notice ===

impl Notice {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Failure(report) => Severity::of_class(&report.class),
            Self::Began(condition) | Self::Ended(condition) => condition.kind.severity(),
        }
    }
}

// === impl ConditionKind ===

impl ConditionKind {
    /// Every kind, in the order in which they are documented.
    pub const ALL: [Self; 12] = [
        Self::BrokerUnreachable,
        Self::PublishesBlocked,
        Self::PipelineWaiting,
        Self::PipelinePaused,
        Self::FailuresRising,
        Self::DeadLettersNearLimit,
        Self::UntoldFailures,
        Self::ArchivePaused,
        Self::ConfigStale,
        Self::PluginHeldBack,
        Self::PluginBroken,
        Self::PluginImpure,
    ];

    /// The name in configs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BrokerUnreachable => "broker_unreachable",
            Self::PublishesBlocked => "publishes_blocked",
            Self::PipelineWaiting => "pipeline_waiting",
            Self::PipelinePaused => "pipeline_paused",
            Self::FailuresRising => "failures_rising",
            Self::DeadLettersNearLimit => "dead_letters_near_limit",
            Self::UntoldFailures => "untold_failures",
            Self::ArchivePaused => "archive_paused",
            Self::ConfigStale => "config_stale",
            Self::PluginHeldBack => "plugin_held_back",
            Self::PluginBroken => "plugin_broken",
            Self::PluginImpure => "plugin_impure",
        }
    }

    /// What its subject is: a label's name.
    #[must_use]
    pub const fn subject(self) -> &'static str {
        match self {
            Self::BrokerUnreachable | Self::PublishesBlocked => "broker",
            Self::PipelineWaiting | Self::PipelinePaused | Self::FailuresRising => "pipeline",
            Self::DeadLettersNearLimit | Self::ArchivePaused => "queue",
            Self::PluginHeldBack => "plugin",
            Self::UntoldFailures | Self::ConfigStale => "host",
            Self::PluginBroken | Self::PluginImpure => "plugin",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::BrokerUnreachable
            | Self::PublishesBlocked
            | Self::PipelineWaiting
            | Self::PipelinePaused
            | Self::PluginBroken => Severity::Critical,
            Self::FailuresRising
            | Self::UntoldFailures
            | Self::ArchivePaused
            | Self::ConfigStale
            | Self::PluginHeldBack => Severity::Error,
            Self::PluginImpure | Self::DeadLettersNearLimit => Severity::Warning,
        }
    }
}

// === impl Severity ===

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 3] = [Self::Warning, Self::Error, Self::Critical];

    /// The name in configs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Of a failure of that class: what a plugin decides, or a producer causes, is a warning; what
    /// somebody must mend in a plugin or a config is an error.
    #[must_use]
    pub fn of_class(class: &str) -> Self {
        let expected = [FailureClass::Reject, FailureClass::Retry, FailureClass::Intake];
        if expected.iter().any(|it| it.as_str() == class) { Self::Warning } else { Self::Error }
    }
}
