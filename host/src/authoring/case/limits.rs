//! A plugin's limits in a case.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CaseError, time};
use crate::config::{self, PluginLimits};

/// A plugin's limits, as a config has them; what isn't said is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// `64MiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `50ms`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Emissions of one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emissions: Option<usize>,
    /// `16MiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emission_bytes: Option<String>,
    /// `16MiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// `4MiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<String>,
    /// `64KiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Log lines per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines_per_s: Option<u32>,
    /// `32MiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `60s`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile: Option<String>,
    /// `2GiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile_memory: Option<String>,
}

impl Limits {
    /// What they say of these; nothing where they are the usual.
    #[must_use]
    pub fn of(used: &PluginLimits) -> Option<Self> {
        let usual = PluginLimits::default();
        let bytes = |used: usize, usual: usize| (used != usual).then(|| format!("{used}B"));
        let large = |used: u64, usual: u64| (used != usual).then(|| format!("{used}B"));
        let time = |used: Duration, usual: Duration| {
            (used != usual).then(|| format!("{}ms", used.as_millis()))
        };
        let limits = Self {
            memory: bytes(used.memory_bytes, usual.memory_bytes),
            call: time(used.call, usual.call),
            emissions: (used.emissions != usual.emissions).then_some(used.emissions),
            emission_bytes: bytes(used.emission_bytes, usual.emission_bytes),
            output: bytes(used.output_bytes, usual.output_bytes),
            host_calls: bytes(used.host_call_bytes, usual.host_call_bytes),
            state: bytes(used.state_bytes, usual.state_bytes),
            log_lines_per_s: (used.log_lines_per_s != usual.log_lines_per_s)
                .then_some(used.log_lines_per_s),
            file: large(used.file_bytes, usual.file_bytes),
            compile: time(used.compile, usual.compile),
            compile_memory: large(used.compile_memory_bytes, usual.compile_memory_bytes),
        };
        (limits != Self::default()).then_some(limits)
    }

    pub(super) fn read(&self) -> Result<PluginLimits, CaseError> {
        let usual = PluginLimits::default();
        let time = |name: &str, text: &Option<String>, usual: Duration| {
            text.as_ref().map_or(Ok(usual), |text| time(&format!("limits.{name}"), text))
        };
        // Every limit is named, so that a new one is missed by no case.
        Ok(PluginLimits {
            memory_bytes: size("memory", self.memory.as_ref(), usual.memory_bytes)?,
            call: time("call", &self.call, usual.call)?,
            emissions: self.emissions.unwrap_or(usual.emissions),
            emission_bytes: size(
                "emission_bytes",
                self.emission_bytes.as_ref(),
                usual.emission_bytes,
            )?,
            output_bytes: size("output", self.output.as_ref(), usual.output_bytes)?,
            host_call_bytes: size("host_calls", self.host_calls.as_ref(), usual.host_call_bytes)?,
            state_bytes: size("state", self.state.as_ref(), usual.state_bytes)?,
            log_lines_per_s: self.log_lines_per_s.unwrap_or(usual.log_lines_per_s),
            file_bytes: size("file", self.file.as_ref(), usual.file_bytes)?,
            compile: time("compile", &self.compile, usual.compile)?,
            compile_memory_bytes: size(
                "compile_memory",
                self.compile_memory.as_ref(),
                usual.compile_memory_bytes,
            )?,
        })
    }
}

fn size<N: TryFrom<u64>>(name: &str, text: Option<&String>, usual: N) -> Result<N, CaseError> {
    let Some(text) = text else { return Ok(usual) };
    config::size(text)
        .and_then(|bytes| N::try_from(bytes).ok())
        .ok_or_else(|| CaseError(format!("limits.{name}: '{text}' is no size: 64MiB")))
}
