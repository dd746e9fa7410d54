//! What can go wrong, by name: how often, how, and whether it may double a message.

use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};

use super::ends::Doing;
use super::proxy::{Break, Confirms, Way, Weather, Which};
use super::trial::{Trial, USER};
use super::workload::{BOUNDED, PIPELINES, TARGETS, object};

/// Longer than a broker or a host waits for a heartbeat.
const PAST_HEARTBEAT: Duration = Duration::from_secs(13);
/// How long a full queue is waited for.
const FILLING: Duration = Duration::from_secs(15);

/// Moments in a message's life at which a host can be told to die.
const POINTS: [&str; 7] =
    ["pre-run", "post-run", "pre-confirm", "post-confirm", "pre-commit", "post-commit", "pre-ack"];
/// At the how many-eth of them, at most.
const MOMENTS: u32 = 15;
/// How long such a moment is waited for.
const DYING: Duration = Duration::from_secs(60);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    HostKilled,
    HostAborted,
    HostFrozen,
    HostRestarted,
    BrokerKilled,
    BrokerRestarted,
    Delayed,
    Cut,
    CutInFrame,
    HostUntold,
    BrokerUntold,
    Stalled,
    Blackholed,
    ConfirmsHeld,
    ConfirmsDropped,
    MemoryAlarm,
    QueueDeleted,
    ExchangeDeleted,
    PermissionRevoked,
    ConnectionsClosed,
    TargetFull,
}

/// Until when what is under way may be doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubles {
    Nothing,
    /// What was under way when it struck.
    AtOnce,
    /// What was under way until all was well again.
    UntilRecovered,
}

impl Fault {
    pub(super) const ALL: [Self; 21] = [
        Self::HostKilled,
        Self::HostAborted,
        Self::HostFrozen,
        Self::HostRestarted,
        Self::BrokerKilled,
        Self::BrokerRestarted,
        Self::Delayed,
        Self::Cut,
        Self::CutInFrame,
        Self::HostUntold,
        Self::BrokerUntold,
        Self::Stalled,
        Self::Blackholed,
        Self::ConfirmsHeld,
        Self::ConfirmsDropped,
        Self::MemoryAlarm,
        Self::QueueDeleted,
        Self::ExchangeDeleted,
        Self::PermissionRevoked,
        Self::ConnectionsClosed,
        Self::TargetFull,
    ];

    pub(super) fn named(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("'{name}' is none of {}", known.join(", "))
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HostKilled => "host-killed",
            Self::HostAborted => "host-aborted",
            Self::HostFrozen => "host-frozen",
            Self::HostRestarted => "host-restarted",
            Self::BrokerKilled => "broker-killed",
            Self::BrokerRestarted => "broker-restarted",
            Self::Delayed => "delayed",
            Self::Cut => "cut",
            Self::CutInFrame => "cut-in-frame",
            Self::HostUntold => "host-untold",
            Self::BrokerUntold => "broker-untold",
            Self::Stalled => "stalled",
            Self::Blackholed => "blackholed",
            Self::ConfirmsHeld => "confirms-held",
            Self::ConfirmsDropped => "confirms-dropped",
            Self::MemoryAlarm => "memory-alarm",
            Self::QueueDeleted => "queue-deleted",
            Self::ExchangeDeleted => "exchange-deleted",
            Self::PermissionRevoked => "permission-revoked",
            Self::ConnectionsClosed => "connections-closed",
            Self::TargetFull => "target-full",
        }
    }

    /// How often it is drawn, against the others.
    pub(super) fn weight(self) -> u32 {
        match self {
            Self::HostKilled => 12,
            Self::Cut | Self::CutInFrame => 6,
            Self::HostFrozen | Self::ConfirmsDropped | Self::Blackholed => 1,
            Self::BrokerUntold | Self::HostUntold | Self::Stalled | Self::BrokerRestarted => 2,
            _ => 3,
        }
    }

    /// Over within seconds.
    pub(super) fn is_quick(self) -> bool {
        let slow = [
            Self::HostFrozen,
            Self::BrokerRestarted,
            Self::HostUntold,
            Self::BrokerUntold,
            Self::Stalled,
            Self::Blackholed,
            Self::ConfirmsDropped,
            Self::PermissionRevoked,
            Self::ConnectionsClosed,
            Self::TargetFull,
        ];
        !slow.contains(&self)
    }

    pub(super) fn kills_the_broker(self) -> bool {
        matches!(self, Self::BrokerKilled | Self::BrokerRestarted)
    }

    /// The host has a new consumer before the broker knows that the old one is gone.
    pub(super) fn leaves_a_consumer(self) -> bool {
        matches!(self, Self::BrokerUntold | Self::Stalled)
    }

    pub(super) fn doubles(self) -> Doubles {
        match self {
            Self::HostRestarted
            | Self::Delayed
            | Self::ConfirmsHeld
            | Self::MemoryAlarm
            | Self::TargetFull => Doubles::Nothing,
            Self::HostKilled | Self::HostAborted | Self::Cut => Doubles::AtOnce,
            _ => Doubles::UntilRecovered,
        }
    }
}

