//! How much of its prefetch a pipeline asks for: little at first, and more as messages are settled.
//!
//! What a broker has handed out when a host dies or releases it is marked as delivered before, and
//! counts against the queue's delivery limit. So a window is widened only when as many messages as it
//! holds were settled since it began: whoever waits in the queue is in few windows, however often the
//! host dies. `basic.qos` changes nothing for a consumer that is there; a wider window takes a new one.

use crate::limits::{PLUGIN_PROBE_MESSAGES, RAMP_FACTOR, RAMP_START};

/// A pipeline's window.
#[derive(Clone, Copy, Debug)]
pub struct Ramp {
    /// The prefetch that the config asks for.
    most: u16,
    first: u16,
    window: u16,
    dealt: u32,
}

impl Ramp {
    /// Up to that prefetch. Where a cancelled consumer would cost more than a release (the queue goes
    /// with it, or another host takes its place) it is asked for at once.
    #[must_use]
    pub fn new(most: u16, cancels: bool) -> Self {
        let first = if cancels { most.min(RAMP_START) } else { most };
        Self { most, first, window: first, dealt: 0 }
    }

    /// What to ask for now.
    #[must_use]
    pub fn window(&self) -> u16 {
        self.window
    }

    /// Whether wider ones are to come.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.window < self.most
    }

    /// What to ask for in a probe of a broken plugin, after so many that failed: each is twice as wide, for it
    /// may be that only those at the head of the queue can't pass.
    #[must_use]
    pub fn probe(&self, failed: u32) -> u16 {
        let wide = u32::from(PLUGIN_PROBE_MESSAGES).saturating_mul(1 << failed.min(16));
        u16::try_from(wide).unwrap_or(u16::MAX).min(self.most)
    }

    /// A delivery was taken. Whether a wider window is due: twice as many as the window holds were
    /// taken, so at least as many as it holds were settled.
    pub fn dealt(&mut self) -> bool {
        self.dealt = self.dealt.saturating_add(1);
        self.window < self.most && self.dealt >= 2 * u32::from(self.window)
    }

    /// The next window.
    pub fn widen(&mut self) {
        self.window = self.window.saturating_mul(RAMP_FACTOR).min(self.most);
        self.dealt = 0;
    }

    /// From the start again.
    pub fn reset(&mut self) {
        (self.window, self.dealt) = (self.first, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_widens_when_as_many_as_it_holds_were_settled() {
        let mut ramp = Ramp::new(1000, true);
        let mut windows = vec![ramp.window()];
        for taken in 1..4000_u32 {
            if ramp.dealt() {
                assert!(taken >= 2 * u32::from(ramp.window()));
                ramp.widen();
                windows.push(ramp.window());
            }
        }
        assert_eq!(windows, [16, 64, 256, 1000]);
        ramp.reset();
        assert_eq!(ramp.window(), RAMP_START);
    }

    #[test]
    fn probes_that_fail_are_followed_by_wider_ones_up_to_the_prefetch() {
        let ramp = Ramp::new(1000, true);
        let widths: Vec<u16> = (0..9).map(|failed| ramp.probe(failed)).collect();
        assert_eq!(widths, [16, 32, 64, 128, 256, 512, 1000, 1000, 1000]);
        assert_eq!(ramp.probe(u32::MAX), 1000);
        assert_eq!(Ramp::new(10, true).probe(0), 10);
    }

    #[test]
    fn a_small_prefetch_and_a_consumer_that_must_stay_are_asked_for_at_once() {
        for mut ramp in [Ramp::new(10, true), Ramp::new(1000, false)] {
            let all = ramp.window();
            assert!((0..10_000).all(|_| !ramp.dealt()));
            assert_eq!(ramp.window(), all);
        }
    }
}
