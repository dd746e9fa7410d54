//! From what a plugin decided to messages with an address: outputs, retry copies, annotated dead
//! letters, failure reports.

use std::time::Duration;

use bytes::Bytes;

use super::headers;
use super::job::Job;
use super::stages::Emitted;
use crate::broker::Outgoing;
use crate::config::{Output, Unroutable};
use crate::limits::{COPY_HEADERS_BYTES, FAILURE_TEXT_BYTES, SHORT_STRING_BYTES};
use crate::message::{FieldValue, Properties, Table};
use crate::report::{self, Report};
use crate::topic::TOPIC;
use crate::topology;
use crate::verdict::Failure;

/// A message to publish, and what its failing means.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Which of the host's brokers.
    pub broker: usize,
    /// The message.
    pub message: Outgoing,
    /// What it is.
    pub role: Role,
}

/// What a planned message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// An emission for the output of that name.
    Output {
        /// The output's name in the config.
        name: String,
        /// What it means that no queue takes it.
        unroutable: Unroutable,
    },
    /// A copy that must be safe before its original is acked.
    Copy,
    /// A failure report: best effort within a time.
    Report,
}

/// An output with its broker looked up.
#[derive(Clone, Debug)]
pub struct OutputTarget {
    /// Its name in the config.
    pub name: String,
    /// Which of the host's brokers.
    pub broker: usize,
    /// The rest.
    pub output: Output,
}

/// All that is needed to address what a pipeline publishes.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its queue's name on the broker.
    pub queue: String,
    /// The broker of its copies and reports: its own, unless that has no exchanges.
    pub broker: usize,
    /// Outputs, in order of their names.
    pub outputs: Vec<OutputTarget>,
    /// The header that carries the key, where one does.
    pub key_header: Option<String>,
    /// Where failure reports go.
    pub failures: String,
    /// This host's name, for reports.
    pub host: String,
}

/// Trace context travels with what follows from a message.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// And so does the topic that it came by, which no routing key says in full.
const INHERITED: [&str; 3] = [TRACE[0], TRACE[1], TOPIC];

impl Addresses {
    /// Which output has that name.
    ///
    /// # Errors
    /// None has: the text names those there are.
    pub fn resolve(&self, output: &str) -> Result<usize, String> {
        self.outputs.iter().position(|target| target.name == output).ok_or_else(|| {
            let known: Vec<&str> = self.outputs.iter().map(|target| target.name.as_str()).collect();
            format!(
                "the plugin emitted to output '{output}', which pipeline '{}' doesn't have; it has: {}",
                self.pipeline,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )
        })
    }

    /// The messages that a finished job's emissions become.
    #[must_use]
    pub fn outputs(&self, job: &Job, emitted: Vec<Emitted>) -> Vec<Planned> {
        emitted.into_iter().map(|emitted| self.output(job, emitted)).collect()
    }

    fn output(&self, job: &Job, emitted: Emitted) -> Planned {
        let Emitted { stage, index, target, emission, body, content_type } = emitted;
        let target = &self.outputs[target];
        let mut properties = emission.properties;
        self.inherit(&mut properties, job);
        if emission.body.is_none() && properties.content_type.is_none() {
            properties.content_type = content_type;
        }
        properties.message_id.get_or_insert_with(|| derived_id(job.seed, stage, index));
        let routing_key = emission
            .routing_key
            .or_else(|| target.output.routing_key.clone())
            .unwrap_or_else(|| job.message.routing_key.clone());
        Planned {
            broker: target.broker,
            message: Outgoing {
                exchange: target.output.exchange.clone(),
                routing_key,
                properties,
                body: emission.body.or(body).unwrap_or_default(),
            },
            role: Role::Output { name: emission.output, unroutable: target.output.unroutable },
        }
    }

    /// What an output takes from its input, unless the plugin set it; and what no plugin may set.
    fn inherit(&self, properties: &mut Properties, job: &Job) {
        let input = &job.message.properties;
        properties.delivery_mode = Some(2);
        properties.user_id = None;
        properties.cluster_id = None;
        headers::strip_own(&mut properties.headers);
        headers::strip_broker(&mut properties.headers);
        if properties.correlation_id.is_none() {
            properties.correlation_id =
                input.correlation_id.clone().or_else(|| input.message_id.clone());
        }
        for name in INHERITED.into_iter().chain(self.key_header.as_deref()) {
            if properties.headers.get(name).is_none()
                && let Some(value) = input.headers.get(name)
            {
                properties.headers.0.push((name.to_owned(), value.clone()));
            }
        }
    }

