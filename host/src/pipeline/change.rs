//! How pipelines come and go while others run.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use super::intake::{Intake, State, Want};
use super::keeping::with_store;
use super::lane::{Lane, Legacy};
use super::publishing::Publishing;
use super::shape::Shape;
use super::shard::{Event, partition};
use super::spread::Spread;
use super::start::{Prepared, Setup, StartError, prepare};
use super::sweep::Sweep;
use super::{Pipelines, Running, Tasks, join};
use crate::config::{IdWindow, Pipeline, RetryOrder};
use crate::limits::{DEALT_AT_ONCE, RELEASE_TIMEOUT};
use crate::state::{Remembered, StateStore};

/// When the first timer of which key is due, and at which stage.
type Due = (u64, Arc<str>, usize);

/// What a pipeline leaves that has ended.
#[derive(Debug)]
pub struct Left {
    /// Everything in hand was finished; else the rest is back in its queue.
    pub finished: bool,
    /// What an operator wanted of it last.
    wish: Want,
    /// Of each shard; `None` where the shard is gone.
    lanes: Vec<Option<Legacy>>,
    /// How its keys were dealt out.
    spread: Spread,
}

impl Left {
    /// What each shard's lane goes on with.
    async fn dealt(self, spread: Spread, shape: &Shape) -> Vec<Option<Legacy>> {
        if self.spread == spread || self.lanes.is_empty() {
            return self.lanes;
        }
        let (lanes, limits) = (self.lanes, shape.id_window(spread));
        deal(lanes.into_iter().flatten().collect(), spread, limits).await
    }
}

/// Deals out anew what lanes leave; where that is much, away from what must not wait. There may be millions of
/// identities.
pub(super) async fn deal(
    all: Vec<Legacy>,
    spread: Spread,
    limits: IdWindow,
) -> Vec<Option<Legacy>> {
    if all.iter().map(Legacy::size).sum::<usize>() <= DEALT_AT_ONCE {
        return Legacy::deal(all, spread, limits).into_iter().map(Some).collect();
    }
    let dealt = tokio::task::spawn_blocking(move || Legacy::deal(all, spread, limits));
    // It ends early where the runtime does.
    dealt.await.unwrap_or_default().into_iter().map(Some).collect()
}

