//! `sluicegate tap`: messages and decisions of a running host, as they happen.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::exit;
use crate::admin::client;
use crate::admin::protocol::{Request, Tap};
use crate::limits::{TAP_RATE, TAP_RATE_MAX};
use crate::telemetry::logging::printable;

/// Options of `tap`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline's name in the config
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// Show bodies, headers and state; without, only their sizes
    #[arg(long)]
    bodies: bool,
    /// Messages a second at most: 5, 5/s, 30/m
    #[arg(long, value_name = "N/s", value_parser = super::publish::rate)]
    rate: Option<f64>,
    /// The share of messages that is looked at, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    sample: f64,
    /// Record the calls of these messages as capsules too
    #[arg(long)]
    record: bool,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
    /// The host's control socket [default: where a host of this user, or the system's, puts it]
    #[arg(long, value_name = "PATH", env = "SLUICEGATE_SOCKET")]
    socket: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a share is more than 0 and at most 1: 0.1".to_owned())
}

/// Follows a pipeline until the host ends it, the reader has gone, or Ctrl-C.
///
/// # Errors
/// Where no host answers.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let rate = args.rate.unwrap_or_else(|| f64::from(TAP_RATE)).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they saturate")]
    let request = Request::Tap(Tap {
        pipeline: args.pipeline,
        bodies: args.bodies,
        sample_ppm: (args.sample * 1e6).ceil() as u32,
        rate: (rate as u32).clamp(1, TAP_RATE_MAX),
        record: args.record,
    });
    let mut followed = match client::follow(args.socket.as_deref(), &request).await? {
        Ok(followed) => followed,
        Err(error) => {
            eprintln!("sluicegate: the host refused: {}", printable(&error));
            return Ok(ExitCode::from(exit::FAILURE));
        }
    };
    if std::io::stderr().is_terminal() {
        eprintln!("following {}; Ctrl-C ends it", printable(&followed.message));
    }
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let line = tokio::select! {
            line = followed.next() => line?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        };
        let Some(line) = line else {
            eprintln!("sluicegate: the host ended it");
            return Ok(ExitCode::SUCCESS);
        };
        let said: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let text = if args.json { line } else { told(&said) };
        // A reader that has gone, as `head` does, is the end.
        if writeln!(std::io::stdout(), "{text}").is_err() {
            break;
        }
        left -= u64::from(said.get("lost").is_none());
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for people; whatever a message says, it can't move the cursor.
pub(super) fn told(line: &Value) -> String {
    if let Some(lost) = line.get("lost") {
        return format!("({lost} lines lost: they came faster than they were read)");
    }
    // A message may hold line ends, which would pass for lines of ours.
    let text =
        |name: &str| printable(line[name].as_str().filter(|text| !text.is_empty()).unwrap_or("-"));
    let mut said = format!(
        "{}  {}  {} stage {} {}",
        at(line["at_us"].as_i64().unwrap_or(0)),
        text("routing_key"),
        line["key"]
            .as_str()
            .map_or_else(|| "no key".to_owned(), |key| format!("key {}", printable(key))),
        line["stage"],
        text("plugin"),
    );
    if line["attempt"].as_u64().unwrap_or(1) > 1 {
        said.push_str(&format!(", attempt {}", line["attempt"]));
    }
    said.push_str(&format!(" → {}", outcome(line)));
    if let Some(body) = line.get("body") {
        said.push_str(&format!("\n    body    {body}"));
    }
    let headers: Vec<String> =
        line["headers"].as_array().into_iter().flatten().map(header).collect();
    if !headers.is_empty() {
        said.push_str(&format!("\n    headers {}", headers.join(", ")));
    }
    if let Some(sent) = line["decision"].get("body") {
        said.push_str(&format!("\n    becomes {sent}"));
    }
    for emission in line["decision"]["emissions"].as_array().into_iter().flatten() {
        let output = emission["output"].as_str().unwrap_or("-");
        let key = emission["routing_key"].as_str().map(|key| format!(" {key}")).unwrap_or_default();
        let body = match (emission.get("body"), emission["body_bytes"].as_u64()) {
            (Some(body), _) => format!(": {body}"),
            (None, Some(bytes)) => format!(": {bytes} bytes"),
            // The message's own.
            (None, None) => String::new(),
        };
        said.push_str(&format!("\n    emits   {output}{key}{body}"));
    }
    for (name, label) in [("state_before", "had"), ("state_after", "has")] {
        if let Some(value) = line[name].get("value") {
            said.push_str(&format!("\n    {label:<8}{value}"));
        }
    }
    if let Some(skipped) = line.get("skipped") {
        said.push_str(&format!("\n    ({skipped} more before it: past the rate)"));
    }
    printable_lines(&said)
}

/// A header: its name and, of its value, what people write.
fn header(header: &Value) -> String {
    let value = &header[1];
    let inner = value.as_object().filter(|typed| typed.len() == 1);
    let value = inner.and_then(|typed| typed.values().next()).unwrap_or(value);
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{}: {value}", header[0].as_str().unwrap_or("-"))
}

fn outcome(line: &Value) -> String {
    if let Some(failed) = line.get("failed") {
        let text = |name: &str| failed[name].as_str().unwrap_or("-").to_owned();
        return format!("{}: {}", text("class"), text("text"));
    }
    let decision = &line["decision"];
    let part = |name: &str| decision[name].as_str().map(|text| format!(" {text}"));
    let parts = ["code", "reason", "text"].map(|name| part(name).unwrap_or_default());
    format!("{}{}", decision["verdict"].as_str().unwrap_or("-"), parts.concat())
}

fn at(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us)
        .map_or_else(|_| us.to_string(), |at| at.strftime("%H:%M:%S%.3f").to_string())
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
