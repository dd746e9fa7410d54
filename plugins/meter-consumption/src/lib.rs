//! Adds up what meters measured: intervals to hours and days, per meter, and per region.
//!
//! Energy is counted in watt hours, in whole numbers, so that sums are exact in whatever order they are made.
//! A key's last days are kept interval by interval: an interval that comes twice counts once, one that comes
//! late changes its hour and its day, and what was published already is published again as a correction, with
//! its revision. Days are those of a time zone: they have 23, 24 or 25 hours.
//!
//! With `of = "region"` it adds up what others of its kind tell: each of these, with `contributions = true`,
//! emits how an interval of its meter changed.

mod book;
mod calendar;
mod settle;

use std::time::Duration;

use book::{Book, Day, HOUR_S, Sum};
use calendar::Calendar;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sluicegate_sdk::{
    Bytes, ConfigError, Context, Decision, Failure, Message, Plugin, Timer, Value, Verdict,
};

/// A message may be that far ahead of the host's clock.
const AHEAD_S: i64 = 24 * HOUR_S;
/// Intervals of a key that are kept at most.
const INTERVALS_MAX: i64 = 4000;
/// More than this in one interval is no household's, nor a region's: 9 TWh.
const WH_MAX: f64 = 9e12;

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Consumption {
    /// Whose days count: `Europe/Berlin`, or a POSIX rule.
    time_zone: String,
    /// Seconds that one reading stands for.
    interval_s: i64,
    /// Seconds after its end, in the key's time, at which an hour or a day is published.
    lateness_s: i64,
    /// Seconds that corrections are gathered before they are published.
    correction_s: i64,
    /// Days that can be corrected.
    correct_days: i64,
    /// What the key is.
    of: Of,
    /// Whether each change of an interval is emitted to the output `contributions`, for regions.
    contributions: bool,
    #[serde(skip)]
    calendar: Option<Calendar>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    Meter,
    Region,
}

/// A reading, as far as energy matters.
#[derive(Deserialize)]
struct Reading {
    ts: Option<Time>,
    kwh: Option<f64>,
    q: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Unix(f64),
}

/// How an interval changed.
#[derive(Serialize, Deserialize)]
struct Contribution {
    /// Where the interval begins, in seconds since 1970.
    start: i64,
    wh: i64,
    intervals: i64,
    estimated: i64,
}

/// What is added to an interval, or put in its place.
struct Entry {
    start_s: i64,
    sum: Sum,
}

impl Default for Consumption {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            interval_s: 900,
            lateness_s: 3600,
            correction_s: 60,
            correct_days: 3,
            of: Of::Meter,
            contributions: false,
            calendar: None,
        }
    }
}

impl Plugin for Consumption {
    type State = Bytes<Book>;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.interval_s < 60 || HOUR_S % self.interval_s != 0 {
            let text = "must be 60 or more, and a whole part of an hour";
            return Err(ConfigError::new("interval_s", text));
        }
        let (lateness, correction) = (0..=30 * 24 * HOUR_S, 0..=HOUR_S);
        if !lateness.contains(&self.lateness_s) {
            return Err(ConfigError::new("lateness_s", "must be 0 to 2592000, thirty days"));
        }
        if !correction.contains(&self.correction_s) {
            return Err(ConfigError::new("correction_s", "must be 0 to 3600"));
        }
        // Beside these there are today, and the days of the lateness.
        let days = self.correct_days.max(0) + 2 + self.lateness_s / (24 * HOUR_S);
        let most = INTERVALS_MAX * self.interval_s / (25 * HOUR_S);
        if !(0..=400).contains(&self.correct_days) || days > most {
            let text = format!(
                "{} days are kept, with today and the lateness; of intervals of {} s that can be {most}",
                days, self.interval_s
            );
            return Err(ConfigError::new("correct_days", &text));
        }
        let calendar = Calendar::new(&self.time_zone);
        self.calendar = Some(calendar.map_err(|text| ConfigError::new("time_zone", &text))?);
        Ok(())
    }

    fn process(
        &self,
        message: &Message<'_>,
        book: &mut Bytes<Book>,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let Some(entry) = self.entry(message)? else { return Ok(Verdict::next()) };
        let key = message.key().unwrap_or_default();
        let now_s = seconds(message.now());
        let at = self.place(book, &entry, now_s)?;
        let region = self.region(message);
        if region != book.region {
            book.region = region.to_owned();
        }
        book.see(entry.start_s + self.interval_s, now_s);
        self.enter(book, at, &entry, now_s, message, ctx)?;
        let time_s = book.time_s;
        self.settle(key, book, time_s, now_s, ctx)?;
        self.arm(book, now_s, false, ctx);
        Ok(Verdict::next())
    }

    fn on_timer(
        &self,
        timer: &Timer<'_>,
        book: &mut Bytes<Book>,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let now_s = seconds(timer.now());
        let time_s = self.time_of_timer(book, timer.late(), now_s);
        self.settle(timer.key(), book, time_s, now_s, ctx)?;
        self.arm(book, now_s, true, ctx);
        Ok(Verdict::done())
    }
}

