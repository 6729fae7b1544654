//! What the operating system reports about this process (Linux: `/proc/self`). The names of the metrics are not here.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What is used now; zero where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
}

impl Usage {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu: cpu(),
            resident_bytes: kib(&status, "VmRSS:"),
            virtual_bytes: kib(&status, "VmSize:"),
            threads: number(&status, "Threads:"),
            open_fds: fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64),
            max_fds: max_fds(),
        }
    }
}

/// Time on the CPU, of all threads, ended ones too.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn max_fds() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    number(&limits, "Max open files")
}

fn kib(text: &str, name: &str) -> u64 {
    number(text, name) * 1024
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_uses_something() {
        let usage = Usage::now();
        assert!(usage.resident_bytes > 0);
        assert!(usage.virtual_bytes > usage.resident_bytes);
        assert!(usage.threads > 0);
        assert!(usage.open_fds > 0);
        assert!(usage.max_fds >= usage.open_fds);
        assert!(usage.cpu > Duration::ZERO);
    }
}
