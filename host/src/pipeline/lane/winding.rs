//! How a lane comes from one version of its plugins to another: it winds down, rests, and goes on.

use tokio::time::Instant;

use super::Lane;

impl Lane {
    /// Whether nothing that ran is unsettled or must run again as it did before: other versions of
    /// its plugins may take over without any message having effects of two.
    pub fn rests(&self) -> bool {
        let idle = self.ready.is_empty() && self.publishing.is_none() && !self.is_committing();
        idle && self.backlog.half_told().is_empty()
    }

    /// Has nothing new begin until [`Lane::rests`].
    pub fn wind_down(&mut self) {
        self.winding.get_or_insert_with(Instant::now);
    }

    /// Ends what [`Lane::wind_down`] began.
    pub fn go_on(&mut self) {
        if let Some(since) = self.winding.take() {
            self.shape.metrics.swap_paused(since.elapsed());
        }
    }
}
