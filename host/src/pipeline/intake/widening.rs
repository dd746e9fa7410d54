//! How a pipeline comes to use more shards, or fewer, between two consumers.
//!
//! Nothing is in hand then, and timers wait. Every lane gives away what it knows of its keys; when all have,
//! it is dealt out by the new spread. A message of a key comes to its new lane behind that.

use tokio::sync::oneshot;

use super::{Counts, Intake};
use crate::pipeline::change::deal;
use crate::pipeline::scale::Sample;
use crate::pipeline::shard::Event;

impl Intake {
    /// Looks whether the pipeline uses the right number of shards; another one, where it doesn't. A window that
    /// still grows is full however little waits, and says nothing.
    pub(super) fn look(&mut self) -> Option<usize> {
        let scale = self.pace.scale.as_mut()?;
        let in_flight = &self.shape.in_flight;
        let (settled, worked) = in_flight.done();
        let ramp = &self.pace.ramp;
        let window = if ramp.grows() { usize::MAX } else { usize::from(ramp.window()) };
        let at = tokio::time::Instant::now();
        let sample = Sample { at, held: in_flight.held(), window, settled, worked };
        let width = self.shape.spread.now().width();
        let decision = scale.look(width, sample)?;
        tracing::info!(
            pipeline = self.shape.name,
            shards = decision.width,
            before = width,
            busy_percent = format_args!("{:.0}", 100.0 * decision.busy),
            latency = ?decision.latency,
            "another number of shards"
        );
        Some(decision.width)
    }

    /// Deals the pipeline's keys out to as many shards as it is to use from now on.
    pub(super) async fn widen(&mut self, counts: &mut Counts) {
        let said = match self.width.has_changed() {
            Ok(true) => *self.width.borrow_and_update(),
            _ => None,
        };
        let Some(width) = said.or(counts.width.take()) else { return };
        // What is left for the broker to take back is still here, and may be of any key.
        if self.shape.in_flight.held() > 0 {
            return;
        }
        let spread = self.shape.spread.now().wide(width);
        let mut answers = Vec::new();
        for shard in &self.shards {
            let (answer, answered) = oneshot::channel();
            // A shard that is gone is on a host that is stopping.
            let _ = shard.send(Event::Share(self.lane, spread, answer)).await;
            answers.push(answered);
        }
        let mut all = Vec::new();
        for answered in answers {
            all.extend(answered.await.ok());
        }
        self.shape.spread.set(spread);
        let dealt = deal(all, spread, self.shape.id_window(spread)).await;
        for (shard, legacy) in self.shards.iter().zip(dealt) {
            if let Some(legacy) = legacy {
                let _ = shard.send(Event::TakeOver(self.lane, Box::new(legacy))).await;
            }
        }
        self.shape.metrics.shards(spread.width());
    }
}
