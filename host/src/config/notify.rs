//! `[[notify]]`: who is told of what.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::exchange;
use super::place;
use super::secret::Secret;
use super::section::{Item, Section, quote};
use super::told::{About, Notify, NotifyExchange, Webhook, WebhookFormat};
use crate::limits;
use crate::notice::{ConditionKind, Severity};
use crate::verdict::FailureClass;

/// Keys that are about failures alone.
const ABOUT_FAILURES: [&str; 3] = ["class", "code", "plugin"];

/// Reads one rule. `broker` is where its exchange is unless it says otherwise.
pub(super) fn read(section: Section<'_>, broker: Option<&str>) -> Option<Notify> {
    let name = section.required_text("name", "give the rule a `name`: its receivers see it");
    let longest = limits::HOST_DURATION_MAX;
    let any = || Duration::ZERO..=longest;
    let some = || Duration::from_secs(1)..=longest;
    let notify = Notify {
        name: name.clone().unwrap_or_default(),
        about: read_about(&section),
        at_least: section.number("at_least", 1..=limits::NOTIFY_AT_LEAST_MAX).unwrap_or(1),
        within: section.duration("within", some()).unwrap_or(limits::NOTIFY_WITHIN),
        after: section.duration("after", any()).unwrap_or(limits::NOTIFY_AFTER),
        cool_down: section.duration("cool_down", some()).unwrap_or(limits::NOTIFY_COOL_DOWN),
        resolve_after: section
            .duration("resolve_after", some())
            .unwrap_or(limits::NOTIFY_RESOLVE_AFTER),
        per_minute: section
            .number("per_minute", 1..=limits::NOTIFY_PER_MINUTE_MAX)
            .unwrap_or(limits::NOTIFY_PER_MINUTE),
        labels: read_labels(&section),
        exchange: read_exchange(&section, broker),
        webhook: read_webhook(&section),
    };
    if !section.has("exchange") && !section.has("webhook") {
        let remedy = "add `exchange = \"…\"`, `webhook = \"https://…\"`, or both";
        section.notes.missing(&section.at("exchange"), remedy);
    }
    section.finish();
    name.map(|_| notify)
}

fn read_about(section: &Section<'_>) -> About {
    let texts = |key| section.texts(key).into_iter().map(|(_, text)| text).collect();
    let classes: Vec<(&str, FailureClass)> =
        FailureClass::ALL.iter().map(|class| (class.as_str(), *class)).collect();
    let kinds: Vec<(&str, ConditionKind)> =
        ConditionKind::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let of_failures = ABOUT_FAILURES.iter().any(|key| section.has(key));
    let conditions = section.item("conditions").map(|item| read_conditions(&item, &kinds));
    About {
        failures: of_failures || conditions.as_ref().is_none_or(Vec::is_empty),
        conditions: conditions
            .unwrap_or_else(|| if of_failures { Vec::new() } else { ConditionKind::ALL.to_vec() }),
        classes: words(section, "class", &classes),
        codes: texts("code"),
        plugins: texts("plugin"),
        pipelines: texts("pipeline"),
        queues: texts("queue"),
        severity: section.choice("severity", &severities),
    }
}

/// A list of conditions; `true` is all, `false` none.
fn read_conditions(item: &Item<'_>, kinds: &[(&str, ConditionKind)]) -> Vec<ConditionKind> {
    match item.value {
        DeValue::Boolean(true) => ConditionKind::ALL.to_vec(),
        DeValue::Boolean(false) => Vec::new(),
        _ => item
            .list("true, false, or a list of conditions")
            .iter()
            .filter_map(|each| each.choice(kinds))
            .collect(),
    }
}

/// One word, or a list of words.
fn words<T: Copy>(section: &Section<'_>, key: &'static str, known: &[(&str, T)]) -> Vec<T> {
    let Some(item) = section.item(key) else { return Vec::new() };
    match item.value {
        DeValue::String(_) => item.choice(known).into_iter().collect(),
        _ => {
            let items = item.list("a text or a list of texts");
            items.iter().filter_map(|each| each.choice(known)).collect()
        }
    }
}

fn read_labels(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, item) in section.named("labels") {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("'{}' is no name of a label", quote(&name));
            item.notes.wrong_key(&item.path, message, "use letters, digits and `_`");
        }
        if let Some(text) = item.text() {
            labels.insert(name, text);
        }
    }
    labels
}

fn read_exchange(section: &Section<'_>, broker: Option<&str>) -> Option<NotifyExchange> {
    let routing_key = section.text("routing_key");
    if let Some(key) = &routing_key {
        exchange::short(section, "routing_key", key);
    }
    let on = exchange::broker_of(section, broker);
    let name = section.text("exchange");
    for key in ["routing_key", "broker"] {
        if !section.has("exchange") && section.has(key) {
            let message = format!("`{key}` is about an exchange, and none is named");
            section.notes.wrong_key(&section.at(key), message, "add `exchange = \"…\"`");
        }
    }
    Some(NotifyExchange { broker: on, name: name?, routing_key })
}

fn read_webhook(section: &Section<'_>) -> Option<Webhook> {
    let url = section.item("webhook").and_then(|item| read_url(&item));
    let formats =
        [("webhook", WebhookFormat::Webhook), ("alertmanager", WebhookFormat::Alertmanager)];
    let format = section.choice("format", &formats).unwrap_or(WebhookFormat::Webhook);
    let mut headers = BTreeMap::new();
    for (name, item) in section.named("headers") {
        let token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            let message = format!("'{}' is no name of a header", quote(&name));
            item.notes.wrong_key(&item.path, message, "use letters, digits, `-` and `_`");
        }
        let remedy = "a header's value is often a secret: write `{ file = \"…\" }` or \
                      `{ env = \"NAME\" }`";
        if let Some(value) = place::read(&item, remedy) {
            headers.insert(name, value);
        }
    }
    let ca = section.file("ca");
    for key in ["format", "headers", "ca"] {
        if !section.has("webhook") && section.has(key) {
            let message = format!("`{key}` is about a webhook, and there is none");
            section.notes.wrong_key(&section.at(key), message, "add `webhook = \"https://…\"`");
        }
    }
    Some(Webhook { url: url?, format, headers, ca })
}

fn read_url(item: &Item<'_>) -> Option<Secret> {
    let remedy = "write \"https://…\", or, where the address is a secret, `{ file = \"…\" }` or \
                  `{ env = \"NAME\" }`";
    let DeValue::String(text) = item.value else {
        return place::read(item, remedy);
    };
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            let message = format!("'{}:' is no scheme to post to", quote(url.scheme()));
            item.notes.error(&item.path, message, "write `https://…` or `http://…`");
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            let remedy = "write `headers.Authorization = { file = \"…\" }`, whose file holds \
                          `Bearer …` or `Basic …`";
            item.notes.error(&item.path, "this address holds credentials", remedy);
        }
        Ok(url) => return Some(Secret::Inline(url.to_string())),
        Err(error) => item.notes.error(&item.path, format!("this is no address: {error}"), remedy),
    }
    None
}
