//! What a lane leaves to the one that takes its place when its pipeline is altered. Its state isn't part
//! of it: that is in the store, under names that outlast it.

use super::Lane;
use crate::pipeline::identity::Window;

/// The identities that a lane remembers.
#[derive(Debug)]
pub struct Legacy {
    window: Window,
}

impl Lane {
    /// The lane is over, and all that it published is kept.
    #[must_use]
    pub fn retire(mut self) -> Legacy {
        self.close();
        let window = std::mem::replace(&mut self.window, Window::new(self.shape.id_window));
        Legacy { window }
    }

    /// Goes on where another lane of this pipeline and shard ended.
    #[must_use]
    pub fn inherit(mut self, legacy: Legacy) -> Self {
        self.window = legacy.window.within(self.shape.id_window);
        self
    }
}
