#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod http;
mod socket;
mod systemd;

use std::sync::{Arc, Mutex, PoisonError};

use super::*;

/// A host that says what it is told to and remembers what it was asked.
#[derive(Default)]
struct FakeHost {
    dead: bool,
    reasons: Vec<String>,
    commands: Mutex<Vec<Command>>,
    /// Where lines of the latest watch go.
    lines: Mutex<Option<Lines>>,
}

impl Host for FakeHost {
    fn live(&self) -> bool {
        !self.dead
    }

    fn ready(&self) -> Readiness {
        Readiness::unless(self.reasons.clone())
    }

    fn status(&self) -> Status {
        Status { version: "1.2.3".to_owned(), readiness: self.ready(), ..Status::default() }
    }

    fn control(&self, command: Command) -> Result<String, String> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command.clone());
        match command {
            Command::Drain => Ok("draining".to_owned()),
            Command::Pause(name) if name == "readings" => Ok("paused".to_owned()),
            Command::PluginHistory(_) => Ok("{}".to_owned()),
            Command::Pause(name) | Command::Resume(name) | Command::Scale(name, _) => {
                Err(format!("no pipeline '{name}'"))
            }
        }
    }

    fn follow(&self, watch: Watch) -> Result<Following, String> {
        let Watch::Tap(tap) = watch else { return Err("no reload here".to_owned()) };
        if tap.pipeline != "readings" {
            return Err(format!("no pipeline '{}'", tap.pipeline));
        }
        let (lines, following) = Following::new(tap.pipeline);
        *self.lines.lock().unwrap() = Some(lines);
        Ok(following)
    }
}

fn host() -> Arc<FakeHost> {
    Arc::new(FakeHost::default())
}
