//! `sluicegate dlq show`: all that is known of one failure, and the message itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::options::{Common, pass};
use super::table::{Look, Screen};
use super::{Desk, cost, interruptible};
use crate::broker::Publisher;
use crate::cli::exit;
use crate::deadletter::export::{line, table};
use crate::deadletter::filter::{Filter, age};
use crate::deadletter::ledger::{Entry, Named};
use crate::deadletter::work::{Deal, End, Found};
use crate::deadletter::{Trouble, now_s, places};
use crate::limits::DLQ_BODY_BYTES;
use crate::message::Message;
use crate::report::Report;
use crate::telemetry::logging::printable;

/// Options of `show`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(super) struct Args {
    /// The failure's id, the beginning of it, or the message's id
    #[arg(value_name = "ID")]
    id: String,
    /// Look at the message where that costs deliveries (quorum queues)
    #[arg(long)]
    yes: bool,
    /// Don't look at the message
    #[arg(long, conflicts_with = "yes")]
    report_only: bool,
    /// Bytes of the body that are printed; 0 is all
    #[arg(long, value_name = "N", default_value_t = DLQ_BODY_BYTES)]
    body_bytes: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

const HELP: &str = "\
The report comes from the failures queue. The message is looked for in the dead-letter queue of the queue \
where it failed, which is free on classic queues: it goes back into its place. On a quorum queue each look \
counts one delivery of every letter before it; then --yes is needed, and no last delivery is ever spent.

With --json: one object with `failure` and `letter`; either is null where there is none.

Ends with 0, 1 when neither report nor letter is found or something failed, 75 when somebody else reads the \
queue, 78 when the config is wrong.";

/// Keeps the letter that it is shown.
#[derive(Default)]
struct Peek(Option<Found>);

#[async_trait]
impl Deal for Peek {
    fn what(&self) -> &'static str {
        "shown"
    }

    async fn deal(&mut self, group: &[Found], _: &mut dyn Publisher) -> Result<Vec<End>, Trouble> {
        self.0 = self.0.take().or_else(|| group.first().cloned());
        Ok(vec![End::Kept; group.len()])
    }
}

/// Runs the verb.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut desk = Desk::open(&args.common).await?;
    let ledger = desk.ledger().await?;
    let entry = match ledger.named(&args.id) {
        Named::One(entry) => Some(entry),
        Named::Nobody => None,
        Named::Several(count) => {
            bail!("{count} failures begin with '{}'; write more of it", args.id)
        }
    };
    if let (Some(entry), None) = (entry, &args.common.from) {
        // The queues that can hold it, and no other.
        let all = places::places(&desk.config, &desk.name);
        desk.places = all.into_iter().filter(|p| p.origins.contains(&entry.report.queue)).collect();
    }
    let mut why_not = None;
    let mut found = None;
    if args.report_only {
        why_not = Some("it wasn't asked for".to_owned());
    } else if desk.places.is_empty() {
        why_not =
            Some("no dead-letter queue of its queue is known; name one with --from".to_owned());
    } else if let Some(cost) = cost(&desk.places).filter(|_| !args.yes) {
        why_not = Some(format!("{cost}; --yes looks all the same"));
    } else {
        let wanted = entry.map_or_else(|| args.id.clone(), |entry| entry.report.id.clone());
        let filter = Filter { ids: vec![wanted], ..Filter::default() };
        let mut pass = pass(&desk, filter, interruptible())?;
        pass.limit = Some(1);
        let mut peek = Peek::default();
        pass.run(&ledger, &mut peek).await?;
        found = peek.0;
    }
    desk.close().await;
    if entry.is_none() && found.is_none() {
        let looked = why_not
            .map_or_else(String::new, |why| format!("; its letter wasn't looked for: {why}"));
        bail!("no failure has an id '{}'{looked}", args.id);
    }
    let mut out = std::io::stdout().lock();
    if args.common.json {
        let letter = found.as_ref().map(line);
        let object = json!({ "failure": entry, "letter": letter, "not_looked_at": why_not });
        writeln!(out, "{}", serde_json::to_string_pretty(&object)?)?;
    } else {
        let page = page(entry, found.as_ref(), why_not.as_deref(), args.body_bytes);
        out.write_all(page.as_bytes())?;
    }
    Ok(ExitCode::from(if found.is_none() && entry.is_none() { exit::FAILURE } else { 0 }))
}

/// A page in sections.
struct Page {
    text: String,
    screen: Screen,
}

impl Page {
    fn section(&mut self, title: &str) {
        let title = self.screen.paint(title, Look::Strong);
        let gap = if self.text.is_empty() { "" } else { "\n" };
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "{gap}{title}");
    }

    fn title(&mut self, title: &str) {
        let title = self.screen.paint(title, Look::Bad);
        let _ = writeln!(self.text, "{title}");
    }

    fn field(&mut self, name: &str, value: &str) {
        let name = self.screen.paint(&format!("{name:<14}"), Look::Faint);
        let _ = writeln!(self.text, "  {name}  {}", printable(value));
    }

    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "  {}", printable(line));
        }
    }
}

