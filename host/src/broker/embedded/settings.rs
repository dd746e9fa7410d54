//! A queue's declaration as the model uses it: every argument typed and checked, and two
//! declarations of one queue compared.

use std::time::Duration;

use crate::broker::{BrokerError, ExchangeDeclaration, QueueDeclaration};
use crate::config::{ExchangeKind, Overflow, QueueKind};
use crate::message::{FieldValue, Table};

/// What a queue's arguments mean.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) kind: QueueKind,
    /// Highest priority; 0 is a queue without priorities.
    pub(super) max_priority: u8,
    pub(super) message_ttl: Option<Duration>,
    pub(super) expires: Option<Duration>,
    pub(super) max_length: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) overflow: Overflow,
    pub(super) dead_letter_exchange: Option<String>,
    pub(super) dead_letter_routing_key: Option<String>,
    pub(super) delivery_limit: Option<u32>,
    pub(super) single_active_consumer: bool,
}

/// The arguments that some kind of queue knows, and which kinds (classic, quorum, stream) take
/// them. RabbitMQ ignores an argument that none knows, and refuses one that only another kind does.
const ARGUMENTS: &[(&str, [bool; 3])] = &[
    ("x-dead-letter-exchange", [true, true, false]),
    ("x-dead-letter-routing-key", [true, true, false]),
    ("x-dead-letter-strategy", [false, true, false]),
    ("x-delivery-limit", [false, true, false]),
    ("x-expires", [true, true, false]),
    ("x-max-age", [false, false, true]),
    ("x-max-length", [true, true, false]),
    ("x-max-length-bytes", [true, true, true]),
    ("x-max-priority", [true, false, false]),
    ("x-message-ttl", [true, true, false]),
    ("x-overflow", [true, true, false]),
    ("x-queue-mode", [true, false, false]),
    ("x-queue-type", [true, true, true]),
    ("x-queue-version", [true, false, false]),
    ("x-single-active-consumer", [true, true, false]),
    ("x-stream-max-segment-size-bytes", [false, false, true]),
];

// === impl Settings ===

impl Settings {
    /// Reads and checks a declaration.
    pub(super) fn of(queue: &QueueDeclaration) -> Result<Self, BrokerError> {
        let read = Arguments { queue: &queue.name, table: &queue.arguments };
        read.kind_takes(queue)?;
        let settings = Self {
            kind: queue.kind,
            max_priority: u8::try_from(read.number("x-max-priority", 255)?.unwrap_or(0))
                .unwrap_or(u8::MAX),
            message_ttl: read.millis("x-message-ttl")?,
            expires: read.millis("x-expires")?,
            max_length: read.number("x-max-length", u64::MAX)?,
            max_bytes: read.number("x-max-length-bytes", u64::MAX)?,
            overflow: read.overflow()?,
            dead_letter_exchange: read.text("x-dead-letter-exchange")?,
            dead_letter_routing_key: read.text("x-dead-letter-routing-key")?,
            delivery_limit: read
                .number("x-delivery-limit", u32::MAX.into())?
                .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            single_active_consumer: read.flag("x-single-active-consumer")?,
        };
        if settings.expires == Some(Duration::ZERO) {
            return Err(read.wrong("x-expires", "must be at least 1"));
        }
        if settings.dead_letter_exchange.is_none() && settings.dead_letter_routing_key.is_some() {
            return Err(read.wrong("x-dead-letter-routing-key", "needs x-dead-letter-exchange"));
        }
        Ok(settings)
    }
}

/// A queue's arguments, read with the queue's name in every error.
struct Arguments<'a> {
    queue: &'a str,
    table: &'a Table,
}

// === impl Arguments ===

