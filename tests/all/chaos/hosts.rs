//! The hosts of a trial, one after the other: how they start, end, and die.

use super::faults::Fault;
use super::trial::Trial;
use crate::service::process::Host;

/// Hosts whose logs are kept.
const LOGS: usize = 4;

impl Trial {
    pub(super) fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    /// SIGKILL, and another that is told at which moment to die, if at any.
    pub(super) fn kill_host(&mut self, next: &str) {
        if !self.host_is_gone() {
            self.host().signal("KILL");
            self.died("at random");
        }
        let mut host = self.host.take().unwrap();
        host.end();
        self.keep_log(&host);
        self.host = Some(self.site.start_with(&[("SLUICEGATE_FAULT", next)]));
    }

    /// A host died there.
    pub(super) fn died(&mut self, moment: &'static str) {
        *self.deaths.entry(moment).or_default() += 1;
    }

    pub(super) fn host_is_gone(&mut self) -> bool {
        self.host.as_mut().unwrap().is_gone()
    }

    /// As a service manager does.
    pub(super) fn restart_host(&mut self) {
        self.end_host();
        self.host = Some(self.site.start());
    }

    /// SIGTERM, and that it drains.
    pub(super) fn end_host(&mut self) {
        let mut host = self.host.take().unwrap();
        host.signal("TERM");
        let code = host.end();
        if code != 0 {
            self.problems.push(format!("told to end, the host ended with {code}"));
        }
        self.keep_log(&host);
    }

    /// No fault but those that are meant to ends it.
    pub(super) fn ensure_host(&mut self, fault: Fault) {
        if self.host_is_gone() {
            self.problems.push(format!("{} ended the host", fault.name()));
            self.kill_host("");
        }
    }

    fn keep_log(&mut self, host: &Host) {
        self.logs.push_back(host.log());
        if self.logs.len() > LOGS {
            self.logs.pop_front();
        }
    }
}
