//! Every default and every bound, in one place, with its unit in its name.
//!
//! A number that appears in a config file has its default here; a number that no config changes has
//! its reason here.

mod authoring;
mod mqtt;
mod rate;
mod recorder;
mod reload;
mod sandbox;
mod scale;
mod timing;
mod told;

use std::time::Duration;

pub use self::authoring::*;
pub use self::mqtt::*;
pub use self::rate::*;
pub use self::recorder::*;
pub use self::reload::*;
pub use self::sandbox::*;
pub use self::scale::*;
pub use self::timing::*;
pub use self::told::*;

/// Bytes in a mebibyte.
pub const MIB: usize = 1024 * 1024;

/// Unacknowledged messages a pipeline holds.
pub const PREFETCH: u16 = 1000;
/// Messages in one `process` call.
pub const BATCH_MESSAGES: usize = 256;
/// Messages in one `process` call that a lane tunes itself down to at most.
pub const BATCH_LEAST: usize = 1;
/// How long a batch is to take, where the lane tunes itself: a hundred times what it costs of its own.
pub const BATCH_TIME: Duration = Duration::from_millis(1);
/// Batches that count for a lane's tuning; what was before them fades.
pub const BATCH_TUNING_BATCHES: u32 = 64;
/// Between two lines of the log about a pipeline's tuning.
pub const BATCH_TUNING_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes of bodies in one `process` call, unless a single message is larger.
pub const BATCH_BYTES: usize = 4 * MIB;
/// Batches that ran and wait for the publisher, per pipeline and shard: bounds what a rewind undoes.
pub const READY_BATCHES_MAX: usize = 16;
/// Fixed partitions of a pipeline's keys; the shard is the partition modulo the number of shards.
pub const PARTITIONS: usize = 64;
/// A batch is sized to take this share of the `call` limit.
pub const BATCH_CALL_SHARE: f64 = 0.25;
/// Re-runs of a batch after which its messages run one at a time.
pub const BATCH_RERUNS_MAX: u32 = 3;

/// Bytes of a decoded `content_encoding: gzip` body.
pub const DECODED_BODY_BYTES: usize = 16 * MIB;
/// Bytes of a body that are searched for the key.
pub const KEY_SCAN_BYTES: usize = 64 * 1024;
/// Bytes of a key.
pub const KEY_BYTES: usize = 255;
/// Bytes of an AMQP short string: routing keys and names.
pub const SHORT_STRING_BYTES: usize = 255;
/// Levels of a field table, itself included.
pub const TABLE_DEPTH: usize = 16;
/// Bytes of headers that a plugin may put on a message.
pub const HEADERS_BYTES: usize = 64 * 1024;
/// Bytes of a frame, in which a message's headers and properties must fit: RabbitMQ's default.
pub const FRAME_BYTES: usize = 128 * 1024;
/// Bytes of headers on a copy that the host makes of a message. The rest of the frame is for its other
/// properties, and for the `x-death` that the broker adds on the copy's way.
pub const COPY_HEADERS_BYTES: usize = FRAME_BYTES - 8 * 1024;
/// Bytes of a failure's text in a report or a header.
pub const FAILURE_TEXT_BYTES: usize = 1024;

/// How long identities of settled messages are remembered.
pub const IDENTITY_WINDOW: Duration = Duration::from_secs(600);
/// Identities remembered per pipeline and shard.
pub const IDENTITY_ENTRIES: usize = 500_000;

/// Messages in one publish group.
pub const PUBLISH_GROUP_MESSAGES: usize = 1024;
/// How long a group waits for its confirms before its outcome is unknown.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How long dead-lettering waits for its failure report's confirm.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// An acknowledgement that could be coalesced waits no longer than this.
pub const ACK_DELAY: Duration = Duration::from_millis(50);
/// Acknowledgements of one channel that RabbitMQ hands to a quorum queue before it has heard of any: what
/// comes on top it keeps to itself for now, and forgets when the channel closes.
pub const ACKS_UNHEARD: usize = 32;
/// That many within so long are waited for when their channel closes.
pub const ACKS_RECENT: Duration = Duration::from_secs(5);
/// How long they are waited for, where somebody else's consumer hides what the queue has heard.
pub const ACKS_HEARD: Duration = Duration::from_secs(2);
/// How often the queue is asked meanwhile.
pub const ACKS_HEARD_LOOK: Duration = Duration::from_millis(5);
/// Largest message the host publishes, in bytes; RabbitMQ 4's own default.
pub const PUBLISH_BYTES: usize = 16 * MIB;

