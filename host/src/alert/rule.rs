//! Whether a rule is about a notice.

use crate::config::About;
use crate::notice::{Condition, Notice};
use crate::report::Report;

/// Whether the rule is about it.
pub(super) fn is_about(about: &About, notice: &Notice) -> bool {
    if about.severity.is_some_and(|least| notice.severity() < least) {
        return false;
    }
    match notice {
        Notice::Failure(report) => about.failures && is_about_failure(about, report),
        Notice::Began(condition) | Notice::Ended(condition) => {
            about.conditions.contains(&condition.kind) && is_about_condition(about, condition)
        }
    }
}

fn is_about_failure(about: &About, report: &Report) -> bool {
    let classes = &about.classes;
    (classes.is_empty() || classes.iter().any(|class| class.as_str() == report.class))
        && is_one_of(&about.codes, &report.code)
        && is_one_of(&about.plugins, report.plugin.as_deref().unwrap_or_default())
        && is_one_of(&about.pipelines, &report.pipeline)
        && is_one_of(&about.queues, &report.queue)
}

/// A rule for some pipelines or queues isn't about what concerns none of these.
fn is_about_condition(about: &About, condition: &Condition) -> bool {
    let named = |kind: &str, names: &[String]| {
        names.is_empty() || condition.kind.subject() == kind && is_one_of(names, &condition.subject)
    };
    match (about.pipelines.is_empty(), about.queues.is_empty()) {
        (false, false) => named("pipeline", &about.pipelines) || named("queue", &about.queues),
        _ => named("pipeline", &about.pipelines) && named("queue", &about.queues),
    }
}

fn is_one_of(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|it| it == name)
}

#[cfg(test)]
mod tests;
