//! Durations, sizes and rates as people write them: `50ms`, `1h30m`, `64MiB`, `1GB`, `500/s`.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A duration of whole milliseconds; parts add up, so `1h30m` is ninety minutes.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, behind) = number(rest)?;
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, millis) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*millis)?)?;
        rest = behind.trim_start();
    }
    Some(Duration::from_millis(total))
}

/// A number of bytes.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    let unit = unit.trim_start();
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*bytes)
}

/// So many within that time: `500/s`, `30/m`, `1000/h`.
pub(super) fn rate(text: &str) -> Option<(u32, Duration)> {
    let (count, unit) = number(text.trim())?;
    let within = match unit.trim_start().strip_prefix('/')?.trim_start() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return None,
    };
    Some((u32::try_from(count).ok()?, within))
}

/// The duration as it would be written: `90s`, `10m`.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = DURATION_UNITS[..5]
        .iter()
        .rev()
        .find(|(_, each)| millis >= u128::from(*each) && millis.is_multiple_of(u128::from(*each)));
    match unit {
        Some((name, each)) => format!("{}{name}", millis / u128::from(*each)),
        None => format!("{millis}ms"),
    }
}

/// The size as it would be written: `64MiB`, `1000B`.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = SIZE_UNITS[4..]
        .iter()
        .rev()
        .find(|(_, each)| bytes >= *each && bytes.is_multiple_of(*each));
    match unit {
        Some((name, each)) => format!("{}{name}", bytes / each),
        None => format!("{bytes}B"),
    }
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}