/// First pause after a lost connection; doubles up to `BACKOFF_MAX`, each with full jitter.
pub const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest pause between attempts to connect.
pub const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// Time for one attempt to connect, handshake included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// AMQP heartbeat.
pub const HEARTBEAT: Duration = Duration::from_secs(20);
/// Longest AMQP heartbeat: the protocol counts seconds in 16 bits.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(65_535);

/// Bytes of a file with a plugin's test case.
pub const CASE_FILE_BYTES: u64 = 16 * MIB as u64;
/// The time of a case's first call, unless it says another: 2026-01-01, microseconds since 1970.
pub const CASE_NOW_US: u64 = 1_767_225_600_000_000;
/// Timers that come while time passes in one call of a case: one that sets itself again must end somewhere.
pub const CASE_TIMERS: usize = 10_000;

/// Bytes of a config file.
pub const CONFIG_FILE_BYTES: u64 = 4 * MIB as u64;
/// Longest TTL, expiry or delay that a config may name: RabbitMQ counts milliseconds in 32 bits.
pub const BROKER_DURATION_MAX: Duration = Duration::from_secs(49 * 24 * 3600);
/// Longest duration of the host's own that a config may ask for.
pub const HOST_DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Priorities of a queue past which a config is warned: each costs the broker a queue of its own.
pub const PRIORITIES_WARN: u8 = 10;
/// Prefetch on a priority queue past which a config is warned: what is in hand already isn't overtaken. With much
/// less a pipeline takes no more than so many messages in the time of a confirm.
pub const PRIORITY_PREFETCH_WARN: u16 = 500;
/// Stages of a pipeline.
pub const PIPELINE_STAGES: usize = 64;
/// Rungs of a retry ladder, each a queue on the broker.
pub const RETRY_RUNGS_MAX: usize = 32;
/// Attempts of a message that a config may ask for.
pub const RETRY_ATTEMPTS_MAX: u32 = 1000;
/// Threads that run plugins; more than partitions would idle.
pub const SHARDS_MAX: usize = PARTITIONS;
/// Longest queue, and most bytes in one, that a config may name: the broker counts in 63 bits.
pub const QUEUE_LENGTH_MAX: u64 = i64::MAX as u64;
/// Most identities that a config may have remembered per pipeline and shard.
pub const IDENTITY_ENTRIES_MAX: usize = 100_000_000;
/// Most messages that a config may put into one batch.
pub const BATCH_MESSAGES_MAX: usize = 65_536;
/// Most bytes of bodies that a config may put into one batch.
pub const BATCH_BYTES_MAX: u64 = 1 << 30;

/// Time for one answer of RabbitMQ's management API.
pub const INVENTORY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of one answer of the management API, and of a definitions export.
pub const INVENTORY_BYTES: u64 = 64 * MIB as u64;

/// Redeliveries of a quorum queue that the host declares, unless its config says otherwise.
pub const DELIVERY_LIMIT: u32 = 100;
/// The rungs of the retry ladder.
pub const RETRY_RUNGS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];
/// Attempts of a message whose plugin asks for a retry, the first one included.
pub const RETRY_ATTEMPTS: u32 = 6;
/// What may wait in the host behind a retried message of its key, as a part of the prefetch: one in
/// so many.
pub const RETRY_PARK_SHARE: usize = 4;
/// How long a message may be held here while its key waits, well below RabbitMQ's acknowledgement
/// timeout of 30 minutes; what would be held longer waits in the delay queue.
pub const RETRY_PARK_TIME: Duration = Duration::from_secs(600);
/// Attempts of a message whose call passed its deadline.
pub const DEADLINE_ATTEMPTS: u32 = 3;

