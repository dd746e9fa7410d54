//! `[[plugin]]`: where its code is, its own config, what it may use.

use std::time::Duration;

use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use toml::de::DeValue;

use super::reload;
use super::section::{Section, quote, relative};
use super::{OnBroken, Plugin, PluginBreaker, PluginLimits, PluginSource};
use crate::limits;

/// An empty MessagePack map.
const EMPTY_MAP: [u8; 1] = [0x80];

/// Reads one plugin.
pub(super) fn read(section: Section<'_>) -> Option<Plugin> {
    let name = section.required_text("name", "give the plugin a `name`; stages refer to it");
    let source = read_source(&section);
    let sha256 = section.text("sha256").and_then(|text| read_sha256(&section, &text));
    let config = read_config(&section);
    let limits = section.section("limits").map_or_else(PluginLimits::default, read_limits);
    let breaker = read_breaker(&section);
    let purity_sample = share(&section, "purity_sample").unwrap_or(limits::PURITY_SAMPLE);
    let reload = reload::read(section.section("reload"));
    section.finish();
    Some(Plugin { name: name?, source, sha256, config, limits, breaker, purity_sample, reload })
}

fn read_source(section: &Section<'_>) -> PluginSource {
    let remedy = "name its component: `file = \"plugins/NAME.wasm\"`, or `file = \"builtin:NAME\"`";
    let file = section.required_text("file", remedy).unwrap_or_default();
    match file.strip_prefix("builtin:") {
        Some(name) => {
            if name.is_empty() {
                let key = section.at("file");
                section.notes.error(&key, "no built-in plugin is named", remedy);
            }
            PluginSource::Builtin(name.to_owned())
        }
        None => PluginSource::File(relative(section.notes.origin(), &file)),
    }
}

fn read_sha256(section: &Section<'_>, text: &str) -> Option<String> {
    if text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    let message = format!("'{}' is no SHA-256", quote(text));
    let remedy = "write its 64 hexadecimal digits, as `sha256sum` prints them";
    section.notes.error(&section.at("sha256"), message, remedy);
    None
}

fn read_config(section: &Section<'_>) -> Vec<u8> {
    let Some(item) = section.item("config") else { return EMPTY_MAP.to_vec() };
    if !matches!(item.value, DeValue::Table(_)) {
        item.expected("a table", "write `config = { key = value, … }`");
        return EMPTY_MAP.to_vec();
    }
    match rmp_serde::to_vec_named(&Packed(item.value)) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("this can't be handed to a plugin: {error}");
            section.notes.error(&item.path, message, "use numbers of at most 64 bits");
            EMPTY_MAP.to_vec()
        }
    }
}

/// `breaker = false`, or a table; what it doesn't say, and the plugin without it, is as usual.
fn read_breaker(section: &Section<'_>) -> Option<PluginBreaker> {
    let on_broken = section
        .choice("on_broken", &[("pause", OnBroken::Pause), ("dead-letter", OnBroken::DeadLetter)])
        .unwrap_or(OnBroken::Pause);
    let usual = PluginBreaker {
        rate: limits::PLUGIN_BREAKER_RATE,
        at_least: limits::PLUGIN_BREAKER_FAILURES,
        window: limits::PLUGIN_BREAKER_WINDOW,
        on_broken,
    };
    let Some(item) = section.item("breaker") else { return Some(usual) };
    match item.value {
        DeValue::Boolean(false) => None,
        DeValue::Table(_) => {
            let table = item.section()?;
            let breaker = PluginBreaker {
                rate: share(&table, "rate").unwrap_or(usual.rate),
                at_least: table.number("at_least", 1..=1_000_000).unwrap_or(usual.at_least),
                window: table
                    .duration("window", Duration::from_secs(1)..=limits::PLUGIN_BREAKER_WINDOW_MAX)
                    .unwrap_or(usual.window),
                on_broken,
            };
            table.finish();
            Some(breaker)
        }
        _ => {
            item.expected(
                "`false` or a table",
                "write `breaker = { rate = 0.5, at_least = 20, window = \"30s\" }`",
            );
            Some(usual)
        }
    }
}

