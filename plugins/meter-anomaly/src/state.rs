//! What is kept of a meter: its series, as bytes.

use meter_detector::{Reader, Series, Writer};
use sluicegate_sdk::Encoded;

use crate::config::Watched;

/// Bytes that a series takes, about.
const SERIES_BYTES: usize = 1024;

/// A meter's series, by the ids of their quantities.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meter {
    /// Of the device's serial number; 0 where it says none.
    serial: u32,
    series: Vec<(u32, Box<Series>)>,
}

impl Meter {
    /// The device has that serial number. Another device has another past: everything begins anew.
    pub(crate) fn is(&mut self, serial: Option<&str>) {
        let Some(serial) = serial.map(id) else { return };
        if self.serial != serial {
            if self.serial != 0 {
                self.series.clear();
            }
            self.serial = serial;
        }
    }

    /// The series of a quantity. What isn't watched any more gives way to what is.
    pub(crate) fn series(&mut self, id: u32, watched: &[Watched]) -> &mut Series {
        let at = self.series.iter().position(|(of, _)| *of == id).unwrap_or_else(|| {
            self.series.retain(|(of, _)| watched.iter().any(|watched| watched.id == *of));
            self.series.push((id, Box::default()));
            self.series.len() - 1
        });
        &mut self.series[at].1
    }
}

impl Encoded for Meter {
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        let mut to = Writer::with_capacity(4 + self.series.len() * SERIES_BYTES);
        if self.serial != 0 || !self.series.is_empty() {
            to.count(self.serial);
        }
        for (id, series) in &self.series {
            to.count(*id);
            series.write(&mut to);
        }
        to.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        let serial = if from.is_empty() { 0 } else { from.count()? };
        let mut series = Vec::new();
        while !from.is_empty() {
            series.push((from.count()?, Box::new(Series::read(&mut from)?)));
        }
        Some(Self { serial, series })
    }
}

/// What a name or a number is kept as: FNV-1a, never 0.
pub(crate) fn id(text: &str) -> u32 {
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}
