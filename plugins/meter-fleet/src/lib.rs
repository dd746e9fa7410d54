//! Counts how the meters of a region are, from the changes that `meter-status` tells of: how many are there, how
//! many of them are heard of, how many batteries end; and where in the region it is worst.
//!
//! The pipeline's key is the region. What counts is each change, once: the pipeline tells those that come twice by
//! their ids.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{
    ConfigError, Context, Decision, EncodeError, Message, Plugin, Timer, Verdict,
};

const TIMER: &str = "figures";

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fleet {
    /// Seconds that changes are gathered before the figures are published.
    every_s: u64,
    /// Areas of a region that are told, the worst first.
    worst: usize,
    /// Areas of a region that are told apart.
    areas_max: usize,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Region {
    all: Count,
    battery_minor: i64,
    battery_major: i64,
    areas: BTreeMap<String, Count>,
    /// Whether figures are about to be published.
    waits: bool,
}

/// Meters, and those among them that aren't heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count {
    meters: i64,
    silent: i64,
    lost: i64,
}

#[derive(Deserialize)]
struct Change {
    aspect: String,
    before: String,
    level: String,
    #[serde(default)]
    area: String,
}

#[derive(Serialize)]
struct Figures<'a> {
    region: &'a str,
    meters: i64,
    online: i64,
    online_permille: i64,
    silent: i64,
    lost: i64,
    battery_minor: i64,
    battery_major: i64,
    worst: Vec<Area<'a>>,
}

#[derive(Serialize)]
struct Area<'a> {
    area: &'a str,
    meters: i64,
    offline: i64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { every_s: 60, worst: 10, areas_max: 1000 }
    }
}

impl Plugin for Fleet {
    type State = Region;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if !(1..=86_400).contains(&self.every_s) {
            return Err(ConfigError::new("every_s", "must be 1 to 86400"));
        }
        if self.worst > 100 || self.areas_max > 1500 {
            let text = "must be at most 100, `areas_max` at most 1500";
            return Err(ConfigError::new("worst", text));
        }
        Ok(())
    }

    fn process(
        &self,
        message: &Message<'_>,
        region: &mut Region,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let change: Change = message.decode()?;
        let news = match change.aspect.as_str() {
            "connection" => {
                region.all.change(&change);
                self.in_area(region, &change);
                true
            }
            "battery" => region.battery(&change),
            _ => false,
        };
        if news && !std::mem::replace(&mut region.waits, true) {
            ctx.set_timer(TIMER, Duration::from_secs(self.every_s));
        }
        Ok(Verdict::done())
    }

    fn on_timer(&self, timer: &Timer<'_>, region: &mut Region, ctx: &mut Context<'_>) -> Decision {
        region.waits = false;
        self.tell(timer.key(), region, ctx)?;
        Ok(Verdict::done())
    }
}

impl Fleet {
    fn in_area(&self, region: &mut Region, change: &Change) {
        let full = region.areas.len() >= self.areas_max;
        if change.area.is_empty() || (full && !region.areas.contains_key(&change.area)) {
            return;
        }
        let area = region.areas.entry(change.area.clone()).or_default();
        area.change(change);
        if *area == Count::default() {
            region.areas.remove(&change.area);
        }
    }

    fn tell(&self, key: &str, region: &Region, ctx: &mut Context<'_>) -> Result<(), EncodeError> {
        let Count { meters, silent, lost } = region.all;
        let online = meters - silent - lost;
        let mut areas: Vec<Area<'_>> = region
            .areas
            .iter()
            .map(|(area, count)| (area, count.meters, count.silent + count.lost))
            .filter(|(.., offline)| *offline > 0)
            .map(|(area, meters, offline)| Area { area, meters, offline })
            .collect();
        // The larger share first, then the larger number; the rest by name, as the map has it.
        areas.sort_by_key(|area| {
            let share = area.offline.saturating_mul(1000) / area.meters.max(1);
            (std::cmp::Reverse(share), std::cmp::Reverse(area.offline))
        });
        areas.truncate(self.worst);
        let figures = Figures {
            region: key,
            meters,
            online,
            online_permille: online.saturating_mul(1000) / meters.max(1),
            silent,
            lost,
            battery_minor: region.battery_minor,
            battery_major: region.battery_major,
            worst: areas,
        };
        ctx.emit("figures")
            .routing_key(&format!("fleet.{key}"))
            .kind("fleet")
            .header("region", key)
            .json(&figures)?;
        Ok(())
    }
}

impl Region {
    fn battery(&mut self, change: &Change) -> bool {
        let mut news = false;
        for (level, by) in [(&change.before, -1), (&change.level, 1)] {
            let count = match level.as_str() {
                "minor" => &mut self.battery_minor,
                "major" => &mut self.battery_major,
                _ => continue,
            };
            *count += by;
            news = true;
        }
        news
    }
}

impl Count {
    fn change(&mut self, change: &Change) {
        for (level, by) in [(&change.before, -1), (&change.level, 1)] {
            match level.as_str() {
                "unknown" => continue,
                "minor" => self.silent += by,
                "major" => self.lost += by,
                _ => {}
            }
            self.meters += by;
        }
    }
}

sluicegate_sdk::export!(Fleet);

#[cfg(test)]
mod tests;
