//! The example's config with MQTT in front: as docs/mqtt.md says what to change.

use std::fs;

use crate::tidy::source::root;

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From a broker that speaks MQTT.
    Direct,
    /// By RabbitMQ's plugin.
    Plugin,
}

/// The queues that meters and head-ends feed, with their topics.
const INTAKE: [(&str, &str); 5] = [
    ("meters.collected", "collected/+"),
    ("meters.profiles", "meter/+/+/profile"),
    ("meters.readings", "meter/+/+/reading"),
    ("meters.events", "meter/+/+/event"),
    ("meters.watch", "meter/#"),
];

/// The config of a host on that RabbitMQ, and that other broker.
pub(super) fn of(way: Way, url: &str, broker: &str) -> String {
    let text = fs::read_to_string(root().join("examples/meters/meters.toml")).unwrap();
    let mut text = text.replace("amqp://127.0.0.1:5672/%2f", url);
    for (queue, filter) in INTAKE {
        text = edit(&text, &format!("[[queue]]\nname = \"{queue}\"\n"), |block| match way {
            Way::Direct => session(queue, filter),
            Way::Plugin => {
                block.replace("bind = [", &format!("bind = [{{ mqtt = \"{filter}\" }}, "))
            }
        });
    }
    let described = "key = { topic_level = 2, required = true }\ntype = { topic_level = 3 }\n\
                     content_type = \"detect\"\nid = { fields = [\"meter\", \"ts\", \"seq\"] }";
    for pipeline in ["profiles", "readings", "events", "watch"] {
        text = edit(&text, &format!("[[pipeline]]\nname = \"{pipeline}\"\n"), |block| {
            // On RabbitMQ what fails for now has delay queues.
            let retry = if way == Way::Direct { "\nretry = { order = \"key\" }" } else { "" };
            replace_line(block, "key = ", &format!("{described}{retry}"))
        });
    }
    // What comes of them has other routing keys, and the meter in its body.
    text = edit(&text, "[[pipeline]]\nname = \"consumption\"\n", |block| {
        replace_line(block, "key = ", "key = { field = \"meter\", required = true }")
    });
    // Soon enough for a test.
    text = text.replace("contributions = true }", "contributions = true, correction_s = 1 }");
    if way == Way::Direct {
        let back = "{ broker = \"field\", exchange = \"\" }";
        for output in ["profiles", "readings", "events", "status"] {
            text = text.replace(
                &format!("outputs.{output} = {{ exchange = \"meters\" }}"),
                &format!("outputs.{output} = {back}"),
            );
        }
        text.push_str(broker);
    }
    text + "\n[[queue]]\nname = \"all.readings\"\n\
            bind = [{ exchange = \"meters.decided\", key = \"reading.#\" }]\n"
}

fn session(queue: &str, filter: &str) -> String {
    format!(
        "[[queue]]\nname = \"{queue}\"\nbroker = \"field\"\nbind = [{{ mqtt = \"{filter}\" }}]\n\
         dead_letter = {{ exchange = \"meters.dead\", queue = \"meters.dead\", kind = \"quorum\" }}"
    )
}

/// Edits the block that begins so, up to the next empty line.
fn edit(text: &str, begins: &str, edit: impl FnOnce(&str) -> String) -> String {
    let (before, rest) = text.split_once(begins).unwrap_or_else(|| panic!("no {begins}"));
    let end = rest.find("\n\n").unwrap_or(rest.len());
    let block = edit(&format!("{begins}{}", &rest[..end]));
    format!("{before}{block}{}", &rest[end..])
}

fn replace_line(block: &str, begins: &str, with: &str) -> String {
    assert!(block.lines().any(|line| line.starts_with(begins)), "no {begins} in {block}");
    let line =
        |line: &str| if line.starts_with(begins) { with.to_owned() } else { line.to_owned() };
    block.lines().map(line).collect::<Vec<_>>().join("\n")
}
