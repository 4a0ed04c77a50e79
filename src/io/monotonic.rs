//! The machine's monotonic clock, the same in all its processes.

/// Microseconds of it; since when is nobody's business.
pub fn monotonic_us() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes to `time`, during the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    debug_assert_eq!(result, 0, "every Linux has this clock");
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_does_not_run_backward() {
        let first = super::monotonic_us();
        assert!(first > 0 && super::monotonic_us() >= first);
    }
}