    /// The copy that waits on a rung and comes back to the queue.
    ///
    /// # Errors
    /// Why there can be none: its producer's headers leave no room for what it needs.
    pub fn retry_copy(
        &self,
        job: &Job,
        failure: &Failure,
        rung: Duration,
        now_s: u64,
    ) -> Result<Planned, String> {
        let mut properties = self.copy(job, failure, now_s);
        properties.headers.set(headers::ATTEMPT, i64::from(job.attempt) + 1);
        self.delayed(job, rung, properties)
    }

    /// The copy of a message that waits on a rung without having run, behind what its key waits for.
    ///
    /// # Errors
    /// As for [`Self::retry_copy`].
    pub fn waiting_copy(&self, job: &Job, rung: Duration) -> Result<Planned, String> {
        let mut properties = self.bare_copy(job);
        properties.headers.set(headers::ATTEMPT, i64::from(job.attempt));
        if job.first_failed_at > 0 {
            properties.headers.set(headers::FIRST_FAILED_AT, seconds(job.first_failed_at));
        }
        self.delayed(job, rung, properties)
    }

    fn delayed(
        &self,
        job: &Job,
        rung: Duration,
        mut properties: Properties,
    ) -> Result<Planned, String> {
        if !headers::fit(&mut properties.headers) {
            return Err(format!(
                "a copy's headers would have {} bytes; {COPY_HEADERS_BYTES} leave room in a frame for \
                 what the broker adds",
                properties.headers.wire_bytes()
            ));
        }
        let delay = topology::delay_queue(&self.queue, topology::DELAY_KIND, rung);
        Ok(self.copy_to(String::new(), delay, properties, job))
    }

    /// The copy that is dead-lettered in the original's place, with the reason in its headers.
    #[must_use]
    pub fn annotated(
        &self,
        job: &Job,
        failure: &Failure,
        (exchange, routing_key): (&str, Option<&str>),
        now_s: u64,
    ) -> Planned {
        let mut properties = self.copy(job, failure, now_s);
        properties.headers.set(headers::FAILURE_ID, failure_id(job));
        properties.headers.set(headers::ATTEMPT, i64::from(job.attempt));
        // One that doesn't fit is refused where it is published: then the broker's own way is left.
        headers::fit(&mut properties.headers);
        let routing_key = routing_key.unwrap_or(&job.message.routing_key).to_owned();
        self.copy_to(exchange.to_owned(), routing_key, properties, job)
    }

    fn copy_to(
        &self,
        exchange: String,
        routing_key: String,
        properties: Properties,
        job: &Job,
    ) -> Planned {
        let message =
            Outgoing { exchange, routing_key, properties, body: job.message.body.clone() };
        Planned { broker: self.broker, message, role: Role::Copy }
    }

    /// The original's properties without what would expire, reroute or be refused; with where it came
    /// from.
    fn bare_copy(&self, job: &Job) -> Properties {
        let mut properties = job.message.properties.clone();
        properties.delivery_mode = Some(2);
        properties.expiration = None;
        properties.user_id = None;
        headers::strip_own(&mut properties.headers);
        headers::strip_broker(&mut properties.headers);
        self.origin(job, &mut properties.headers);
        properties
    }

    /// The same with the reason.
    fn copy(&self, job: &Job, failure: &Failure, now_s: u64) -> Properties {
        let mut properties = self.bare_copy(job);
        let first = if job.first_failed_at == 0 { now_s } else { job.first_failed_at };
        let reason = &mut properties.headers;
        reason.set(headers::PIPELINE, self.pipeline.as_str());
        reason.set(headers::CLASS, failure.class.as_str());
        reason.set(headers::CODE, bounded(&failure.code, SHORT_STRING_BYTES));
        reason.set(headers::TEXT, bounded(&failure.text, FAILURE_TEXT_BYTES));
        reason.set(headers::FIRST_FAILED_AT, seconds(first));
        reason.set(headers::LAST_FAILED_AT, seconds(now_s));
        if let Some(stage) = &failure.stage {
            reason.set(headers::PLUGIN, stage.plugin.as_str());
            reason.set(headers::PLUGIN_DIGEST, stage.digest.as_str());
        }
        properties
    }

