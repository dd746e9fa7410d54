//! The pipeline's promises on the embedded broker: the real host, real shards, a plugin that does what
//! its messages say, and every fault that the broker can be told to have.

mod altered;
mod duplicates;
mod faults;
mod keys;
mod pacing;
mod parking;
mod poison;
mod reading;
mod reconfigured;
mod replays;
mod rewind;
mod schedule;
mod stopping;
mod timers;
mod ttl;
mod verdicts;
mod world;
