//! When hours and days are published, and as what.

use std::time::Duration;

use serde::Serialize;
use sluicegate_sdk::{Context, EncodeError};

use crate::book::{Book, Day, HOUR_S, Published, Sum};
use crate::{Consumption, Of};

/// A timer later than this wasn't late by chance: the host was down, and what it would have waited for is in
/// the queue.
const OVERDUE: Duration = Duration::from_secs(10);
/// The least time that the queue is given then.
const CATCH_UP_S: i64 = 60;
/// Days that are remembered for trends: those of a week, and the one a week ago.
const PAST_DAYS: usize = 8;
const TIMER: &str = "totals";

/// What is published of an hour or a day.
#[derive(Serialize)]
struct Total<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<&'a str>,
    region: &'a str,
    period: &'static str,
    /// The day's date where it was measured.
    date: &'a str,
    start: &'a str,
    end: &'a str,
    wh: i64,
    /// Intervals in it; of a region all meters' together.
    intervals: i64,
    /// Intervals that a meter has in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<usize>,
    estimated: i64,
    revision: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_wh: Option<i64>,
}

/// How a day compares with those before it.
#[derive(Serialize)]
struct Trend<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<&'a str>,
    region: &'a str,
    date: &'a str,
    wh: i64,
    /// Mean of the days before, a week at most.
    mean_wh: i64,
    days: usize,
    /// How much more than the mean, in thousandths of it.
    change_permille: i64,
    /// The same day a week ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    week_ago_wh: Option<i64>,
}

/// An hour or a day that is to be published.
struct Due {
    period: &'static str,
    start_s: i64,
    end_s: i64,
    before: Published,
    sum: Sum,
}

impl Consumption {
    /// Publishes all that is due at that time of the key, and forgets what can't change any more.
    pub(crate) fn settle(
        &self,
        key: &str,
        book: &mut Book,
        time_s: i64,
        now_s: i64,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let corrects = book.changed_s > 0 && now_s >= book.changed_s + self.correction_s;
        let mut days = std::mem::take(&mut book.days);
        let mut told = Ok(());
        days.retain_mut(|day| {
            let over = self.forgotten_s(day.end_s) <= time_s;
            let settled = self.settle_day(key, book, day, (time_s, corrects || over), ctx);
            told = std::mem::replace(&mut told, Ok(())).and(settled);
            !over
        });
        book.days = days;
        if corrects {
            book.changed_s = 0;
        }
        told
    }

    fn settle_day(
        &self,
        key: &str,
        book: &mut Book,
        day: &mut Day,
        (time_s, corrects): (i64, bool),
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        for hour in 0..day.hours.len() {
            let (start_s, end_s) = day.bounds(hour);
            let before = day.hours[hour];
            if !self.may_tell(before, end_s, time_s, corrects) {
                continue;
            }
            let sum = day.hour(hour);
            let due = Due { period: "hour", start_s, end_s, before, sum };
            if let Some(revision) = self.tell(key, book, &due, ctx)? {
                day.hours[hour] = Published { revision, sum };
            }
        }
        let Day { start_s, end_s, whole: before, .. } = *day;
        if !self.may_tell(before, end_s, time_s, corrects) {
            return Ok(());
        }
        let sum = day.sum();
        let due = Due { period: "day", start_s, end_s, before, sum };
        if let Some(revision) = self.tell(key, book, &due, ctx)? {
            day.whole = Published { revision, sum };
            if before.revision == 0 {
                self.tell_trend(key, book, day, ctx)?;
            }
            book.remember(start_s, sum.wh, PAST_DAYS);
        }
        Ok(())
    }

    /// Whether it is time: at first when it is over, then when corrections are.
    fn may_tell(&self, before: Published, end_s: i64, time_s: i64, corrects: bool) -> bool {
        if before.revision == 0 { end_s + self.lateness_s <= time_s } else { corrects }
    }

    /// Publishes it where it says something new; its revision.
    fn tell(
        &self,
        key: &str,
        book: &Book,
        due: &Due,
        ctx: &mut Context<'_>,
    ) -> Result<Option<u32>, EncodeError> {
        let Due { period, start_s, end_s, before, sum, .. } = *due;
        if sum == before.sum {
            return Ok(None);
        }
        let revision = before.revision.saturating_add(1);
        let ((date, start), (_, end)) = (self.written(start_s), self.written(end_s));
        let expected = usize::try_from((end_s - start_s) / self.interval_s).unwrap_or(0);
        let total = Total {
            meter: self.meter(key),
            region: &book.region,
            period,
            date: &date,
            start: &start,
            end: &end,
            wh: sum.wh,
            intervals: sum.known,
            expected: (self.of == Of::Meter).then_some(expected),
            estimated: sum.estimated,
            revision,
            previous_wh: (revision > 1).then_some(before.sum.wh),
        };
        let kind = if revision > 1 { "correction" } else { "total" };
        ctx.emit("totals")
            .routing_key(&format!("{kind}.{period}.{}.{}", self.of.as_str(), book.region))
            .kind(kind)
            .header("region", book.region.as_str())
            // Of what it says: after a crash something else may be said under the same revision.
            .message_id(&format!("{key}/{period}/{start_s}/{revision}/{}", sum.wh))
            .json(&total)?;
        Ok(Some(revision))
    }

