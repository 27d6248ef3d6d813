//! What the operating system says of time, CPU and memory. The one place that asks for the time.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started; the same for all its processes.
#[must_use]
pub fn now() -> Duration {
    clock(ClockId::Monotonic)
}

/// Time since the epoch.
#[must_use]
pub fn wall_clock() -> Duration {
    clock(ClockId::Realtime)
}

/// The CPU time of all threads of this process.
#[must_use]
pub fn cpu_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    clock_gettime(id)
        .try_into()
        .expect("these clocks are never negative")
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark paces itself against the real clock"
)]
pub fn sleep(span: Duration) {
    std::thread::sleep(span);
}

/// What the kernel accounts to a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// The most resident memory so far.
    pub peak_rss_bytes: u64,
}

/// The usage of a running process; none once it was waited for.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let cpu = ticks(&format!("/proc/{pid}/stat"), 11)?;
    Some(Usage {
        cpu,
        rss_bytes: kib(&status, "VmRSS:").unwrap_or(0) * 1024,
        peak_rss_bytes: kib(&status, "VmHWM:").unwrap_or(0) * 1024,
    })
}

/// The CPU time of all children that were waited for.
#[must_use]
pub fn children_cpu() -> Duration {
    ticks("/proc/self/stat", 13).unwrap_or_default()
}

/// The most resident memory of this process so far.
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    usage(std::process::id()).map_or(0, |usage| usage.peak_rss_bytes)
}

/// The sum of two neighbouring fields of a `stat` file, counted behind the program's name.
fn ticks(path: &str, field: usize) -> Option<Duration> {
    let stat = fs::read_to_string(path).ok()?;
    // The name may hold blanks and brackets: the last one ends it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let user: u64 = fields.get(field)?.parse().ok()?;
    let system: u64 = fields.get(field + 1)?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis((user + system) * 1000 / per_second))
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
