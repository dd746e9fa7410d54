//! The plugin's statistics on the benchmark's files, natively: as the plugin calls them, a thousand times faster.

use meter_detector::{Alarm, Alarms, Known, Tuning};

use crate::nab::{Corpus, File};

/// All that is tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Setup {
    /// How the channels are set.
    pub tuning: Tuning,
    /// When surprise is an alarm.
    pub alarms: Alarms,
}

/// Bits of surprise by file and row; `None` where a row isn't later than the one before.
pub type Bits = Vec<Vec<Option<f32>>>;

/// How surprising each row of each file is.
#[must_use]
pub fn bits(corpus: &Corpus, tuning: &Tuning) -> Bits {
    corpus.files.iter().map(|file| file_bits(file, tuning)).collect()
}

fn file_bits(file: &File, tuning: &Tuning) -> Vec<Option<f32>> {
    let (mut known, mut last) = (Known::default(), i64::MIN);
    let judge = |(at, value): &(i64, f64)| {
        if *at <= last {
            return None;
        }
        last = *at;
        let second = u32::try_from(at.rem_euclid(86_400)).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "as the plugin does it")]
        let surprise = known.judge(*value as f32, second, tuning);
        Some(surprise.total())
    };
    file.rows.iter().map(judge).collect()
}

/// The rows that are an alarm, with their scores, by file.
#[must_use]
pub fn alarms(bits: &Bits, alarms: &Alarms) -> Vec<Vec<(usize, f32)>> {
    let of_file = |rows: &Vec<Option<f32>>| {
        let mut alarm = Alarm::default();
        let rows = rows.iter().enumerate();
        rows.filter_map(|(row, bits)| Some((row, alarm.fires((*bits)?, alarms)?))).collect()
    };
    bits.iter().map(of_file).collect()
}
