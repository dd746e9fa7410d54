//! A book as bytes: numbers in as few of seven bits each as they need, for most intervals have little to say.

use sluicegate_sdk::Encoded;

use super::{Book, Day, Published, Sum};

impl Encoded for Book {
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        let intervals: usize = self.days.iter().map(|day| day.intervals.len()).sum();
        let mut bytes = Writer(Vec::with_capacity(64 + 5 * intervals));
        bytes.count(self.region.len());
        bytes.0.extend(self.region.as_bytes());
        let times = [self.time_s, self.seen_s, self.due_s, self.hold_s, self.changed_s];
        times.into_iter().for_each(|time| bytes.number(time));
        bytes.count(self.days.len());
        self.days.iter().for_each(|day| bytes.day(day));
        bytes.count(self.past.len());
        for (start_s, wh) in &self.past {
            bytes.number(*start_s);
            bytes.number(*wh);
        }
        bytes.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let length = bytes.count()?;
        let (region, rest) = bytes.0.split_at_checked(length)?;
        let region = String::from_utf8(region.to_vec()).ok()?;
        bytes.0 = rest;
        let mut times = [0; 5];
        for time in &mut times {
            *time = bytes.number()?;
        }
        let [time_s, seen_s, due_s, hold_s, changed_s] = times;
        let days = bytes.list(Reader::day)?;
        let past = bytes.list(|bytes| Some((bytes.number()?, bytes.number()?)))?;
        let book = Self { region, time_s, seen_s, due_s, hold_s, changed_s, days, past };
        bytes.0.is_empty().then_some(book)
    }
}

struct Writer(Vec<u8>);

struct Reader<'a>(&'a [u8]);

// === impl Writer ===

impl Writer {
    #[expect(clippy::cast_possible_truncation, reason = "seven bits of it, and eight")]
    fn bits(&mut self, mut bits: u64) {
        while bits >= 0x80 {
            self.0.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        self.0.push(bits as u8);
    }

    fn count(&mut self, count: usize) {
        self.bits(count as u64);
    }

    /// Small numbers are short, whatever their sign.
    fn number(&mut self, number: i64) {
        self.bits(zigzag(number));
    }

    /// An interval that nobody told of is one byte, 0; otherwise what counts them is one more than it is.
    fn sum(&mut self, sum: Sum) {
        if sum == Sum::default() {
            return self.bits(0);
        }
        self.bits(zigzag(sum.known).saturating_add(1));
        self.number(sum.estimated);
        self.number(sum.wh);
    }

    fn published(&mut self, published: Published) {
        self.bits(published.revision.into());
        if published.revision > 0 {
            self.sum(published.sum);
        }
    }

    fn day(&mut self, day: &Day) {
        self.number(day.start_s);
        self.number(day.end_s - day.start_s);
        self.published(day.whole);
        self.count(day.hours.len());
        day.hours.iter().for_each(|hour| self.published(*hour));
        self.count(day.intervals.len());
        day.intervals.iter().for_each(|interval| self.sum(*interval));
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn bits(&mut self) -> Option<u64> {
        let mut bits = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(bits);
            }
        }
        None
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.bits()?).ok()
    }

    fn number(&mut self) -> Option<i64> {
        self.bits().map(zagzig)
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        // Each has a byte at least.
        (count <= self.0.len()).then_some(())?;
        (0..count).map(|_| read(self)).collect()
    }

    fn sum(&mut self) -> Option<Sum> {
        match self.bits()? {
            0 => Some(Sum::default()),
            known => {
                let known = zagzig(known - 1);
                Some(Sum { known, estimated: self.number()?, wh: self.number()? })
            }
        }
    }

    fn published(&mut self) -> Option<Published> {
        match u32::try_from(self.bits()?).ok()? {
            0 => Some(Published::default()),
            revision => Some(Published { revision, sum: self.sum()? }),
        }
    }

    fn day(&mut self) -> Option<Day> {
        let start_s = self.number()?;
        let end_s = start_s.checked_add(self.number()?)?;
        let whole = self.published()?;
        let hours = self.list(Self::published)?;
        let intervals = self.list(Self::sum)?;
        Some(Day { start_s, end_s, whole, hours, intervals })
    }
}

/// A number whose sign is its last bit.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// The number again.
fn zagzig(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}