// === impl Trial ===

impl Trial {
    /// Lets it happen, and takes back what doesn't pass by itself.
    pub(super) fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::HostKilled => self.kill_host(""),
            Fault::HostAborted => self.abort_host(),
            Fault::HostRestarted => self.restart_host(),
            Fault::HostFrozen => {
                self.host().signal("STOP");
                self.wait(PAST_HEARTBEAT);
                self.host().signal("CONT");
            }
            Fault::BrokerKilled => {
                self.node.kill9();
                self.node.restart();
            }
            Fault::BrokerRestarted => {
                self.node.stop();
                self.node.restart();
            }
            Fault::MemoryAlarm => {
                self.node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
                self.wait_about(3000);
                self.node.ctl(&["set_vm_memory_high_watermark", "0.8"]);
            }
            Fault::QueueDeleted => self.delete_queue(),
            Fault::ExchangeDeleted => {
                let name = object(TARGETS[self.random.usize(..TARGETS.len())]);
                self.runtime.block_on(async {
                    let options = ExchangeDeleteOptions::default();
                    let raw = self.node.raw().await;
                    raw.channel.exchange_delete(name.into(), options).await.unwrap();
                });
            }
            Fault::PermissionRevoked => {
                let writes_nothing = ["set_permissions", USER, ".*", "^$", ".*"];
                self.node.ctl(&writes_nothing);
                // A channel remembers what it was allowed before.
                self.proxy.strike(Which::All, Break::Cut);
                self.wait_about(5000);
                self.node.ctl(&["set_permissions", USER, ".*", ".*", ".*"]);
            }
            Fault::ConnectionsClosed => {
                self.node.ctl(&["close_all_user_connections", USER, "chaos"]);
            }
            Fault::TargetFull => self.fill_target(),
            _ => self.disturb_network(fault),
        }
    }

    fn disturb_network(&mut self, fault: Fault) {
        let which = self.draw([Which::All, Which::Publishing, Which::Consuming]);
        let way = self.draw([Way::ToBroker, Way::ToHost]);
        let lasting = match fault {
            Fault::Cut => return self.proxy.strike(which, Break::Cut),
            Fault::CutInFrame => return self.proxy.strike(which, Break::MidFrame(way)),
            Fault::HostUntold => return self.proxy.strike(which, Break::HostUntold),
            Fault::BrokerUntold => return self.proxy.strike(which, Break::BrokerUntold),
            Fault::Delayed => {
                let delay = Duration::from_millis(self.random.u64(5..400));
                (3000, Weather { on: which, delay, ..Weather::default() })
            }
            Fault::Stalled => {
                (20_000, Weather { on: which, stalled: Some(way), ..Weather::default() })
            }
            Fault::Blackholed => {
                self.proxy.strike(which, Break::Cut);
                (5000, Weather { blackhole: true, ..Weather::default() })
            }
            Fault::ConfirmsDropped => {
                (2000, Weather { confirms: Confirms::Dropped, ..Weather::default() })
            }
            _ => (4000, Weather { confirms: Confirms::Held, ..Weather::default() }),
        };
        let (most_ms, weather) = lasting;
        self.proxy.set(weather);
        self.wait_about(most_ms);
        self.proxy.set(Weather::default());
    }

    /// It dies at a moment of its own choosing, and starts without that wish.
    fn abort_host(&mut self) {
        let point = self.draw(POINTS);
        let after = self.random.u32(1..MOMENTS);
        self.kill_host(&format!("{point}:abort:after={after}"));
        if self.until(DYING, Self::host_is_gone) {
            self.died(point);
        } else {
            self.problems.push(format!("no {point} came {after} times"));
        }
        self.kill_host("");
    }

    /// What it holds is gone with it; the host makes it again.
    fn delete_queue(&mut self) {
        let pipeline = self.random.usize(..PIPELINES.len());
        let name = object(PIPELINES[pipeline]);
        self.runtime.block_on(async {
            let raw = self.node.raw().await;
            raw.channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        });
        self.books.oracle().gone(pipeline);
    }

    /// Collects nothing until it refuses what comes.
    fn fill_target(&mut self) {
        self.doing.send_replace(Doing { uncollected: Some(BOUNDED), ..Doing::default() });
        let refused = |trial: &mut Self| {
            trial.host().try_get("/ready").is_some_and(|(status, _)| status != 200)
        };
        self.until(FILLING, refused);
        self.wait_about(2000);
        self.doing.send_replace(Doing::default());
    }

    fn draw<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[self.random.usize(..N)]
    }
}
