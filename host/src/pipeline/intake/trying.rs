//! How an intake tries a plugin that is broken.

use super::Intake;

impl Intake {
    /// Whether a plugin of this pipeline is broken, so that it stands still.
    pub(super) fn plugin_broken(&self) -> bool {
        self.plugins.iter().any(|slot| slot.guard().pauses())
    }

    /// The time for a probe of a broken plugin is up.
    pub(super) fn plugin_tried(&self) {
        let nothing_came = self.in_flight.held() == 0;
        for slot in self.plugins.iter().filter(|slot| slot.guard().pauses()) {
            if nothing_came {
                slot.guard().give_credit(slot.name());
            } else if let Some(why) = slot.guard().why() {
                self.breaker.trip(&why);
            }
        }
        if nothing_came {
            self.breaker.passed();
        }
    }
}
