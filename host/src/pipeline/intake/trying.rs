//! How an intake tries a plugin that is broken.

use super::{Counts, Intake};

impl Intake {
    /// How many deliveries its next consumer may hold.
    pub(super) fn prefetch(&self, probing: bool, counts: &mut Counts) -> u16 {
        match (probing, self.plugin_broken()) {
            (true, true) => {
                let failed = counts.probes;
                counts.probes += 1;
                self.pace.ramp.probe(failed)
            }
            (true, false) => 1,
            (false, _) => self.pace.ramp.window(),
        }
    }

    /// Whether a plugin of this pipeline is broken, so that it stands still.
    pub(super) fn plugin_broken(&self) -> bool {
        self.shape.plugins.iter().any(|slot| slot.guard().pauses())
    }

    /// The time for a probe of a broken plugin is up.
    pub(super) fn plugin_tried(&self) {
        let nothing_came = self.shape.in_flight.held() == 0;
        for slot in self.shape.plugins.iter().filter(|slot| slot.guard().pauses()) {
            if nothing_came {
                slot.guard().give_credit(slot.name());
            } else if let Some(why) = slot.guard().why() {
                self.shape.breaker.trip(&why);
            }
        }
        if nothing_came {
            self.shape.breaker.passed();
        }
    }
}
