//! `[failures]` and `[service]`: failure reports, and the process itself.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::section::{Item, Section, quote, relative};
use super::{Failures, Service, exchange};
use crate::limits;

/// Reads `[failures]`, which may be absent.
pub(super) fn read_failures(section: Option<Section<'_>>) -> Failures {
    let mut failures = Failures {
        exchange: limits::FAILURES_EXCHANGE.to_owned(),
        max_length: limits::FAILURES_MAX_LENGTH,
        ttl: limits::FAILURES_TTL,
    };
    let Some(section) = section else { return failures };
    if section.item("exchange").is_some() {
        let name = exchange::name(&section, "exchange", "name the exchange for failure reports");
        failures.exchange = name.unwrap_or(failures.exchange);
    }
    let length = section.number("max_length", 1..=limits::QUEUE_LENGTH_MAX);
    failures.max_length = length.unwrap_or(failures.max_length);
    let ttl = Duration::from_secs(1)..=limits::BROKER_DURATION_MAX;
    failures.ttl = section.duration("ttl", ttl).unwrap_or(failures.ttl);
    section.finish();
    failures
}

/// Reads `[service]`, which may be absent.
pub(super) fn read(section: Option<Section<'_>>) -> Service {
    let usual = limits::HTTP_ADDRESS.parse().ok();
    let Some(section) = section else {
        return Service {
            http: usual,
            socket: None,
            shards: 0,
            watch: false,
            drain: limits::DRAIN,
            state_dir: state_dir(),
            archive_dir: state_dir().join(limits::ARCHIVE_FOLDER),
            archive_bytes: limits::ARCHIVE_BYTES,
            cache_dir: cache_dir(),
        };
    };
    let state_dir = section.file("state_dir").unwrap_or_else(state_dir);
    let archive_bytes = limits::ARCHIVE_FILE_BYTES..=limits::QUEUE_LENGTH_MAX;
    let service = Service {
        http: section.item("http").map_or(usual, |item| read_http(&item)),
        socket: section.file("socket"),
        shards: section.number("shards", 0..=limits::SHARDS_MAX).unwrap_or(0),
        watch: section.flag("watch", false),
        drain: section
            .duration("drain", Duration::ZERO..=limits::HOST_DURATION_MAX)
            .unwrap_or(limits::DRAIN),
        archive_dir: section
            .file("archive_dir")
            .unwrap_or_else(|| state_dir.join(limits::ARCHIVE_FOLDER)),
        archive_bytes: section
            .size("archive_bytes", archive_bytes)
            .unwrap_or(limits::ARCHIVE_BYTES),
        state_dir,
        cache_dir: section.item("cache_dir").map_or_else(cache_dir, |item| read_cache_dir(&item)),
    };
    section.finish();
    service
}

fn read_http(item: &Item<'_>) -> Option<SocketAddr> {
    let remedy = "write an address and a port, \"127.0.0.1:9464\", or `http = false`";
    match item.value {
        DeValue::Boolean(false) => None,
        DeValue::String(text) => {
            match text.replace("localhost:", "127.0.0.1:").parse::<SocketAddr>() {
                Ok(address) => {
                    if !address.ip().is_loopback() {
                        let message = "metrics and health will answer to other machines";
                        item.notes.warn(&item.path, message, "use 127.0.0.1 unless that is meant");
                    }
                    Some(address)
                }
                Err(_) => {
                    let message = format!("'{}' is no address to listen on", quote(text));
                    item.notes.error(&item.path, message, remedy);
                    None
                }
            }
        }
        _ => {
            item.expected("an address, or false", remedy);
            None
        }
    }
}

fn read_cache_dir(item: &Item<'_>) -> Option<PathBuf> {
    match item.value {
        DeValue::Boolean(false) => None,
        DeValue::String(text) if !text.is_empty() => Some(relative(item.notes.origin(), text)),
        _ => {
            item.expected("a folder, or false", "write `cache_dir = \"…\"` or `cache_dir = false`");
            None
        }
    }
}

/// systemd's `StateDirectory=`, else the user's, else the system's.
fn state_dir() -> PathBuf {
    folder("STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state")
        .unwrap_or_else(|| PathBuf::from("/var/lib/sluicegate"))
}

/// systemd's `CacheDirectory=`, else the user's, else nowhere.
fn cache_dir() -> Option<PathBuf> {
    folder("CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache")
}

fn folder(systemd: &str, xdg: &str, home: &str) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(systemd)
        .or_else(|| set(xdg).map(|base| base.join("sluicegate")))
        .or_else(|| set("HOME").map(|base| base.join(home).join("sluicegate")))
}
