//! A town's messages on their way to a broker. Which kind of broker that is only its publisher knows.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::{Outgoing, Published, Publisher};
use crate::limits;
use crate::publish::pace::Pace;
use crate::simulate::town::Town;

/// Publishes, again what was refused, and writes the truth.
pub(super) struct Feed<'a> {
    publisher: Box<dyn Publisher>,
    pace: Pace,
    exchange: &'a str,
    truth: Option<BufWriter<File>>,
    fed: Fed,
}

/// What was published.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fed {
    pub(super) confirmed: u64,
    pub(super) unroutable: u64,
    pub(super) time: Duration,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        publisher: Box<dyn Publisher>,
        rate_per_s: Option<f64>,
        exchange: &'a str,
        truth: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file =
                File::create(path).with_context(|| format!("can't write {}", path.display()));
            file.map(BufWriter::new)
        };
        let truth = truth.map(open).transpose()?;
        Ok(Self { publisher, pace: Pace::new(rate_per_s), exchange, truth, fed: Fed::default() })
    }

    /// Publishes all there is, or until it is told to stop.
    pub(super) async fn all(
        &mut self,
        town: &mut Town,
        stop: &CancellationToken,
    ) -> anyhow::Result<Fed> {
        let begun = Instant::now();
        loop {
            let count = tokio::select! {
                () = stop.cancelled() => break,
                count = self.pace.take(limits::DEMO_GROUP_MESSAGES) => count,
            };
            let group: Vec<Outgoing> = town.by_ref().take(count).collect();
            self.write(town)?;
            if group.is_empty() {
                break;
            }
            let addressed = |message| Outgoing { exchange: self.exchange.to_owned(), ..message };
            let group = group.into_iter().map(addressed).collect();
            self.publish(group).await?;
        }
        if let Some(truth) = &mut self.truth {
            truth.flush().context("can't write the truth")?;
        }
        self.fed.time = begun.elapsed();
        Ok(self.fed)
    }

    fn write(&mut self, town: &mut Town) -> anyhow::Result<()> {
        for truth in town.truths() {
            if let Some(file) = &mut self.truth {
                serde_json::to_writer(&mut *file, &truth).context("can't write the truth")?;
                file.write_all(b"\n").context("can't write the truth")?;
            }
        }
        Ok(())
    }

    /// Publishes a group; again, after a pause, what was refused. What is published twice because its confirm was
    /// lost has the same id.
    async fn publish(&mut self, mut group: Vec<Outgoing>) -> anyhow::Result<()> {
        let mut pause = limits::BACKOFF_MIN;
        let since = Instant::now();
        loop {
            let mut left = Vec::new();
            let mut why = String::new();
            let published = self.publisher.publish(&group).await;
            for (message, published) in group.into_iter().zip(published) {
                match published {
                    Published::Confirmed => self.fed.confirmed += 1,
                    Published::Unroutable => self.fed.unroutable += 1,
                    Published::Impossible(text) | Published::NoTarget(text) => bail!(text),
                    Published::Refused(text) | Published::Unknown(text) => {
                        why = text;
                        left.push(message);
                    }
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            if since.elapsed() >= limits::PUBLISH_OUTAGE_MAX {
                bail!("the broker takes nothing: {why}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::BACKOFF_MAX);
            group = left;
        }
    }
}
