//! `[pipeline.retry]`: what is tried again, how often, after how long, and what waits meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::super::section::{Item, Section};
use super::super::{Retry, RetryOrder};
use crate::limits;
use crate::verdict::FailureClass;

/// Reads it for a pipeline that holds up to `prefetch` messages.
pub(super) fn read(section: Option<Section<'_>>, prefetch: u16) -> Retry {
    let attempts = FailureClass::ALL.into_iter().map(|class| {
        let usual = match class {
            FailureClass::Retry => limits::RETRY_ATTEMPTS,
            FailureClass::Deadline => limits::DEADLINE_ATTEMPTS,
            _ => 1,
        };
        (class, usual)
    });
    let mut retry = Retry {
        attempts: attempts.collect(),
        rungs: limits::RETRY_RUNGS.to_vec(),
        class_rungs: BTreeMap::new(),
        order: RetryOrder::Free,
        park: usize::from(prefetch) / limits::RETRY_PARK_SHARE,
    };
    let Some(section) = section else { return retry };
    let bounds = 1..=limits::RETRY_ATTEMPTS_MAX;
    if let Some(attempts) = section.number("max_attempts", bounds.clone()) {
        retry.attempts.insert(FailureClass::Retry, attempts);
    }
    let mut said = section.has("max_attempts").then(|| section.at("max_attempts"));
    if let Some(by_class) = section.section("attempts") {
        for class in FailureClass::ALL {
            if let Some(attempts) = by_class.number(class.as_str(), bounds.clone()) {
                retry.attempts.insert(class, attempts);
            }
        }
        if section.has("max_attempts") && by_class.has("retry") {
            said_twice(&by_class, "retry", "`max_attempts`");
        }
        for class in FailureClass::ALL {
            if by_class.has(class.as_str())
                && let Some(own) = own_section(&section, class)
                && own.has("max_attempts")
            {
                said_twice(&own, "max_attempts", &format!("`attempts.{class}`"));
            }
        }
        by_class.finish();
    }
    if let Some(item) = section.item("rungs") {
        retry.rungs = read_rungs(&item);
    }
    for class in FailureClass::ALL {
        let said = if class == FailureClass::Retry { said.take() } else { None };
        if let Some(own) = own_section(&section, class) {
            read_class(own, class, said.is_some(), &mut retry);
        }
    }
    read_order(&section, prefetch, &mut retry);
    section.finish();
    retry
}

/// `retry.CLASS`, noted where it isn't a table.
fn own_section<'t>(section: &Section<'t>, class: FailureClass) -> Option<Section<'t>> {
    section.section(class.as_str())
}

fn said_twice(section: &Section<'_>, key: &str, first: &str) {
    let message = format!("{first} says the same");
    section.notes.wrong_key(&section.at(key), message, "keep one of the two");
}

/// What a class has of its own.
fn read_class(section: Section<'_>, class: FailureClass, said: bool, retry: &mut Retry) {
    let attempts = section.number("max_attempts", 1..=limits::RETRY_ATTEMPTS_MAX);
    if said && section.has("max_attempts") {
        said_twice(&section, "max_attempts", "`max_attempts`");
    }
    if let Some(attempts) = attempts {
        retry.attempts.insert(class, attempts);
    }
    if let Some(item) = section.item("rungs") {
        retry.class_rungs.insert(class, read_rungs(&item));
        if retry.attempts_of(class) == 1 && !section.notes.is_broken(&section.at("max_attempts")) {
            let message = format!("nothing of class `{class}` is tried again, so nothing waits");
            let remedy = "add `max_attempts`, or take `rungs` out";
            section.notes.warn(&item.path, message, remedy);
        }
    }
    if !section.has("max_attempts") && !section.has("rungs") {
        let remedy = "add `max_attempts` or `rungs`, or take it out";
        section.notes.error(&section.path, "this class is given nothing of its own", remedy);
    }
    section.finish();
}

fn read_order(section: &Section<'_>, prefetch: u16, retry: &mut Retry) {
    let words = [("free", RetryOrder::Free), ("key", RetryOrder::Key)];
    retry.order = section.choice("order", &words).unwrap_or(RetryOrder::Free);
    let most = usize::from(prefetch) - 1;
    if let Some(item) = section.item("park") {
        if retry.order == RetryOrder::Free {
            let message = "nothing is parked unless a key's order is kept";
            section.notes.warn(&item.path, message, "add `order = \"key\"`, or take `park` out");
        }
        if let Some(park) = item.number(1..=usize::from(u16::MAX)) {
            retry.park = park;
            if park > most {
                let message = format!("what is parked fills the prefetch, {prefetch}");
                let remedy = "write less than `prefetch`, so that other keys go on";
                section.notes.error(&item.path, message, remedy);
            }
        }
    } else if retry.order == RetryOrder::Key {
        retry.park = retry.park.max(1);
        if most == 0 {
            let message = "with a prefetch of 1 nothing can wait for its key";
            section.notes.error(&section.at("order"), message, "raise `prefetch`");
        }
    }
}

fn read_rungs(item: &Item<'_>) -> Vec<Duration> {
    let items = item.list("a list of durations");
    if items.len() > limits::RETRY_RUNGS_MAX {
        let message = format!("{} rungs are too many: each is a queue", items.len());
        item.notes.error(&item.path, message, format!("use at most {}", limits::RETRY_RUNGS_MAX));
    }
    if items.is_empty() && matches!(item.value, DeValue::Array(_)) {
        let remedy = "add one, or set `max_attempts = 1` and leave `rungs` out";
        item.notes.error(&item.path, "there is no rung to wait on", remedy);
    }
    let mut rungs: Vec<Duration> = Vec::new();
    for each in items {
        let bounds = Duration::from_millis(1)..=limits::BROKER_DURATION_MAX;
        let Some(rung) = each.duration(bounds) else { continue };
        if rungs.last().is_some_and(|last| rung <= *last) {
            let message = "this rung isn't longer than the one before";
            each.notes.error(&each.path, message, "write the rungs from short to long");
        }
        rungs.push(rung);
    }
    rungs
}
