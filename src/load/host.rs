//! What processes of this machine spend, from `/proc`.

use std::fs;
use std::io;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In and outside the kernel, of all threads.
    pub cpu_us: u64,
    pub rss_bytes: u64,
}

/// Of one process; threads that ended take their time along.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let mut cpu_ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // Gone since the folder was read.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        cpu_ns += first_number(&text);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(Usage {
        cpu_us: cpu_ns / 1_000,
        rss_bytes: rss.map_or(0, |rss| first_number(rss.trim_start()) * 1_024),
    })
}

/// Of this process.
pub fn own_cpu_us() -> u64 {
    usage(std::process::id()).map_or(0, |usage| usage.cpu_us)
}

fn first_number(text: &str) -> u64 {
    let word = text.split_whitespace().next();
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_seen() {
        let seen = usage(std::process::id()).unwrap();
        assert!(seen.rss_bytes > 1 << 20);
        assert!(usage(u32::MAX).is_err());
        assert_eq!(first_number("  12 kB"), 12);
    }
}