    fn tell_trend(
        &self,
        key: &str,
        book: &Book,
        day: &Day,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let week: Vec<i64> =
            book.past.iter().rev().filter(|past| past.0 < day.start_s).map(|past| past.1).collect();
        let week = &week[..week.len().min(7)];
        let Ok(days @ 1..) = i64::try_from(week.len()) else { return Ok(()) };
        let mean_wh = week.iter().sum::<i64>() / days;
        let wh = day.whole.sum.wh;
        // A week ago may be an hour more or less.
        let ago_s = day.start_s - 7 * 24 * HOUR_S;
        let near = |past: &&(i64, i64)| (past.0 - ago_s).abs() <= 2 * HOUR_S;
        let (date, _) = self.written(day.start_s);
        let trend = Trend {
            meter: self.meter(key),
            region: &book.region,
            date: &date,
            wh,
            mean_wh,
            days: week.len(),
            change_permille: (wh - mean_wh).saturating_mul(1000) / mean_wh.abs().max(1),
            week_ago_wh: book.past.iter().find(near).map(|past| past.1),
        };
        ctx.emit("totals")
            .routing_key(&format!("trend.day.{}.{}", self.of.as_str(), book.region))
            .kind("trend")
            .header("region", book.region.as_str())
            .message_id(&format!("{key}/trend/{}/{wh}", day.start_s))
            .json(&trend)?;
        Ok(())
    }

    fn meter<'a>(&self, key: &'a str) -> Option<&'a str> {
        (self.of == Of::Meter).then_some(key)
    }

    fn written(&self, at_s: i64) -> (String, String) {
        self.calendar.as_ref().map(|calendar| calendar.written(at_s)).unwrap_or_default()
    }

    /// The key's time when a timer comes: it goes on with the host's clock, but for what the queue is given
    /// after a downtime.
    pub(crate) fn time_of_timer(&self, book: &mut Book, late: Duration, now_s: i64) -> i64 {
        if book.hold_s == 0 && late > OVERDUE {
            book.hold_s = now_s + self.lateness_s.clamp(CATCH_UP_S, HOUR_S);
        }
        if now_s < book.hold_s {
            return book.time_s;
        }
        // A day that is forgotten for its time stays so: what is late for it is too late.
        let passed_s = (now_s - book.seen_s).max(0);
        (book.time_s, book.seen_s, book.hold_s) = (book.time_s + passed_s, now_s, 0);
        book.time_s
    }

    /// Sets the timer at which something is due next. One that is set for that time already stays.
    pub(crate) fn arm(&self, book: &mut Book, now_s: i64, always: bool, ctx: &mut Context<'_>) {
        let before_s = std::mem::take(&mut book.due_s);
        let ends = book.days.iter().flat_map(|day| self.ends(day));
        let closes = ends.min().map(|end_s| book.seen_s + (end_s - book.time_s).max(0));
        let closes = closes.map(|due_s| due_s.max(book.hold_s));
        let corrects = (book.changed_s > 0).then_some(book.changed_s + self.correction_s);
        let Some(due_s) = closes.into_iter().chain(corrects).min() else { return };
        // What was just settled isn't due again at once.
        book.due_s = due_s.max(if always { now_s + 1 } else { 1 });
        if always || book.due_s != before_s {
            let due = Duration::from_secs(book.due_s.unsigned_abs());
            ctx.set_timer_at(TIMER, due);
        }
    }

    /// When, in the key's time, something of a day happens by itself: the first hour with something in it
    /// that isn't published, the day itself, its end.
    fn ends(&self, day: &Day) -> impl Iterator<Item = i64> {
        let unpublished =
            |hour: &usize| day.hours[*hour].revision == 0 && day.hour(*hour) != Sum::default();
        let hour = (0..day.hours.len()).find(unpublished).map(|hour| day.bounds(hour).1);
        let something = day.intervals.iter().any(|interval| *interval != Sum::default());
        let whole = (day.whole.revision == 0 && something).then_some(day.end_s);
        let next = hour.into_iter().chain(whole).min().map(|end_s| end_s + self.lateness_s);
        next.or_else(|| Some(self.forgotten_s(day.end_s))).into_iter()
    }
}

impl Of {
    fn as_str(self) -> &'static str {
        match self {
            Self::Meter => "meter",
            Self::Region => "region",
        }
    }
}