    /// All that makes the copy the original again.
    fn origin(&self, job: &Job, copy: &mut Table) {
        let message = &job.message;
        copy.set(headers::QUEUE, self.queue.as_str());
        copy.set(headers::EXCHANGE, message.exchange.as_str());
        copy.set(headers::ROUTING_KEY, message.routing_key.as_str());
        if let Some(expiration) = &message.properties.expiration {
            copy.set(headers::EXPIRATION, expiration.as_str());
        }
        if let Some(user) = &message.properties.user_id {
            copy.set(headers::USER_ID, user.as_str());
        }
        let brokers = headers::brokers_own(&message.properties.headers);
        if !brokers.is_empty() {
            copy.set(headers::BROKERS, FieldValue::Table(brokers));
        }
        if let Some(failure) = &job.replay_of {
            copy.set(headers::REPLAY_OF, failure.as_str());
        }
        if job.replay_count > 0 {
            copy.set(headers::REPLAY_COUNT, i64::from(job.replay_count));
        }
    }

    /// What is known of a message that ends as a failure, in the way that `end` names.
    #[must_use]
    pub fn report(&self, job: &Job, failure: &Failure, end: &str, now_s: u64) -> Report {
        let message = &job.message;
        let properties = &message.properties;
        let stage = failure.stage.as_ref();
        let id = properties.message_id.as_deref();
        let trace = |name| properties.headers.text(name).map(str::to_owned);
        Report {
            id: failure_id(job),
            letter: report::letter(
                &self.queue,
                &message.exchange,
                &message.routing_key,
                id,
                &message.body,
            ),
            fingerprint: report::fingerprint(&self.pipeline, failure),
            message_id: properties.message_id.clone(),
            pipeline: self.pipeline.clone(),
            queue: self.queue.clone(),
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            key: job.key.as_deref().map(str::to_owned),
            headers: report::headers(&properties.headers),
            class: failure.class.as_str().to_owned(),
            code: failure.code.clone(),
            text: bounded(&failure.text, FAILURE_TEXT_BYTES).to_owned(),
            stage: stage.map(|stage| stage.index),
            plugin: stage.map(|stage| stage.plugin.clone()),
            plugin_digest: stage.map(|stage| stage.digest.clone()),
            tables: stage.map(|stage| stage.tables.clone()).unwrap_or_default(),
            backtrace: failure.backtrace.clone(),
            attempt: job.attempt,
            first_failed_at: if job.first_failed_at == 0 { now_s } else { job.first_failed_at },
            failed_at: now_s,
            end: end.to_owned(),
            body_bytes: message.body.len(),
            body_digest: blake3::hash(&message.body).to_hex().to_string(),
            traceparent: trace(TRACE[0]),
            tracestate: trace(TRACE[1]),
            replay_of: job.replay_of.clone(),
            replay_count: job.replay_count,
            host: self.host.clone(),
        }
    }

    /// The message that tells it.
    #[must_use]
    pub fn tell(&self, report: &Report) -> Planned {
        let body = serde_json::to_vec(report).map_or_else(|_| Bytes::new(), Bytes::from);
        let mut headers = Table::default();
        headers.set(headers::PIPELINE, self.pipeline.as_str());
        headers.set(headers::CLASS, report.class.as_str());
        headers.set(headers::CODE, bounded(&report.code, SHORT_STRING_BYTES));
        let properties = Properties {
            content_type: Some("application/json".to_owned()),
            delivery_mode: Some(2),
            message_id: Some(report.id.clone()),
            correlation_id: report.message_id.clone(),
            timestamp: Some(report.failed_at),
            kind: Some(report::FAILURE_KIND.to_owned()),
            headers,
            ..Properties::default()
        };
        let routing_key = format!("{}.{}", bounded(&self.pipeline, 200), report.class);
        Planned {
            broker: self.broker,
            message: Outgoing { exchange: self.failures.clone(), routing_key, properties, body },
            role: Role::Report,
        }
    }
}

/// The id of an output: of its input, stage and place, so that a repeated run gives it again.
#[must_use]
pub fn derived_id(seed: [u8; 16], stage: usize, index: usize) -> String {
    format!("{:032x}-{stage}-{index}", u128::from_be_bytes(seed))
}

/// The id of a failure: one per message and attempt.
fn failure_id(job: &Job) -> String {
    format!("{:032x}-failure", u128::from_be_bytes(job.seed))
}

fn seconds(seconds: u64) -> FieldValue {
    FieldValue::I64(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The text up to so many bytes, at a character's boundary.
fn bounded(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests;
