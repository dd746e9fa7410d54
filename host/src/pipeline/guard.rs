//! A plugin's breaker: when too many messages fail in its calls, the pipelines that use it pause, or their
//! messages fail without a call, until it works again.
//!
//! ```text
//! Well ──rate passed──► Broken ──a message passes in a probe, or nothing is there to try──► Well
//!                        │  ▲
//!                        └──┘ probes that fail, further and further apart
//! ```
//!
//! Counted are messages, not calls: a call that fails for several of them is repeated one by one. With
//! `on_broken = "pause"` the pipelines' own breakers ([`Breaker`]) stop the intake, and try a few deliveries
//! after a pause; what fails then isn't judged, so that no message is spent on a plugin that can't work.
//! With `"dead-letter"` calls are refused but for one now and then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Breaker;
use crate::config::{OnBroken, PluginBreaker};
use crate::limits::{PLUGIN_BREAKER_PARTS, PLUGIN_PROBE_PAUSE_MAX, PLUGIN_PROBE_PAUSE_MIN};
use crate::plugin::CallError;
use crate::verdict::FailureClass;

/// One plugin's breaker.
#[derive(Debug, Default)]
pub struct Guard {
    /// What [`Guard::pauses`] and [`Guard::admit`] look at: one of `WELL`, `PAUSES`, `REFUSES`.
    mode: AtomicU8,
    inner: Mutex<Inner>,
}

const WELL: u8 = 0;
const PAUSES: u8 = 1;
const REFUSES: u8 = 2;

#[derive(Debug, Default)]
struct Inner {
    settings: Option<PluginBreaker>,
    window: VecDeque<Part>,
    pipelines: Vec<Weak<Breaker>>,
    broken: Option<Broken>,
    /// Counts up with each change, so that calls which began before it don't count after it.
    turn: u64,
}

/// A part of the window.
#[derive(Debug)]
struct Part {
    began: Instant,
    passed: u64,
    failed: u64,
}

#[derive(Debug)]
struct Broken {
    why: String,
    class: FailureClass,
    /// When a call is let through again, where calls are refused.
    probe_at: Instant,
    pause: Duration,
}

/// Lets a call be counted.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

impl Guard {
    /// Takes settings; `None` is a plugin that never counts as broken.
    pub fn configure(&self, plugin: &str, settings: Option<PluginBreaker>) {
        let mut inner = self.lock();
        if inner.settings == settings {
            return;
        }
        inner.settings = settings;
        inner.window.clear();
        self.mend(inner, plugin, "other settings");
    }

    /// The breaker of a pipeline that uses the plugin.
    pub fn stop_with(&self, breaker: &Arc<Breaker>) {
        let mut inner = self.lock();
        inner.pipelines.retain(|it| it.strong_count() > 0);
        inner.pipelines.push(Arc::downgrade(breaker));
        if let Some(broken) = inner.broken.as_ref().filter(|_| self.pauses()) {
            breaker.trip(&broken.why);
        }
    }

    /// Whether its pipelines are to stand still, but for probes.
    #[must_use]
    pub fn pauses(&self) -> bool {
        self.mode.load(Ordering::Acquire) == PAUSES
    }

