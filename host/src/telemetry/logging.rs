//! Log events to standard error: for people or as JSON, by filter, with nothing in them that could
//! steer a terminal.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{MakeWriter, format};

#[cfg(test)]
mod tests;

/// lapin warns of returned messages with their bodies, which belong in no log unless a filter names it;
/// what a return means is the host's to tell.
const QUIET: &str = "lapin=error";

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line for people.
    #[default]
    Human,
    /// A JSON object per line.
    Json,
}

type BoxedSubscriber = Box<dyn tracing::Subscriber + Send + Sync>;

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error(
        "log filter '{filter}': {reason}; write a level (error, warn, info, debug, trace, off), or levels by room: 'info,sluicegate::pipeline=debug'"
    )]
    Filter {
        /// What was written.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This process already logs.
    #[error("logging was already started in this process")]
    Started,
}

/// Sends this process's log events to standard error.
///
/// # Errors
/// [`LogError::Filter`] where the filter can't be read; [`LogError::Started`] at a second call.
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = parse(filter)?;
    let subscriber = subscriber(format, filter, io::stderr().is_terminal(), io::stderr);
    tracing_subscriber::util::SubscriberInitExt::try_init(subscriber).map_err(|_| LogError::Started)
}

fn subscriber<W>(format: Format, filter: EnvFilter, colours: bool, writer: W) -> BoxedSubscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Human => Box::new(
            builder
                .with_ansi(colours)
                .fmt_fields(format::debug_fn(write_field).delimited(" "))
                .finish(),
        ),
        Format::Json => Box::new(builder.json().flatten_event(true).with_ansi(false).finish()),
    }
}

/// Reads a filter more strictly than the library, to which a mistyped level is the name of a target.
fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    let wrong = |reason: String| LogError::Filter { filter: filter.to_owned(), reason };
    for directive in filter.split(',').map(str::trim) {
        let named = directive.contains(['=', '[']) || directive.contains("::");
        if directive.is_empty() || !named && directive.parse::<LevelFilter>().is_err() {
            return Err(wrong(format!("'{directive}' is not a level")));
        }
    }
    let asked = if filter.contains("lapin") { filter } else { &format!("{filter},{QUIET}") };
    EnvFilter::try_new(asked).map_err(|error| wrong(error.to_string()))
}

/// One field of an event, with what could steer a terminal made visible.
fn write_field(
    writer: &mut format::Writer<'_>,
    field: &Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    match field.name() {
        "message" => {}
        // `tracing-log`'s own, repeated in the event's target.
        name if name.starts_with("log.") => return Ok(()),
        name => write!(writer, "{name}=")?,
    }
    write!(Visible(writer), "{value:?}")
}

/// Writes control characters, and those that turn the direction of text, as `\u{…}`.
struct Visible<W>(W);

impl<W: fmt::Write> fmt::Write for Visible<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_steering(c) {
                write!(self.0, "{}", c.escape_unicode())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// A text that came from outside, safe to print: what could steer a terminal is written as `\u{…}`.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a String can't fail.
    let _ = Visible(&mut out).write_str(text);
    out
}

/// The first `max` bytes of a text, cut between characters.
#[must_use]
pub fn clipped(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