/// The exchange that failure reports go to.
pub const FAILURES_EXCHANGE: &str = "sluicegate.failures";
/// The internal exchange by which retried messages come back from their delay queues: nobody can
/// publish to it, so what comes from it was written by a host.
pub const RETURN_EXCHANGE: &str = "sluicegate.return";
/// The exchange by which dead letters are replayed into the queue that they came from.
pub const REPLAY_EXCHANGE: &str = "sluicegate.replay";
/// Failure reports kept.
pub const FAILURES_MAX_LENGTH: u64 = 100_000;
/// How long a failure report is kept.
pub const FAILURES_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// What an archive's queue is called, before the name of its dead-letter queue.
pub const ARCHIVE_PREFIX: &str = "sluicegate.archive.";
/// Deliveries of an archived message by a quorum queue: none may be lost for being asked for too often.
pub const ARCHIVE_DELIVERY_LIMIT: u32 = 1_000_000_000;
/// The archive's folder in the state folder.
pub const ARCHIVE_FOLDER: &str = "archive";
/// Bytes of all archived dead letters on disk; past it the queue keeps them.
pub const ARCHIVE_BYTES: u64 = 10 * 1024 * MIB as u64;
/// Bytes after which an archive's file is closed and the next one opened.
pub const ARCHIVE_FILE_BYTES: u64 = 64 * MIB as u64;
/// How often `dlq replay` sends one message back.
pub const REPLAYS_MAX: u32 = 5;
/// Most replays of one message that a config may allow.
pub const REPLAYS_CONFIG_MAX: u32 = 1000;
/// Failure reports that `dlq` keeps in memory; past it the oldest are forgotten, and that is said.
pub const DLQ_REPORTS: usize = 250_000;
/// Bytes of the reports that it keeps, as they were published.
pub const DLQ_REPORTS_BYTES: usize = 512 * MIB;
/// Unsettled letters of the first consumer that `dlq` reads a queue with.
pub const DLQ_WINDOW_MIN: u16 = 200;
/// Unsettled letters of any further one.
pub const DLQ_WINDOW_MAX: u16 = 10_000;
/// Bytes of bodies that the broker may send ahead of `dlq`, as the letters so far let expect.
pub const DLQ_WINDOW_BYTES: usize = 64 * MIB;
/// Consumers, each on a channel of its own, that hold what `dlq` has read of a queue and left.
pub const DLQ_WINDOWS_MAX: usize = 256;
/// How long `dlq` waits for a queue that somebody else reads alone.
pub const DLQ_LOCKED_WAIT: Duration = Duration::from_secs(15);
/// How often it asks meanwhile.
pub const DLQ_LOCKED_POLL: Duration = Duration::from_millis(250);
/// Between two looks at a queue's length, until it grows no more.
pub const DLQ_LENGTH_LOOK: Duration = Duration::from_millis(100);
/// Looks at a queue's length, at most: under traffic it may grow for ever.
pub const DLQ_LENGTH_LOOKS: u32 = 20;
/// What a quorum queue gets for `dlq`'s last acknowledgements before their channel closes.
pub const DLQ_SETTLE: Duration = Duration::from_millis(500);
/// After so long without a letter `dlq` asks the broker whether there are more.
pub const DLQ_SILENCE: Duration = Duration::from_millis(500);
/// Silences in a row, though the broker counts letters, after which `dlq` gives up.
pub const DLQ_SILENCES_MAX: u32 = 20;
/// Deliveries that a message of a quorum queue has where the config doesn't say: RabbitMQ 4's default.
pub const DLQ_DELIVERIES: u32 = 20;
/// Letters that `dlq replay` has in flight at once.
pub const DLQ_GROUP: usize = 128;
/// Bytes of bodies that it has in flight at once, unless a single letter is larger.
pub const DLQ_GROUP_BYTES: usize = 8 * MIB;
/// Times that `dlq replay` repeats what the broker refused for now, with a pause that doubles.
pub const DLQ_PUBLISH_TRIES: u32 = 6;
/// Letters that `dlq replay --dry-run` lists one by one.
pub const DLQ_ROWS: usize = 20;
/// Bytes of a body that `dlq show` prints, unless told otherwise.
pub const DLQ_BODY_BYTES: usize = 4096;
/// Bytes of a patch file.
pub const DLQ_PATCH_BYTES: u64 = MIB as u64;
/// Letters that one call of a candidate plugin is tried with.
pub const DLQ_TRIAL_BATCH: usize = 64;

/// Time to finish what is in hand at a shutdown.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Where `/live`, `/ready` and `/metrics` answer.
pub const HTTP_ADDRESS: &str = "127.0.0.1:9464";

/// Distinct failures (class, code, plugin) counted apart per pipeline; codes past it are `other`.
pub const FAILURE_SERIES_MAX: usize = 256;
/// Bytes of a failure's code in a metric's label and a log line.
pub const FAILURE_CODE_BYTES: usize = 64;
/// Outputs, plugins and the like counted apart per pipeline; names past it are `other`.
pub const NAME_SERIES_MAX: usize = 256;
/// How often a pipeline logs that it takes off headers which only hosts write.
pub const FORGED_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Failures logged per pipeline and second; more are counted in the next line.
pub const FAILURE_LOG_LINES_PER_S: u32 = 10;

