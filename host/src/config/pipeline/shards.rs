//! `shards` of a pipeline.

use toml::de::DeValue;

use super::super::Shards;
use super::super::section::Section;
use crate::limits;

const REMEDY: &str = "write `shards = 2`, or `{ min = 1, max = 4 }` for as many as the load takes";

/// How many shards the pipeline uses; `None` is all.
pub(super) fn read(section: &Section<'_>) -> Option<Shards> {
    let item = section.item("shards")?;
    let bounds = 1..=limits::SHARDS_MAX;
    match item.value {
        DeValue::Integer(_) => {
            let number = item.number(bounds)?;
            Some(Shards { least: number, most: number, latency: limits::SCALE_LATENCY })
        }
        DeValue::Table(_) => {
            let section = item.section()?;
            let least = section.number("min", bounds.clone());
            let most = section.number("max", bounds);
            let latency = section
                .duration("latency", limits::SCALE_LATENCY_MIN..=limits::HOST_DURATION_MAX)
                .unwrap_or(limits::SCALE_LATENCY);
            section.finish();
            let (least, most) = (least.unwrap_or(1), most.unwrap_or(limits::SHARDS_MAX));
            if least > most {
                let message = format!("`min` is {least} and `max` {most}");
                item.notes.error(&item.path, message, REMEDY);
                return None;
            }
            Some(Shards { least, most, latency })
        }
        _ => {
            item.expected("a number or a table", REMEDY);
            None
        }
    }
}