fn page(
    entry: Option<&Entry>,
    found: Option<&Found>,
    why_not: Option<&str>,
    most: usize,
) -> String {
    let mut page = Page { text: String::new(), screen: Screen::of_stdout() };
    let report = entry.map(|entry| &entry.report).or(found.map(|found| &found.report));
    if let Some(report) = report {
        failure(&mut page, report);
    }
    if let Some(fate) = entry.and_then(|entry| entry.resolution.as_ref()) {
        page.section("Dealt with");
        page.field("what", &fate.what);
        page.field("when", &moment(fate.at));
        page.field("by", &fate.by);
        if let Some(target) = &fate.target {
            page.field("to", target);
        }
        page.field("run", &fate.run);
    }
    match (found, why_not) {
        (Some(found), _) => letter(&mut page, found, most),
        (None, Some(why)) => {
            page.section("Letter");
            page.lines(&format!("not looked at: {why}"));
        }
        (None, None) => {
            page.section("Letter");
            page.lines(
                "no letter: none in the dead-letter queue belongs to this report; it was replayed, \
                        purged, or its queue keeps it no longer",
            );
        }
    }
    if entry.is_none() {
        page.section("Report");
        page.lines(
            "no report: it expired, or what dead-lettered the message wasn't a host (expired, \
                    too many, another consumer)",
        );
    }
    page.text
}

fn failure(page: &mut Page, report: &Report) {
    let title = format!("{}: {}", report.class, report.code);
    page.title(&printable(&title));
    page.lines(&report.text);
    if !report.backtrace.is_empty() {
        page.section("Backtrace");
        page.lines(&report.backtrace.join("\n"));
    }
    page.section("Failure");
    let tries = match report.attempt {
        0 => String::new(),
        attempt => format!("attempt {attempt}"),
    };
    let stage = report.stage.map(|stage| stage.to_string());
    let replayed = (report.replay_count > 0).then(|| format!("{} times", report.replay_count));
    // Of what failed in a plugin's call; whether it was recorded only its host knows.
    let again = report.stage.map(|_| format!("sluicegate replay {}", report.id));
    let tables: Vec<String> =
        report.tables.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
    let tables = (!tables.is_empty()).then(|| tables.join(", "));
    let fields = [
        ("id", Some(report.id.as_str())),
        ("fingerprint", Some(&report.fingerprint)),
        ("pipeline", Some(&report.pipeline)),
        ("stage", stage.as_deref()),
        ("plugin", report.plugin.as_deref()),
        ("digest", report.plugin_digest.as_deref()),
        ("tables", tables.as_deref()),
        ("run again", again.as_deref()),
        ("tried", Some(&tries)),
        ("failed", Some(&moment(report.failed_at))),
        ("first failed", Some(&moment(report.first_failed_at))),
        ("replayed", replayed.as_deref()),
        ("replay of", report.replay_of.as_deref()),
        ("host", Some(&report.host)),
        ("trace", report.traceparent.as_deref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            page.field(name, value);
        }
    }
    page.section("Origin");
    let size = format!("{} bytes, BLAKE3 {}", report.body_bytes, report.body_digest);
    let fields = [
        ("queue", Some(report.queue.as_str())),
        ("exchange", Some(if report.exchange.is_empty() { "(default)" } else { &report.exchange })),
        ("routing key", Some(&report.routing_key)),
        ("message id", report.message_id.as_deref()),
        ("key", report.key.as_deref()),
        ("body", Some(&size)),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            page.field(name, value);
        }
    }
}

fn letter(page: &mut Page, found: &Found, most: usize) {
    let letter = &found.letter;
    page.section("Letter");
    page.field("in queue", &found.place);
    for death in &letter.deaths {
        let text = format!(
            "{} in queue {} ({}×), {}",
            death.reason,
            death.queue,
            death.count,
            moment(death.time)
        );
        page.field("death", &text);
    }
    let properties = line(found);
    if let Some(Value::Object(properties)) = properties.get("properties") {
        for (name, value) in properties {
            page.field(name, &plain(value));
        }
    }
    if let Value::Object(headers) = table(&letter.message.properties.headers)
        && !headers.is_empty()
    {
        page.section("Headers");
        for (name, value) in &headers {
            page.field(name, &plain(value));
        }
    }
    page.section("Body");
    let (text, cut) = body(&letter.message, most);
    page.lines(&text);
    if cut > 0 {
        page.lines(&format!("… {cut} bytes more; --body-bytes 0 prints all"));
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The body for people (JSON and MessagePack indented, text, or hexadecimal), and bytes left out.
fn body(message: &Message, most: usize) -> (String, usize) {
    let bytes = &message.body;
    if bytes.is_empty() {
        return ("(empty)".to_owned(), 0);
    }
    let packed =
        message.properties.content_type.as_deref().is_some_and(|it| it.contains("msgpack"));
    let value: Option<Value> = match packed {
        true => rmp_serde::from_slice(bytes).ok(),
        false => serde_json::from_slice(bytes).ok(),
    };
    let text = match (value, std::str::from_utf8(bytes)) {
        (Some(value), _) => serde_json::to_string_pretty(&value).unwrap_or_default(),
        (None, Ok(text)) => text.to_owned(),
        (None, Err(_)) => {
            let shown = &bytes[..if most == 0 { bytes.len() } else { bytes.len().min(most / 4) }];
            return (hex(shown), bytes.len() - shown.len());
        }
    };
    if most == 0 || text.len() <= most {
        return (text, 0);
    }
    let cut = text.floor_char_boundary(most);
    (text[..cut].to_owned(), text.len() - cut)
}

/// Sixteen bytes a line, as text beside.
fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (at, row) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let visible = |byte: &u8| if (b' '..=b'~').contains(byte) { *byte as char } else { '.' };
        let text: String = row.iter().map(visible).collect();
        let _ = writeln!(out, "{:06x}  {:<47}  {text}", at * 16, digits.join(" "));
    }
    out
}

/// A time and how long ago it is.
fn moment(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    match time {
        Some(time) if at > 0 => format!("{time} ({} ago)", age(now_s().saturating_sub(at))),
        _ => String::new(),
    }
}