/// Unacknowledged messages of an archive's queue, and lines that are synced together.
pub const ARCHIVE_PREFETCH: u16 = 200;
/// Bytes of bodies that are archived together, unless a single message is larger.
pub const ARCHIVE_GROUP_BYTES: usize = 16 * MIB;
/// How long archiving waits for one more message before it writes those that it has.
pub const ARCHIVE_GATHER: Duration = Duration::from_millis(20);
/// How often an archive that is full, or can't be written, is tried again.
pub const ARCHIVE_LOOK: Duration = Duration::from_secs(5);
/// How often dead-letter queues are looked at.
pub const DEAD_LETTERS_LOOK: Duration = Duration::from_secs(30);
/// Time to look at the oldest message of one.
pub const DEAD_LETTERS_PEEK: Duration = Duration::from_secs(2);
/// The share of a limit past which people are warned.
pub const DEAD_LETTERS_NEAR_SHARE: f64 = 0.8;

/// Connections to the HTTP port; further ones wait.
pub const HTTP_CONNECTIONS: usize = 64;
/// A connection to the HTTP port ends after this, used or not.
pub const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Conversations on the control socket; further ones wait.
pub const CONTROL_CONNECTIONS: usize = 16;
/// One conversation on the control socket.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
/// A request on the control socket.
pub const CONTROL_REQUEST_BYTES: usize = 4096;
/// An answer on the control socket.
pub const CONTROL_ANSWER_BYTES: usize = 16 * MIB;
/// What HTTP and control clients get to finish in at a shutdown.
pub const ADMIN_CLOSE: Duration = Duration::from_millis(500);

/// Messages read ahead by `publish`.
pub const PUBLISH_BACKLOG_MESSAGES: usize = 8192;
/// Bytes of bodies read ahead by `publish`; more than one message of the largest size.
pub const PUBLISH_BACKLOG_BYTES: usize = 64 * MIB;
/// Groups that `publish` has in flight at once.
pub const PUBLISH_PUBLISHERS: usize = 3;
/// How long `publish` repeats a group that the broker takes nothing of.
pub const PUBLISH_OUTAGE_MAX: Duration = Duration::from_secs(300);
/// What `publish --rate` may catch up with after a pause.
pub const PUBLISH_PACE_TICK: Duration = Duration::from_millis(100);
/// How many problems of one kind `publish` tells of singly.
pub const PUBLISH_NOTES_MAX: u64 = 10;
/// Width up to which a template pads a number.
pub const PUBLISH_PAD_WIDTH: usize = 32;

