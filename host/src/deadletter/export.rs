//! Letters as lines of JSON, each with its report, such that `sluicegate publish` can read them back;
//! and letters thrown away.

use std::fs::File;
use std::io::Write;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Trouble;
use super::work::{Deal, End, Found};
use crate::broker::Publisher;
use crate::message::{FieldValue, Properties, Table};

#[cfg(test)]
mod tests;

/// Where letters are written to.
pub enum Sink {
    /// A file, synced before anything is taken out of a queue.
    File(File),
    /// Anything else.
    Stream(Box<dyn Write + Send>),
}

/// Writes letters.
pub struct Export {
    /// Where to.
    pub sink: Sink,
    /// They are taken out of their queue once they are safe.
    pub remove: bool,
    /// Letters written.
    pub written: u64,
}

/// Throws letters away.
#[derive(Debug)]
pub struct Purge {
    /// Nothing is thrown away.
    pub dry: bool,
}

impl Export {
    fn write(&mut self, group: &[Found]) -> std::io::Result<()> {
        let mut lines = Vec::new();
        for found in group {
            serde_json::to_writer(&mut lines, &line(found))?;
            lines.push(b'\n');
        }
        match &mut self.sink {
            Sink::File(file) => {
                file.write_all(&lines)?;
                if self.remove {
                    file.sync_data()?;
                }
            }
            Sink::Stream(stream) => {
                stream.write_all(&lines)?;
                stream.flush()?;
            }
        }
        self.written += group.len() as u64;
        Ok(())
    }
}

#[async_trait]
impl Deal for Export {
    fn what(&self) -> &'static str {
        "exported"
    }

    async fn deal(&mut self, group: &[Found], _: &mut dyn Publisher) -> Result<Vec<End>, Trouble> {
        self.write(group).map_err(|error| {
            Trouble::Other(format!("can't write letters: {error}; those of this group stay"))
        })?;
        let end = match self.remove {
            true => End::Gone { replay_count: 0, patched: false },
            false => End::Kept,
        };
        Ok(vec![end; group.len()])
    }
}

#[async_trait]
impl Deal for Purge {
    fn what(&self) -> &'static str {
        "purged"
    }

    async fn deal(&mut self, group: &[Found], _: &mut dyn Publisher) -> Result<Vec<End>, Trouble> {
        let end = match self.dry {
            true => End::Kept,
            false => End::Gone { replay_count: 0, patched: false },
        };
        Ok(vec![end; group.len()])
    }
}

/// A letter in JSON: where it was published, what it said, why it failed.
#[must_use]
pub fn line(found: &Found) -> Value {
    let message = &found.letter.message;
    let mut line = json!({
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "message_id": message.properties.message_id.as_deref().unwrap_or_default(),
        "queue": found.letter.queue,
        "dead_letter_queue": found.place,
        "replay_count": found.letter.replay_count,
        "properties": properties(&message.properties),
        "headers": table(&message.properties.headers),
        "deaths": found.letter.deaths,
    });
    let Some(fields) = line.as_object_mut() else { return line };
    match (serde_json::from_slice::<Value>(&message.body), std::str::from_utf8(&message.body)) {
        (Ok(json), _) => drop(fields.insert("body".to_owned(), json)),
        (_, Ok(text)) => drop(fields.insert("body".to_owned(), text.into())),
        _ => drop(fields.insert("body_base64".to_owned(), STANDARD.encode(&message.body).into())),
    }
    if found.reported {
        fields.insert("report".to_owned(), serde_json::to_value(&found.report).unwrap_or_default());
    }
    line
}

fn properties(properties: &Properties) -> Value {
    let texts = [
        ("content_type", &properties.content_type),
        ("content_encoding", &properties.content_encoding),
        ("correlation_id", &properties.correlation_id),
        ("reply_to", &properties.reply_to),
        ("expiration", &properties.expiration),
        ("type", &properties.kind),
        ("user_id", &properties.user_id),
        ("app_id", &properties.app_id),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?))));
    let numbers =
        [("priority", properties.priority.map(u64::from)), ("timestamp", properties.timestamp)];
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, json!(number?))));
    let named = texts.chain(numbers).map(|(name, value)| (name.to_owned(), value));
    Value::Object(named.collect::<Map<String, Value>>())
}

/// A field table in JSON.
#[must_use]
pub fn table(table: &Table) -> Value {
    Value::Object(table.iter().map(|(name, value)| (name.to_owned(), field(value))).collect())
}

fn field(value: &FieldValue) -> Value {
    match value {
        FieldValue::Void => Value::Null,
        FieldValue::Bool(truth) => json!(truth),
        FieldValue::F32(number) => json!(number),
        FieldValue::F64(number) => json!(number),
        FieldValue::Timestamp(seconds) => json!(seconds),
        FieldValue::Decimal { scale, value } => json!({ "scale": scale, "value": value }),
        FieldValue::Array(items) => Value::Array(items.iter().map(field).collect()),
        FieldValue::Table(inner) => table(inner),
        FieldValue::Text(bytes) | FieldValue::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
        },
        number => json!(number.as_i64()),
    }
}