    /// Why the plugin counts as broken; `None` where it doesn't.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.lock().broken.as_ref().map(|broken| broken.why.clone())
    }

    /// Lets a call begin.
    ///
    /// # Errors
    /// The plugin is broken, and this isn't the time to try it.
    pub fn admit(&self) -> Result<Ticket, CallError> {
        let inner = self.lock();
        match &inner.broken {
            Some(broken) if self.mode.load(Ordering::Acquire) == REFUSES => {
                if Instant::now() >= broken.probe_at {
                    return Ok(Ticket(inner.turn));
                }
                let text = format!("{}; it wasn't called", broken.why);
                Err(CallError { class: broken.class, text, backtrace: Vec::new() })
            }
            _ => Ok(Ticket(inner.turn)),
        }
    }

    /// A call of so many messages ended.
    pub fn note(&self, ticket: Ticket, plugin: &str, messages: usize, error: Option<&CallError>) {
        // Which of several failed is seen when each runs alone.
        if error.is_some() && messages > 1 {
            return;
        }
        let mut inner = self.lock();
        if ticket.0 != inner.turn {
            return;
        }
        if inner.broken.is_some() {
            match error {
                None => self.mend(inner, plugin, "a message passed"),
                Some(_) => inner.postpone(),
            }
            return;
        }
        let Some(settings) = inner.settings.clone() else { return };
        let (passed, failed) = inner.count(&settings, messages.max(1) as u64, error.is_some());
        let share = failed as f64 / (passed + failed) as f64;
        if let Some(error) = error
            && failed >= u64::from(settings.at_least)
            && share >= settings.rate
        {
            let why = format!(
                "plugin '{plugin}' is broken: {failed} of {} messages failed in its calls within \
                 {} s, the last with {error}",
                passed + failed,
                settings.window.as_secs()
            );
            self.break_open(inner, plugin, &settings, (why, error.class));
        }
    }

    /// Another version serves: it is tried at once, and begins with a clean slate.
    pub fn replaced(&self) {
        let mut inner = self.lock();
        inner.window.clear();
        inner.turn += 1;
        let Some(broken) = &mut inner.broken else { return };
        broken.probe_at = Instant::now();
        broken.pause = PLUGIN_PROBE_PAUSE_MIN;
        inner.pipelines.iter().filter_map(Weak::upgrade).for_each(|breaker| breaker.hurry());
    }

    /// There is nothing to try it with: taken to be well.
    pub fn give_credit(&self, plugin: &str) {
        let inner = self.lock();
        if inner.broken.is_some() {
            self.mend(inner, plugin, "there is nothing to try it with");
        }
    }

    fn break_open(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        plugin: &str,
        settings: &PluginBreaker,
        (why, class): (String, FailureClass),
    ) {
        tracing::error!(plugin, why, on_broken = ?settings.on_broken, "a plugin's breaker opens");
        let pause = PLUGIN_PROBE_PAUSE_MIN;
        let probe_at = Instant::now() + pause;
        inner.broken = Some(Broken { why: why.clone(), class, probe_at, pause });
        inner.turn += 1;
        inner.window.clear();
        let pipelines: Vec<_> = inner.pipelines.iter().filter_map(Weak::upgrade).collect();
        let pauses = settings.on_broken == OnBroken::Pause;
        self.mode.store(if pauses { PAUSES } else { REFUSES }, Ordering::Release);
        drop(inner);
        if pauses {
            pipelines.iter().for_each(|breaker| breaker.trip(&why));
        }
    }

    fn mend(&self, mut inner: MutexGuard<'_, Inner>, plugin: &str, why: &str) {
        if inner.broken.take().is_none() {
            return;
        }
        tracing::info!(plugin, why, "a plugin's breaker closes");
        inner.turn += 1;
        self.mode.store(WELL, Ordering::Release);
        let pipelines: Vec<_> = inner.pipelines.iter().filter_map(Weak::upgrade).collect();
        drop(inner);
        for breaker in pipelines {
            breaker.passed();
            breaker.hurry();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Counts, and answers what passed and what failed within the window.
    fn count(&mut self, settings: &PluginBreaker, messages: u64, failed: bool) -> (u64, u64) {
        let now = Instant::now();
        let part = settings.window / PLUGIN_BREAKER_PARTS;
        self.window.retain(|it| now.duration_since(it.began) < settings.window);
        if self.window.back().is_none_or(|last| now.duration_since(last.began) >= part) {
            self.window.push_back(Part { began: now, passed: 0, failed: 0 });
        }
        if let Some(last) = self.window.back_mut() {
            let counted = if failed { &mut last.failed } else { &mut last.passed };
            *counted += messages;
        }
        self.window.iter().fold((0, 0), |(p, f), it| (p + it.passed, f + it.failed))
    }

    /// A probe failed: the next one is further away.
    fn postpone(&mut self) {
        if let Some(broken) = &mut self.broken {
            broken.pause = (broken.pause * 2).min(PLUGIN_PROBE_PAUSE_MAX);
            broken.probe_at = Instant::now() + broken.pause;
        }
    }
}

#[cfg(test)]
mod tests;
