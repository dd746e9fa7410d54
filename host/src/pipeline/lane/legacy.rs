//! What a lane leaves to the one that takes its place when its pipeline is altered.

use std::collections::VecDeque;

use super::Lane;
use crate::pipeline::identity::Window;
use crate::pipeline::shape::Shape;
use crate::state::Store;

/// A lane's committed state and the identities that it remembers.
#[derive(Debug)]
pub struct Legacy {
    /// Each stage's plugin, which state belongs to.
    stages: Vec<String>,
    store: Store,
    window: Window,
}

impl Lane {
    /// The lane is over: releases what it still holds, and leaves the rest behind.
    #[must_use]
    pub fn retire(mut self) -> Legacy {
        self.close();
        let store = std::mem::take(&mut self.store);
        self.count(&store, -1);
        let window = std::mem::replace(&mut self.window, Window::new(self.shape.id_window));
        Legacy { stages: plugins(&self.shape), store, window }
    }

    /// Goes on where another lane of this pipeline and shard ended. The state of a stage is found by its
    /// plugin; that of a plugin that is no stage any more is given up.
    #[must_use]
    pub fn inherit(mut self, legacy: Legacy) -> Self {
        let Legacy { stages, store, window } = legacy;
        let now = plugins(&self.shape);
        self.store = if stages == now {
            store
        } else {
            store.restage(&places(&stages, &now), self.shape.index)
        };
        self.count(&self.store, 1);
        self.window = window.within(self.shape.id_window);
        self
    }

    fn count(&self, store: &Store, sign: i64) {
        let signed = |n: usize| sign * i64::try_from(n).unwrap_or(i64::MAX);
        self.shape.metrics.state_keys(signed(store.keys()), signed(store.bytes()));
    }
}

fn plugins(shape: &Shape) -> Vec<String> {
    shape.stages.iter().map(|stage| stage.plugin.clone()).collect()
}

/// Where each stage was before: the first of a plugin's places goes to its first, and so on.
fn places(before: &[String], now: &[String]) -> Vec<Option<usize>> {
    let mut left: VecDeque<(usize, &String)> = before.iter().enumerate().collect();
    let mut place = |plugin: &String| {
        let at = left.iter().position(|(_, it)| *it == plugin)?;
        left.remove(at).map(|(place, _)| place)
    };
    now.iter().map(&mut place).collect()
}