/// A number from 0 to 1.
pub(super) fn share(section: &Section<'_>, key: &'static str) -> Option<f64> {
    let item = section.item(key)?;
    let text = match item.value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        _ => "",
    };
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Some(share),
        _ => {
            item.expected("a number from 0 to 1", "0.5 is one in two");
            None
        }
    }
}

fn read_limits(section: Section<'_>) -> PluginLimits {
    let usual = PluginLimits::default();
    let bytes = |key, bounds, usual: usize| {
        section.size(key, bounds).and_then(|n| usize::try_from(n).ok()).unwrap_or(usual)
    };
    let limits = PluginLimits {
        memory_bytes: bytes(
            "memory",
            64 * 1024..=limits::PLUGIN_MEMORY_BYTES_MAX,
            usual.memory_bytes,
        ),
        call: section
            .duration("call", Duration::from_millis(1)..=limits::PLUGIN_CALL_MAX)
            .unwrap_or(usual.call),
        emissions: section.number("emissions", 0..=1_000_000).unwrap_or(usual.emissions),
        emission_bytes: bytes("emission_bytes", 0..=1 << 30, usual.emission_bytes),
        output_bytes: bytes("output", 1024..=1 << 30, usual.output_bytes),
        host_call_bytes: bytes("host_calls", 1024..=1 << 30, usual.host_call_bytes),
        state_bytes: bytes("state", 0..=64 << 20, usual.state_bytes),
        log_lines_per_s: section
            .number("log_lines_per_s", 0..=1_000_000)
            .unwrap_or(usual.log_lines_per_s),
        file_bytes: section.size("file", 1024..=1 << 30).unwrap_or(usual.file_bytes),
        compile: section
            .duration("compile", Duration::from_secs(1)..=limits::PLUGIN_COMPILE_MAX)
            .unwrap_or(usual.compile),
        compile_memory_bytes: section
            .size("compile_memory", limits::PLUGIN_COMPILE_MEMORY_BYTES_MIN..=1 << 40)
            .unwrap_or(usual.compile_memory_bytes),
    };
    section.finish();
    limits
}

// === impl PluginLimits ===

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_bytes: limits::PLUGIN_MEMORY_BYTES,
            call: limits::PLUGIN_CALL,
            emissions: limits::PLUGIN_EMISSIONS,
            emission_bytes: limits::PLUGIN_EMISSION_BYTES,
            output_bytes: limits::PLUGIN_OUTPUT_BYTES,
            host_call_bytes: limits::PLUGIN_HOST_CALL_BYTES,
            state_bytes: limits::PLUGIN_STATE_BYTES,
            log_lines_per_s: limits::PLUGIN_LOG_LINES_PER_S,
            file_bytes: limits::PLUGIN_FILE_BYTES,
            compile: limits::PLUGIN_COMPILE,
            compile_memory_bytes: limits::PLUGIN_COMPILE_MEMORY_BYTES,
        }
    }
}

/// A TOML value as a plugin gets it; dates become text.
struct Packed<'v>(&'v DeValue<'v>);

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            DeValue::String(text) => to.serialize_str(text),
            DeValue::Boolean(flag) => to.serialize_bool(*flag),
            DeValue::Datetime(when) => to.collect_str(when),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => to.serialize_i64(number),
                    Err(_) => Err(S::Error::custom(format!("{number} is too large"))),
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => to.serialize_f64(number),
                Err(_) => Err(S::Error::custom(format!("{number} is no number"))),
            },
            DeValue::Array(items) => {
                to.collect_seq(items.iter().map(|item| Packed(item.get_ref())))
            }
            DeValue::Table(table) => {
                let mut map = to.serialize_map(Some(table.len()))?;
                for (key, value) in table {
                    map.serialize_entry(key.get_ref().as_ref(), &Packed(value.get_ref()))?;
                }
                map.end()
            }
        }
    }
}