impl Consumption {
    /// What a message adds; `None` where it is about something else.
    fn entry(&self, message: &Message<'_>) -> Result<Option<Entry>, Failure> {
        match (self.of, message.kind()) {
            (Of::Region, None | Some("contribution")) => {
                let told: Contribution = message.decode()?;
                let Contribution { start, wh, intervals, estimated } = told;
                Ok(Some(Entry { start_s: start, sum: Sum { wh, known: intervals, estimated } }))
            }
            // The validation knows of no energy where a register can't be believed.
            (Of::Meter, _)
                if message.header("interval-start").is_some()
                    && message.header("energy-wh").is_none() =>
            {
                Ok(None)
            }
            (Of::Meter, None | Some("reading" | "estimate")) => self.reading(message).map(Some),
            _ => Ok(None),
        }
    }

    /// The energy of a reading: as the validation found it, else as the body says.
    fn reading(&self, message: &Message<'_>) -> Result<Entry, Failure> {
        let number = |name| match message.header(name) {
            Some(Value::I64(number)) => Some(number),
            _ => None,
        };
        if number("interval-s").is_some_and(|seconds| seconds != self.interval_s) {
            let text = format!("its interval isn't one of {} s", self.interval_s);
            return Err(Failure::reject("interval", text));
        }
        let estimated = message.text_header("quality") == Some("E");
        if let (Some(wh), Some(start_s)) = (number("energy-wh"), number("interval-start")) {
            return Ok(Entry { start_s, sum: Sum::one(wh, estimated) });
        }
        let Reading { ts, kwh, q } = message.decode()?;
        let Some(kwh) = kwh.filter(|kwh| kwh.abs() * 1000.0 <= WH_MAX) else {
            return Err(Failure::reject("missing_kwh", "a reading without `kwh`, or out of range"));
        };
        let end_s = ts.map_or_else(
            || Err(Failure::reject("missing_ts", "no `ts` says when it was measured")),
            |ts| ts.seconds(),
        )?;
        let sum = Sum::one(watt_hours(kwh), estimated || q.as_deref() == Some("E"));
        Ok(Entry { start_s: end_s.saturating_sub(self.interval_s), sum })
    }

    /// Day and interval that an entry belongs to. Meters read themselves a little early or late: an entry
    /// belongs where its middle lies.
    fn place(&self, book: &mut Book, entry: &Entry, now_s: i64) -> Result<(usize, usize), Failure> {
        let middle_s = entry.start_s.saturating_add(self.interval_s / 2);
        if middle_s > now_s.saturating_add(AHEAD_S) {
            return Err(Failure::reject("ahead", "its time lies more than a day ahead"));
        }
        let day = match book.find(middle_s) {
            Some(day) => day,
            None => {
                let bounds = self.calendar.as_ref().and_then(|calendar| calendar.day(middle_s));
                let bounds = bounds
                    .ok_or_else(|| Failure::reject("bad_ts", "a time that no calendar has"))?;
                if self.forgotten_s(bounds.1) <= book.time_s {
                    let text = format!("its day is over for {} days and more", self.correct_days);
                    return Err(Failure::reject("too_late", text));
                }
                book.insert(Day::new(bounds, self.interval_s))
            }
        };
        let at = (middle_s - book.days[day].start_s) / self.interval_s;
        Ok((day, usize::try_from(at).unwrap_or(0)))
    }

    /// Until when, in the key's time, a day can be corrected that ends then.
    fn forgotten_s(&self, end_s: i64) -> i64 {
        end_s + self.lateness_s + self.correct_days * 24 * HOUR_S
    }

    /// Enters it, and tells the region.
    fn enter(
        &self,
        book: &mut Book,
        (at, interval): (usize, usize),
        entry: &Entry,
        now_s: i64,
        message: &Message<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let day = &mut book.days[at];
        let change = match self.of {
            Of::Meter => day.set(interval, entry.sum),
            Of::Region => {
                day.add(interval, entry.sum);
                entry.sum
            }
        };
        if change == Sum::default() {
            return Ok(());
        }
        let start = day.start_s + self.interval_s * i64::try_from(interval).unwrap_or(0);
        let hour = usize::try_from((start - day.start_s) / HOUR_S).unwrap_or(0);
        let told = day.whole.revision > 0 || day.hours[hour].revision > 0;
        if told && book.changed_s == 0 {
            book.changed_s = now_s;
        }
        if self.contributions {
            let Sum { wh, known: intervals, estimated } = change;
            let contribution = Contribution { start, wh, intervals, estimated };
            ctx.emit("contributions")
                .routing_key(&format!("contribution.{}", book.region))
                .kind("contribution")
                .header("region", book.region.as_str())
                // Derived from the message, which may come again, and not from the state that it changes.
                .message_id(&message.derived_id(0))
                .json(&contribution)?;
        }
        Ok(())
    }

    /// Where the meter is: what the validation found, else what its routing key says.
    fn region<'a>(&self, message: &Message<'a>) -> &'a str {
        if self.of == Of::Region {
            return message.key().unwrap_or_default();
        }
        let mut words = message.routing_key().split('.');
        let word = if words.next() == Some("meter") { words.next() } else { None };
        message.text_header("region").or(word).unwrap_or("unknown")
    }
}

impl Time {
    fn seconds(&self) -> Result<i64, Failure> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "what is out of range is cut")]
            Self::Unix(seconds) => Ok(seconds.floor() as i64),
            Self::Text(text) => text.parse::<Timestamp>().map_or_else(
                |error| Err(Failure::reject("bad_ts", format!("`ts`: {error}"))),
                |time| Ok(time.as_second()),
            ),
        }
    }
}

/// The nearest whole watt hour.
#[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn watt_hours(kwh: f64) -> i64 {
    (kwh * 1000.0).round() as i64
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

sluicegate_sdk::export!(Consumption);

#[cfg(test)]
mod tests;
