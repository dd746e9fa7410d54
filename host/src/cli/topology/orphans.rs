//! `topology --orphans`: delay queues that the config no longer uses, and how to be rid of them.

use std::fmt::Write as _;

use super::quoted;
use crate::broker::BrokerError;
use crate::broker::amqp::AmqpBroker;
use crate::config::{BrokerKind, Config, QueueKind};
use crate::telemetry::logging::printable;
use crate::topology::{self, Orphan, Orphans, Source};

/// What a deletion came to, or why there was none.
enum Deleted {
    /// Nobody asked for it.
    No,
    Yes,
    /// It wasn't empty any more.
    InUse,
    Failed(BrokerError),
}

/// Looks, deletes what is empty if asked to, and tells. Whether the broker could be asked and all
/// that was tried succeeded.
pub(super) async fn tell(config: &Config, name: &str, delete_empty: bool) -> (String, bool) {
    let Some(broker) = config.brokers.get(name) else { return (String::new(), true) };
    let BrokerKind::Amqp(amqp) = &broker.kind else {
        let text = format!("broker {name} isn't a RabbitMQ: nothing of the host is left there\n");
        return (text, true);
    };
    let connection = AmqpBroker::new(name, amqp.clone());
    let orphans = match topology::orphans(config, name, &*connection).await {
        Ok(orphans) => orphans,
        Err(error) => {
            return (format!("broker {name}: {}\n", printable(&error.to_string())), false);
        }
    };
    let mut text = heading(name, &orphans);
    let mut good = true;
    let vhost = topology::vhost(broker);
    for orphan in &orphans.found {
        let wanted = delete_empty && is_deletable(orphan);
        let deleted = if wanted {
            match connection.delete_if_empty(&orphan.name).await {
                Ok(true) => Deleted::Yes,
                Ok(false) => Deleted::InUse,
                Err(error) => Deleted::Failed(error),
            }
        } else {
            Deleted::No
        };
        good &= !matches!(deleted, Deleted::Failed(_));
        text += &lines(orphan, &vhost, &deleted);
    }
    crate::broker::Broker::close(&*connection).await;
    (text, good)
}

fn heading(name: &str, orphans: &Orphans) -> String {
    let count = orphans.found.len();
    let count = match count {
        0 => "no delay queue is left that this config doesn't use".to_owned(),
        1 => "1 delay queue that this config doesn't use".to_owned(),
        _ => format!("{count} delay queues that this config doesn't use"),
    };
    match &orphans.source {
        Source::Management => format!("broker {name}: {count}\n"),
        Source::Export => format!(
            "broker {name}: {count}\n  looked for in the definitions export: one that is younger than it \
             isn't in it\n"
        ),
        Source::Guessed { names, why } => {
            let why = why.as_ref().map_or_else(
                || "name the management API or a definitions export in the config".to_owned(),
                |why| printable(why),
            );
            format!(
                "broker {name}: {count}\n  AMQP lists no queues: only {names} likely names were asked for \
                 (the rungs of the default ladder and of this config, both kinds). To see all, {why}\n"
            )
        }
    }
}

/// Empty, a queue of this config's, and of the kind that the broker deletes only while it is empty.
fn is_deletable(orphan: &Orphan) -> bool {
    orphan.messages == Some(0) && orphan.work.is_some() && orphan.kind == Some(QueueKind::Classic)
}

fn lines(orphan: &Orphan, vhost: &str, deleted: &Deleted) -> String {
    let mut text = format!("  {}\n", printable(&orphan.name));
    let mut say = |line: &str| {
        let _infallible = writeln!(text, "    {line}");
    };
    let messages = match orphan.messages {
        Some(0) => "empty".to_owned(),
        Some(1) => "1 message".to_owned(),
        Some(n) => format!("{n} messages"),
        None => "may not be looked into".to_owned(),
    };
    let Some(work) = &orphan.work else {
        say(&format!(
            "{messages}; it leads to no queue of this config: leave it to whoever made it"
        ));
        return text;
    };
    let back = format!("to queue {}", printable(work));
    match (orphan.messages, orphan.rung) {
        (Some(0), _) => say(&messages),
        (_, Some(rung)) => {
            say(&format!("{messages}; what waits comes back {back} by itself within {rung:?}"));
        }
        (_, None) => say(&format!("{messages}; what waits comes back {back} by itself")),
    }
    let by_hand = format!("rabbitmqctl delete_queue -p {} {}", quoted(vhost), quoted(&orphan.name));
    match deleted {
        Deleted::Yes => say("deleted"),
        Deleted::InUse => say("not deleted: it isn't empty any more"),
        Deleted::Failed(error) => say(&format!("not deleted: {}", printable(&error.to_string()))),
        Deleted::No if orphan.kind == Some(QueueKind::Quorum) => {
            say(&format!("when it is empty and no host with the earlier config runs: {by_hand}"))
        }
        Deleted::No => say(&format!("when it is empty: --delete-empty, or {by_hand} --if-empty")),
    }
    text
}

#[cfg(test)]
mod tests;
