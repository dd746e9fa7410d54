//! What every contender of the benchmarks computes: a meter's reading decoded and checked, compared with
//! the meter's own past, told to somebody. One crate, so that contenders differ by what is around it alone.

use serde::{Deserialize, Serialize};

/// Parts of a day with a usual value of their own.
pub const BINS: usize = 24;
/// Seconds of a day.
const DAY_S: u32 = 86_400;
/// Usual distances from the usual from which a reading is told.
const THRESHOLD: f64 = 8.0;
/// Readings before the first can be told.
const WARM_UP: u32 = 20;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// MessagePack.
    MessagePack,
}

/// A reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading<'m> {
    /// The meter.
    #[serde(rename = "m")]
    pub meter: &'m str,
    /// When, seconds since 1970.
    #[serde(rename = "t")]
    pub at_s: u32,
    /// How much, in Wh.
    #[serde(rename = "v")]
    pub wh: u32,
    /// What makes it as long as it has to be.
    #[serde(rename = "n", default, skip_serializing_if = "str::is_empty")]
    pub note: &'m str,
}

/// Why a reading is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It doesn't decode.
    Malformed,
    /// A value is out of its range.
    Range,
}

/// What is usual for a meter. Of a fixed size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    readings: u32,
    mean: f32,
    distance: f32,
    bins: [f32; BINS],
}

impl<'m> Reading<'m> {
    /// Decodes and checks one.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(body: &'m [u8], encoding: Encoding) -> Result<Self, Refusal> {
        let reading: Self = match encoding {
            Encoding::Json => serde_json::from_slice(body).map_err(|_| Refusal::Malformed)?,
            Encoding::MessagePack => rmp_serde::from_slice(body).map_err(|_| Refusal::Malformed)?,
        };
        let known = !reading.meter.is_empty() && reading.meter.len() <= 64;
        if !known || reading.at_s < 1_000_000_000 || reading.wh > 1_000_000 {
            return Err(Refusal::Range);
        }
        Ok(reading)
    }
}

/// Bytes of what is usual for a meter.
pub const USUAL_BYTES: usize = 12 + 4 * BINS;

impl Usual {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; USUAL_BYTES] {
        let mut bytes = [0; USUAL_BYTES];
        let (words, _) = bytes.as_chunks_mut::<4>();
        let [readings, mean, distance, bins @ ..] = words else { return bytes };
        *readings = self.readings.to_le_bytes();
        *mean = self.mean.to_le_bytes();
        *distance = self.distance.to_le_bytes();
        for (word, bin) in bins.iter_mut().zip(&self.bins) {
            *word = bin.to_le_bytes();
        }
        bytes
    }

    /// From bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; USUAL_BYTES] = bytes.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<4>();
        let float = |at: usize| f32::from_le_bytes(words[at]);
        Some(Self {
            readings: u32::from_le_bytes(words[0]),
            mean: float(1),
            distance: float(2),
            bins: std::array::from_fn(|at| float(at + 3)),
        })
    }

    /// How unlike the meter's past a reading is, if it is worth telling; then learns from it.
    pub fn judge(&mut self, reading: &Reading<'_>) -> Option<f32> {
        let bin = (reading.at_s % DAY_S) as usize * BINS / DAY_S as usize;
        let bin = self.bins.get_mut(bin)?;
        #[expect(clippy::cast_precision_loss, reason = "at most a million")]
        let wh = reading.wh as f32;
        let expected = if *bin == 0.0 { self.mean } else { *bin };
        let off = wh - expected;
        let score = off.abs() / (self.distance + 1.0);
        let far = 16.0 * (self.distance + 1.0);
        let off = if self.readings == 0 { off } else { off.clamp(-far, far) };
        self.readings = self.readings.saturating_add(1);
        *bin = expected + 0.05 * off;
        self.distance += 0.02 * (off.abs() - self.distance);
        self.mean += 0.02 * (expected + off - self.mean);
        (self.readings > WARM_UP && f64::from(score) > THRESHOLD).then_some(score)
    }
}

/// What is told of a reading.
#[must_use]
pub fn told(reading: &Reading<'_>, score: f32) -> Vec<u8> {
    #[derive(Serialize)]
    struct Told<'t> {
        meter: &'t str,
        at_s: u32,
        wh: u32,
        score: f32,
    }
    let told = Told { meter: reading.meter, at_s: reading.at_s, wh: reading.wh, score };
    serde_json::to_vec(&told).unwrap_or_default()
}
