//! Letters without a report, and reports without a letter.

use std::collections::HashSet;
use std::sync::Arc;

use super::Trouble;
use super::browse::Browse;
use super::ledger::Ledger;
use super::letter::Letter;
use super::places::Place;
use crate::broker::Broker;
use crate::report::Report;

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Check {
    /// Letters in the queues.
    pub letters: u64,
    /// Letters that have a report.
    pub tied: u64,
    /// Letters without one, as far as they tell of themselves: the first of them.
    pub unreported: Vec<Report>,
    /// Open failures whose letter is in none of the queues.
    pub letterless: Vec<Report>,
}

/// Compares what is in the queues with the reports; takes nothing out. `most` bounds the lists.
///
/// # Errors
/// When a queue can't be read.
pub async fn check(
    broker: &Arc<dyn Broker>,
    places: &[Place],
    ledger: &Ledger,
    most: usize,
) -> Result<Check, Trouble> {
    let mut check = Check::default();
    let mut used = HashSet::new();
    for place in places {
        let mut browse = Browse::open(broker, &place.queue).await?;
        let read = async {
            while let Some(taken) = browse.next().await? {
                let (message, _, hold) = taken.split();
                browse.hold(hold);
                check.letters += 1;
                let letter = Letter::read(message);
                if ledger.report_of(&letter, &mut used).is_some() {
                    check.tied += 1;
                } else if check.unreported.len() < most {
                    check.unreported.push(letter.stand_in());
                }
            }
            Ok(())
        };
        let read: Result<(), Trouble> = read.await;
        let closed = browse.close().await;
        read.and(closed)?;
    }
    let caught: HashSet<&str> =
        places.iter().flat_map(|place| &place.origins).map(String::as_str).collect();
    let letterless = ledger.numbered().filter(|(number, entry)| {
        let kept = entry.report.end == "dead_lettered" || entry.report.end == "annotated";
        entry.resolution.is_none()
            && kept
            && caught.contains(entry.report.queue.as_str())
            && !used.contains(number)
    });
    check.letterless = letterless.map(|(_, entry)| entry.report.clone()).take(most).collect();
    Ok(check)
}
