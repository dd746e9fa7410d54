//! What is remembered of a meter, or of a region: the intervals of its last days, and what was published of
//! them.

mod bytes;

/// Seconds of an hour.
pub(crate) const HOUR_S: i64 = 3600;

/// Energy of one interval or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Watt hours.
    pub(crate) wh: i64,
    /// Intervals in it.
    pub(crate) known: i64,
    /// Those among them that nobody measured.
    pub(crate) estimated: i64,
}

/// What was last published of an hour or a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// 0 is never; above 1 are corrections.
    pub(crate) revision: u32,
    pub(crate) sum: Sum,
}

/// A day, with the hours that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Day {
    /// Seconds since 1970, as all times here.
    pub(crate) start_s: i64,
    pub(crate) end_s: i64,
    pub(crate) whole: Published,
    pub(crate) hours: Vec<Published>,
    pub(crate) intervals: Vec<Sum>,
}

/// The state of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) region: String,
    /// The key's time: the latest that its messages said, no later than the host's clock was then.
    pub(crate) time_s: i64,
    /// What the host's clock said when that came.
    pub(crate) seen_s: i64,
    /// When the timer is due that was set last; 0 is none.
    pub(crate) due_s: i64,
    /// Until when it is waited for what came while the host was down; 0 is not.
    pub(crate) hold_s: i64,
    /// When the first change came that isn't published as a correction yet; 0 is none.
    pub(crate) changed_s: i64,
    /// By start.
    pub(crate) days: Vec<Day>,
    /// Start and energy of the last days that were published, by start.
    pub(crate) past: Vec<(i64, i64)>,
}

// === impl Sum ===

impl Sum {
    /// One measured, or estimated, interval.
    pub(crate) fn one(wh: i64, estimated: bool) -> Self {
        Self { wh, known: 1, estimated: estimated.into() }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            wh: self.wh.saturating_add(other.wh),
            known: self.known.saturating_add(other.known),
            estimated: self.estimated.saturating_add(other.estimated),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            wh: self.wh.saturating_sub(other.wh),
            known: self.known.saturating_sub(other.known),
            estimated: self.estimated.saturating_sub(other.estimated),
        }
    }

    /// Whether somebody measured it.
    fn is_measured(self) -> bool {
        self.known > self.estimated
    }
}

// === impl Day ===

impl Day {
    pub(crate) fn new((start_s, end_s): (i64, i64), interval_s: i64) -> Self {
        let count = |size: i64| usize::try_from((end_s - start_s + size - 1) / size).unwrap_or(0);
        Self {
            start_s,
            end_s,
            whole: Published::default(),
            hours: vec![Published::default(); count(HOUR_S)],
            intervals: vec![Sum::default(); count(interval_s)],
        }
    }

    /// What an interval's place holds from now on, and what that changes. What was measured stays where an
    /// estimate comes for it.
    pub(crate) fn set(&mut self, at: usize, sum: Sum) -> Sum {
        let held = &mut self.intervals[at];
        if held.is_measured() && !sum.is_measured() {
            return Sum::default();
        }
        let change = sum.minus(*held);
        *held = sum;
        change
    }

    /// Adds to what an interval's place holds.
    pub(crate) fn add(&mut self, at: usize, change: Sum) {
        self.intervals[at] = self.intervals[at].plus(change);
    }

    /// The sum of an hour of the day, counted from 0.
    pub(crate) fn hour(&self, hour: usize) -> Sum {
        let per_hour = self.intervals.len().div_ceil(self.hours.len().max(1)).max(1);
        let intervals = self.intervals.chunks(per_hour).nth(hour).unwrap_or_default();
        intervals.iter().copied().fold(Sum::default(), Sum::plus)
    }

    pub(crate) fn sum(&self) -> Sum {
        self.intervals.iter().copied().fold(Sum::default(), Sum::plus)
    }

    /// Start and end of an hour: the last one may be shorter.
    pub(crate) fn bounds(&self, hour: usize) -> (i64, i64) {
        let start_s = self.start_s + HOUR_S * i64::try_from(hour).unwrap_or(0);
        (start_s, self.end_s.min(start_s + HOUR_S))
    }
}

// === impl Book ===

impl Book {
    /// Moves the key's time to a message's, where that is later.
    pub(crate) fn see(&mut self, time_s: i64, now_s: i64) {
        // A clock that was put back goes on from where it is.
        self.seen_s = self.seen_s.min(now_s);
        let time_s = time_s.min(now_s);
        if time_s >= self.time_s {
            (self.time_s, self.seen_s, self.hold_s) = (time_s, now_s, 0);
        }
    }

    /// The place of the day that a time lies in.
    pub(crate) fn find(&self, at_s: i64) -> Option<usize> {
        let at = self.days.partition_point(|day| day.end_s <= at_s);
        self.days.get(at).is_some_and(|day| day.start_s <= at_s).then_some(at)
    }

    /// Puts a day where it belongs.
    pub(crate) fn insert(&mut self, day: Day) -> usize {
        let at = self.days.partition_point(|other| other.start_s < day.start_s);
        self.days.insert(at, day);
        at
    }

    /// Remembers what a day came to, for the days after it.
    pub(crate) fn remember(&mut self, start_s: i64, wh: i64, days: usize) {
        match self.past.binary_search_by_key(&start_s, |past| past.0) {
            Ok(at) => self.past[at].1 = wh,
            Err(at) => self.past.insert(at, (start_s, wh)),
        }
        let old = self.past.len().saturating_sub(days);
        self.past.drain(..old);
    }
}