impl Pipelines {
    /// Makes sure of all that these pipelines need; starts nothing. One that takes the place of another
    /// of its name must wait for its end.
    ///
    /// # Errors
    /// What isn't there.
    pub fn prepare<'p>(
        &self,
        setup: &Setup<'_>,
        pipelines: impl IntoIterator<Item = &'p Pipeline>,
    ) -> Result<Vec<Prepared>, StartError> {
        let mut taken: Vec<(String, u16)> =
            self.running().iter().map(|it| (it.name.clone(), it.index)).collect();
        let mut all = Vec::new();
        for pipeline in pipelines {
            let own = taken.iter().find(|(name, _)| *name == pipeline.name).map(|(_, at)| *at);
            let index = own.unwrap_or_else(|| {
                let used: BTreeSet<u16> = taken.iter().map(|(_, index)| *index).collect();
                (0..=u16::MAX).find(|index| !used.contains(index)).unwrap_or(u16::MAX)
            });
            taken.push((pipeline.name.clone(), index));
            all.push(prepare(setup, pipeline, index, &self.journals)?);
        }
        Ok(all)
    }

    /// Starts a pipeline: a new one, or one that goes on where another of its name ended. Not on a host
    /// that is stopping.
    pub async fn add(&self, prepared: Prepared, left: Option<Left>) {
        if self.abandon.is_cancelled() {
            return;
        }
        let lane = self.lanes.fetch_add(1, Ordering::Relaxed);
        let abandon = self.abandon.child_token();
        let shape = &prepared.shape;
        let wish = left.as_ref().map_or(Want::Run, |left| left.wish);
        let spread = shape.spread.now();
        let legacies = match left {
            Some(left) => left.dealt(spread, shape).await,
            None => Vec::new(),
        };
        let mut legacies = legacies.into_iter();
        let mut publishing = Vec::new();
        let now_us = shape.clock.now_us();
        let anew = legacies.len() == 0;
        let stateful = shape.plugins.iter().any(|slot| slot.current().stateful());
        let timers = if stateful { self.timers(shape).await } else { Vec::new() };
        let mut timers = timers.into_iter();
        for (number, shard) in self.shards.iter().enumerate() {
            let (groups, requests) = mpsc::channel(1);
            let (breaker, metrics) = (Arc::clone(&shape.breaker), shape.metrics.clone());
            let targets = Arc::clone(&prepared.targets);
            let task = Publishing::new(targets, metrics, breaker, abandon.clone());
            publishing.push(tokio::spawn(task.run(lane, requests, shard.clone())));
            let keeping = self.commits.keeping(lane, shard.clone());
            let mut new = Lane::new(Arc::clone(shape), number, groups, keeping);
            if anew {
                let own = |one: &&Remembered| spread.shard(usize::from(one.partition)) == number;
                new.recall(prepared.remembered.iter().filter(own).copied(), now_us);
            }
            new.index(timers.next().into_iter().flatten());
            if stateful || shape.policy.retry.order == RetryOrder::Key {
                new = new.with_alarm(Alarm::start(lane, shard.clone(), shape.clock.clone()));
            }
            if let Some(Some(legacy)) = legacies.next() {
                new = new.inherit(legacy);
            }
            // A shard that is gone is on a host that is stopping.
            let _ = shard.send(Event::Add(lane, Box::new(new))).await;
        }
        self.begin(prepared, lane, wish, (publishing, abandon));
    }

    /// The first timer of each key and stage that has one, shard by shard. There may be millions.
    async fn timers(&self, shape: &Shape) -> Vec<Vec<Due>> {
        let (places, spread) = (shape.places.clone(), shape.spread.now());
        let read = move |store: &dyn StateStore| {
            let mut timers: Vec<Vec<Due>> = vec![Vec::new(); spread.shards()];
            for (stage, place) in places.iter().enumerate() {
                match store.due(place, u64::MAX, usize::MAX) {
                    Ok(due) => {
                        for (due_us, key) in due {
                            timers[spread.shard(partition(&key))].push((due_us, key, stage));
                        }
                    }
                    Err(error) => tracing::error!(%place, %error, "timers wait for the next start"),
                }
            }
            timers
        };
        // It ends early where the runtime does.
        with_store(self.commits.store(), read).await.unwrap_or_default()
    }

    fn begin(
        &self,
        prepared: Prepared,
        lane: usize,
        wish: Want,
        (mut publishing, abandon): (Vec<JoinHandle<()>>, CancellationToken),
    ) {
        let stateful = prepared.shape.plugins.iter().any(|slot| slot.current().stateful());
        let store = stateful.then(|| Arc::clone(self.commits.store()));
        let sweep = Sweep::of(&prepared.shape, self.commits.store(), &self.shards, lane);
        publishing.extend(sweep.map(|sweep| tokio::spawn(sweep.run())));
        let Prepared { shape, broker, readiness, request, reading, pace, .. } = prepared;
        let (want, wanted) = watch::channel(wish);
        let (width, said) = watch::channel(None);
        let state = Arc::new(Mutex::new(State::Waiting("starting".to_owned())));
        let mut new = Running {
            name: shape.name.clone(),
            queue: request.queue.clone(),
            lane,
            index: shape.index,
            spread: Arc::clone(&shape.spread),
            places: shape.places.clone(),
            widest: shape.widest,
            width,
            wish,
            want,
            state: Arc::clone(&state),
            abandon: abandon.clone(),
            tasks: None,
        };
        let intake = Intake {
            lane,
            broker,
            readiness,
            request,
            reading,
            shards: self.shards.clone(),
            shape,
            pace,
            store,
            want: wanted,
            width: said,
            state,
            abandon,
        };
        // Held over both, so that a drain either hears of it or comes first.
        let mut running = self.running();
        if self.threads.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        new.tasks = Some(Tasks { intake: tokio::spawn(intake.run()), publishing });
        match running.iter_mut().find(|it| it.name == new.name) {
            Some(it) => {
                if it.wish != wish {
                    new.wish = it.wish;
                    new.want.send_replace(it.wish);
                }
                *it = new;
            }
            None => running.push(new),
        }
    }

    /// Ends a pipeline: no more deliveries, what is in hand finished within `grace`, the rest released.
    /// It is listed until it is forgotten or another takes its place. `None` where there is none of that
    /// name, or somebody ends it already.
    pub async fn end(&self, name: &str, grace: Duration) -> Option<Left> {
        let (lane, tasks, abandon, spread) = {
            let mut running = self.running();
            let it = running.iter_mut().find(|it| it.name == name)?;
            let tasks = it.tasks.take()?;
            it.want.send_replace(Want::Stop);
            (it.lane, tasks, it.abandon.clone(), Arc::clone(&it.spread))
        };
        let mut intakes = vec![tasks.intake];
        let finished = tokio::time::timeout(grace, join(&mut intakes)).await.is_ok();
        if !finished {
            tracing::warn!(pipeline = name, ?grace, "not finished in time; releasing the rest");
            abandon.cancel();
            join(&mut intakes).await;
        }
        let mut answers = Vec::new();
        for shard in &self.shards {
            let (answer, answered) = oneshot::channel();
            // A shard that is gone leaves nothing.
            let _ = shard.send(Event::Remove(lane, answer)).await;
            answers.push(answered);
        }
        let left = async {
            let mut lanes = Vec::new();
            for answered in answers {
                lanes.push(answered.await.ok());
            }
            lanes
        };
        // What isn't kept yet is waited for, but not by a host that was told to give up.
        let lanes = tokio::select! {
            lanes = left => lanes,
            () = self.given_up() => Vec::new(),
        };
        tasks.publishing.iter().for_each(JoinHandle::abort);
        let wish = self.running().iter().find(|it| it.name == name).map_or(Want::Run, |it| it.wish);
        let finished = finished && !abandon.is_cancelled();
        Some(Left { finished, wish, lanes, spread: spread.now() })
    }

    async fn given_up(&self) {
        self.abandon.cancelled().await;
        tokio::time::sleep(RELEASE_TIMEOUT).await;
    }

    /// Lists the pipelines of these names, in that order, and none besides.
    pub fn list(&self, names: &[&str]) {
        let mut running = self.running();
        running.retain(|it| names.contains(&it.name.as_str()));
        running.sort_by_key(|it| names.iter().position(|name| *name == it.name));
    }
}
