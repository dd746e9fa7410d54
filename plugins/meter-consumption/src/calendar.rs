//! Days of a time zone: most have 24 hours, one in spring 23, one in autumn 25.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// The zone whose days count.
pub(crate) struct Calendar(TimeZone);

// === impl Calendar ===

impl Calendar {
    /// A zone by its name, `Europe/Berlin`, or as a POSIX rule, `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub(crate) fn new(zone: &str) -> Result<Self, String> {
        let found = TimeZone::get(zone).or_else(|_| TimeZone::posix(zone));
        found.map(Self).map_err(|_| {
            format!("no time zone is called '{zone}'; write `Europe/Berlin`, or a POSIX rule")
        })
    }

    /// Start and end of the day that a time lies in, in seconds since 1970. `None` where no calendar reaches.
    pub(crate) fn day(&self, at_s: i64) -> Option<(i64, i64)> {
        let noon = Timestamp::from_second(at_s).ok()?.to_zoned(self.0.clone());
        let start = noon.start_of_day().ok()?;
        // A day added to its date, for the day itself may have any length.
        let next = noon.date().checked_add(1.day()).ok()?;
        let end = next.to_zoned(self.0.clone()).ok()?.start_of_day().ok()?;
        Some((start.timestamp().as_second(), end.timestamp().as_second()))
    }

    /// A time as people there write it: the date, and all of it with the offset from UTC.
    pub(crate) fn written(&self, at_s: i64) -> (String, String) {
        let Ok(time) = Timestamp::from_second(at_s) else { return Default::default() };
        let zoned = time.to_zoned(self.0.clone());
        let offset = zoned.offset();
        (zoned.date().to_string(), time.display_with_offset(offset).to_string())
    }
}
