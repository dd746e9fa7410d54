//! The logic in a loop: what nobody can beat.

use std::hint::black_box;
use std::sync::Arc;

use bench_logic::{Encoding, Reading, Usual, told};

use super::{HashMap, Logic, Turns};
use crate::method::{Contender, Done};
use crate::sample::Sample;

/// The logic, compiled for this machine.
pub struct Native {
    name: &'static str,
    logic: Logic,
    turns: Turns,
    usual: HashMap<Arc<str>, Usual>,
}

impl Native {
    /// One of that name.
    #[must_use]
    pub fn new(name: &'static str, logic: Logic, samples: &[Sample], batch: usize) -> Self {
        Self { name, logic, turns: Turns::new(samples, batch), usual: HashMap::default() }
    }
}

impl Contender for Native {
    fn name(&self) -> &str {
        self.name
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for _ in 0..batches {
            for sample in self.turns.take() {
                done.messages += 1;
                let sample = black_box(sample);
                let encoding = match self.logic {
                    Logic::Pass => continue,
                    Logic::CheckJson | Logic::Route => Encoding::Json,
                    Logic::CheckMessagePack | Logic::Anomaly => Encoding::MessagePack,
                };
                let Ok(reading) = Reading::check(&sample.body, encoding) else {
                    done.refused += 1;
                    continue;
                };
                let score = match self.logic {
                    Logic::Route => Some(0.0),
                    Logic::Anomaly => match self.usual.get_mut(&*sample.key) {
                        Some(usual) => usual.judge(&reading),
                        None => {
                            let key = Arc::clone(&sample.key);
                            self.usual.entry(key).or_default().judge(&reading)
                        }
                    },
                    _ => None,
                };
                if let Some(score) = score {
                    black_box(told(&reading, score));
                    done.told += 1;
                }
                black_box(reading);
            }
        }
        Ok(done)
    }
}
