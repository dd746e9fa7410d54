//! The process's own figures, read from the kernel at each scrape, under Prometheus's usual names.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

#[derive(Debug)]
struct Process {
    started_us: u64,
}

/// Adds the process's figures; it started then, microseconds since 1970.
pub(super) fn register(registry: &mut Registry, started_us: u64) {
    registry.register_collector(Box::new(Process { started_us }));
}

/// Resident memory in bytes; `None` where the kernel doesn't say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of all threads, in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

// === impl Process ===

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cpu = ConstCounter::new(cpu_s());
        let help = "Processor time of all threads";
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let started = self.started_us as f64 / 1e6;
        let open_fds = std::fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as f64);
        let max_fds = getrlimit(Resource::Nofile).current.map(|fds| fds as f64);
        let seconds = Some(Unit::Seconds);
        let bytes = Some(Unit::Bytes);
        for (name, help, unit, value) in [
            ("process_start_time", "Start, since 1970-01-01 UTC", seconds, Some(started)),
            (
                "process_resident_memory",
                "Resident memory",
                bytes,
                resident_bytes().map(|b| b as f64),
            ),
            ("process_open_fds", "Open file descriptors", None, open_fds),
            ("process_max_fds", "Most file descriptors that may be open", None, max_fds),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                gauge.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