impl Arguments<'_> {
    fn wrong(&self, argument: &str, why: &str) -> BrokerError {
        BrokerError::Unsupported(format!("argument '{argument}' of queue '{}': {why}", self.queue))
    }

    /// Refuses what this kind of queue can't be.
    fn kind_takes(&self, queue: &QueueDeclaration) -> Result<(), BrokerError> {
        let (column, name) = match queue.kind {
            QueueKind::Classic => (0, "classic"),
            QueueKind::Quorum => (1, "quorum"),
            QueueKind::Stream => (2, "stream"),
        };
        if queue.kind != QueueKind::Classic {
            let unfit = [
                (!queue.durable, "durable = false"),
                (queue.exclusive, "exclusive = true"),
                (queue.auto_delete, "auto-delete = true"),
            ];
            if let Some((_, property)) = unfit.iter().find(|(set, _)| *set) {
                return Err(BrokerError::Unsupported(format!(
                    "a {name} queue can't have {property}: queue '{}'",
                    self.queue
                )));
            }
        }
        for (argument, kinds) in ARGUMENTS {
            if self.table.get(argument).is_some() && !kinds[column] {
                return Err(self.wrong(argument, &format!("not for a {name} queue")));
            }
        }
        Ok(())
    }

    fn number(&self, argument: &str, max: u64) -> Result<Option<u64>, BrokerError> {
        let Some(value) = self.table.get(argument) else { return Ok(None) };
        let Some(number) = value.as_i64() else {
            return Err(self.wrong(argument, "must be an integer"));
        };
        match u64::try_from(number) {
            Ok(number) if number <= max => Ok(Some(number)),
            _ => Err(self.wrong(argument, &format!("must be between 0 and {max}, is {number}"))),
        }
    }

    fn millis(&self, argument: &str) -> Result<Option<Duration>, BrokerError> {
        Ok(self.number(argument, u32::MAX.into())?.map(Duration::from_millis))
    }

    fn text(&self, argument: &str) -> Result<Option<String>, BrokerError> {
        let Some(value) = self.table.get(argument) else { return Ok(None) };
        match value.as_text() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong(argument, "must be text")),
        }
    }

    fn flag(&self, argument: &str) -> Result<bool, BrokerError> {
        match self.table.get(argument) {
            None => Ok(false),
            Some(FieldValue::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(argument, "must be a boolean")),
        }
    }

    fn overflow(&self) -> Result<Overflow, BrokerError> {
        match self.text("x-overflow")?.as_deref() {
            None | Some("drop-head") => Ok(Overflow::DropHead),
            Some("reject-publish") => Ok(Overflow::RejectPublish),
            Some("reject-publish-dlx") => Ok(Overflow::RejectPublishDlx),
            Some(_) => Err(self.wrong(
                "x-overflow",
                "must be 'drop-head', 'reject-publish' or 'reject-publish-dlx'",
            )),
        }
    }
}

/// What a queue's second declaration has otherwise than its first.
pub(super) fn queue_mismatch(
    found: &QueueDeclaration,
    wanted: &QueueDeclaration,
) -> Option<BrokerError> {
    let properties = [
        ("x-queue-type", kind_name(wanted.kind), kind_name(found.kind)),
        ("durable", flag_name(wanted.durable), flag_name(found.durable)),
        ("exclusive", flag_name(wanted.exclusive), flag_name(found.exclusive)),
        ("auto_delete", flag_name(wanted.auto_delete), flag_name(found.auto_delete)),
    ];
    let object = format!("queue '{}'", wanted.name);
    let known = ARGUMENTS.iter().map(|(argument, _)| *argument).filter(|a| *a != "x-queue-type");
    differing(&properties)
        .or_else(|| differing_argument(known, &wanted.arguments, &found.arguments))
        .map(|difference| difference.of(object))
}

/// What an exchange's second declaration has otherwise than its first.
pub(super) fn exchange_mismatch(
    found: &ExchangeDeclaration,
    wanted: &ExchangeDeclaration,
) -> Option<BrokerError> {
    let properties = [
        ("type", exchange_kind_name(wanted.kind), exchange_kind_name(found.kind)),
        ("durable", flag_name(wanted.durable), flag_name(found.durable)),
        ("auto_delete", flag_name(wanted.auto_delete), flag_name(found.auto_delete)),
        ("internal", flag_name(wanted.internal), flag_name(found.internal)),
    ];
    let object = format!("exchange '{}'", wanted.name);
    differing(&properties)
        .or_else(|| {
            differing_argument(
                std::iter::once("alternate-exchange"),
                &wanted.arguments,
                &found.arguments,
            )
        })
        .map(|difference| difference.of(object))
}

/// One property or argument with two values.
struct Difference {
    argument: String,
    wanted: String,
    found: String,
}

// === impl Difference ===

impl Difference {
    fn of(self, object: String) -> BrokerError {
        let Self { argument, wanted, found } = self;
        BrokerError::Mismatch { object, argument, wanted, found }
    }
}

fn differing(properties: &[(&str, &str, &str)]) -> Option<Difference> {
    let (argument, wanted, found) = properties.iter().find(|(_, wanted, found)| wanted != found)?;
    Some(Difference {
        argument: (*argument).to_owned(),
        wanted: (*wanted).to_owned(),
        found: (*found).to_owned(),
    })
}

fn differing_argument(
    mut arguments: impl Iterator<Item = &'static str>,
    wanted: &Table,
    found: &Table,
) -> Option<Difference> {
    arguments.find_map(|argument| {
        let (wanted, found) = (shown(wanted.get(argument)), shown(found.get(argument)));
        (wanted != found).then(|| Difference { argument: argument.to_owned(), wanted, found })
    })
}

/// A value as an error shows it: integers of any width alike.
fn shown(value: Option<&FieldValue>) -> String {
    match value {
        None => "none".to_owned(),
        Some(FieldValue::Bool(flag)) => flag.to_string(),
        Some(value) => match (value.as_i64(), value.as_text()) {
            (Some(number), _) => number.to_string(),
            (None, Some(text)) => text.to_owned(),
            (None, None) => format!("{value:?}"),
        },
    }
}

const fn flag_name(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

const fn kind_name(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "classic",
        QueueKind::Quorum => "quorum",
        QueueKind::Stream => "stream",
    }
}

const fn exchange_kind_name(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
    }
}

#[cfg(test)]
mod tests;