/// Ready messages of an embedded queue that has no bound of its own; past it publishes are refused.
pub const EMBEDDED_QUEUE_MESSAGES: u64 = 1_000_000;
/// Bytes of bodies of an embedded queue that has no bound of its own.
pub const EMBEDDED_QUEUE_BYTES: u64 = 1024 * MIB as u64;
/// Exchanges, queues, consumers, and bindings of one exchange that the embedded broker holds, each.
pub const EMBEDDED_OBJECTS: usize = 10_000;
/// How long a broker may take to answer one request: a declaration, a new channel, a cancel.
pub const BROKER_ANSWER: Duration = Duration::from_secs(10);
/// A connection used for declarations is closed when unused for so long.
pub const SETUP_LINGER: Duration = Duration::from_secs(2);
/// Bytes of bodies handed to the connection before the writer waits for them to be on the wire.
pub const PUBLISH_WINDOW_BYTES: usize = 8 * MIB;
/// Times one publish group is tried on a fresh channel, beside once per distinct exchange.
pub const PUBLISH_ROUNDS: usize = 3;
/// Bytes of failure reports kept on disk where no broker took them.
pub const JOURNAL_BYTES: u64 = 64 * MIB as u64;
/// Their file, in the state folder.
pub const JOURNAL_FILE: &str = "untold-failures.jsonl";
/// How long a target may be in trouble before its pipeline gives up what it holds.
pub const BREAKER_PATIENCE: Duration = Duration::from_secs(5);
/// How long one delivery is held while its results are tried; below RabbitMQ's ack timeout, 30 minutes.
pub const PROBE_HOLD: Duration = Duration::from_secs(20 * 60);
/// Deliveries that a probe may see without one that publishes anything; then all is taken to be well.
pub const PROBE_MESSAGES: u64 = 16;
/// So long without a delivery to try, and all is taken to be well.
pub const PROBE_QUIET: Duration = Duration::from_secs(5);
/// What a consumer asks for at first; RabbitMQ 4 drops a message at its 20th delivery.
pub const RAMP_START: u16 = 16;
/// How much wider each further window is.
pub const RAMP_FACTOR: u16 = 4;
/// Room on disk that there must be before a journal that had none is tried again.
pub const JOURNAL_ROOM_BYTES: usize = 64 * 1024;
/// Held locked by the host that a state folder belongs to.
pub const STATE_LOCK_FILE: &str = "lock";
/// Deaths of a host while one message ran alone, after which that message isn't run again.
pub const CRASH_DEATHS: u32 = 3;
/// The journal of what ran when a host died, in the state folder.
pub const CRASH_JOURNAL_FILE: &str = "crash-journal.jsonl";
/// Bytes past which the crash journal is written anew with what still counts.
pub const CRASH_JOURNAL_BYTES: u64 = 4 * MIB as u64;
/// Messages that run alone because a host died while they ran; more than all shards run at once.
pub const CRASH_SUSPECTS: usize = 2 * SHARDS_MAX * BATCH_MESSAGES;
/// A message is suspected no longer than this after a host died with it: it may never come back here.
pub const CRASH_SUSPECT_AGE: Duration = Duration::from_secs(24 * 3600);
/// Deliveries that are here already and go to the shards together.
pub const DEALT_TOGETHER: usize = 64;
/// Events that wait for a shard; whoever has another waits. Room is taken as it is needed.
pub const SHARD_EVENTS: usize = 65_536;
/// Keys with state per pipeline, each counted once per stage; a message of a further key fails.
pub const STATE_KEYS: u64 = 10_000_000;
/// Most keys that a config may allow.
pub const STATE_KEYS_MAX: u64 = 1_000_000_000;
/// Bytes of state that a pipeline's lanes hold in memory above the store.
pub const STATE_CACHE_BYTES: usize = 64 * MIB;
/// Most bytes that a config may have them hold.
pub const STATE_CACHE_BYTES_MAX: u64 = 1 << 40;
/// The folder of the embedded store, in the state folder.
pub const STATE_FOLDER: &str = "state";
/// Pages of the database's file held in memory, in bytes.
pub const STATE_PAGE_CACHE_BYTES: usize = 32 * MIB;
/// Commits of lanes that wait for the committer; a lane has one at a time.
pub const COMMITS_WAITING: usize = 16_384;
/// Commits that go into one transaction.
pub const COMMIT_GROUP: usize = 256;
/// Keys that `sluicegate state` reads, and writes, at once.
pub const STATE_PAGE: usize = 500;
/// Shortest `state_ttl`.
pub const STATE_TTL_MIN: Duration = Duration::from_secs(60);
/// Idle keys are looked for this often in a TTL, within the two bounds that follow.
pub const STATE_SWEEP_SHARE: u32 = 8;
/// Least time between two looks.
pub const STATE_SWEEP_MIN: Duration = Duration::from_secs(10);
/// Most time between two looks.
pub const STATE_SWEEP_MAX: Duration = Duration::from_secs(3600);
/// Keys that a look reads, and that a shard is told of, at once.
pub const STATE_SWEEP_KEYS: usize = 256;
/// Time to release what is held once a drain has passed its limit.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a broker's connections are looked at.
pub const LINK_LOOK: Duration = Duration::from_secs(1);
/// How often the shards are asked for a sign of life.
pub const LIVE_PING: Duration = Duration::from_secs(1);
/// Without one for so long the process counts as stuck; longer than any call may take.
pub const LIVE_SILENCE: Duration = Duration::from_secs(30);

/// Planted things that the demo remembers until they are found.
pub const DEMO_PLANTED_MAX: usize = 200_000;
/// Alerts that the demo shows.
pub const DEMO_ALERTS_SHOWN: usize = 32;
/// Messages that the demo's fleet publishes at once.
pub const DEMO_GROUP_MESSAGES: usize = 256;
/// Unsettled deliveries of each of the demo's sinks.
pub const DEMO_SINK_PREFETCH: u16 = 500;
/// Time for the demo's host to be ready.
pub const DEMO_START: Duration = Duration::from_secs(30);
/// Time for what is under way when the demo's fleet has stopped.
pub const DEMO_DRAIN: Duration = Duration::from_secs(30);
/// A demo's queues on a RabbitMQ go when unused for so long.
pub const DEMO_QUEUES_EXPIRE: Duration = Duration::from_secs(600);
