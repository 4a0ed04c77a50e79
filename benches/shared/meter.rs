//! CPU time, as spent for sending and receiving datagrams: this thread's own,
//! and that of the kernel thread which does this CPU's network work when the
//! thread itself is not made to. Owns the pinning that makes the two belong
//! together.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Looks at the kernel thread before it is taken to be at rest.
const LOOKS_MAX: usize = 200;
/// Between two looks. Sleeping is also what lets the kernel thread run.
const LOOK_EVERY: Duration = Duration::from_micros(20);

pub struct Meter {
    cpu: usize,
    /// Where this CPU's ksoftirqd says how long it ran; `None` where a host
    /// hides it, and network work that wandered there goes uncounted.
    ksoftirqd: Option<File>,
}

impl Meter {
    /// Pins the calling thread to the last CPU it may use: the first one is
    /// where most hosts send their interrupts.
    pub fn pin() -> io::Result<Self> {
        let cpu = *allowed_cpus()?.first().ok_or(io::ErrorKind::NotFound)?;
        pin_to(cpu)?;
        Ok(Meter {
            cpu,
            ksoftirqd: ksoftirqd_of(cpu),
        })
    }

    /// What is measured where, in a line.
    pub fn describe(&self) -> String {
        let softirq = match self.ksoftirqd {
            Some(_) => "and its ksoftirqd",
            None => "WITHOUT its ksoftirqd, which this host hides: expect figures too low",
        };
        format!(
            "CPU time of the thread on CPU {} {softirq}; {}",
            self.cpu,
            cpu_model()
        )
    }

    /// Runs `work`; its CPU time in nanoseconds, with the network work it left
    /// to the kernel thread. A function of its own, so that a profiler can be
    /// told to look at nothing else.
    #[inline(never)]
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> (u64, T) {
        self.settle();
        let softirq_before = self.ksoftirqd_ns();
        let before = thread_ns();
        let done = work();
        let thread = thread_ns() - before;
        self.settle();
        let softirq = self.ksoftirqd_ns() - softirq_before;
        (thread + softirq, done)
    }

    /// Waits until the kernel thread has nothing more to do.
    pub fn settle(&self) {
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            let now = self.ksoftirqd_ns();
            if last == Some(now) {
                return;
            }
            last = Some(now);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn ksoftirqd_ns(&self) -> u64 {
        self.ksoftirqd.as_ref().map_or(0, ran_ns)
    }
}

/// How long the thread of this `schedstat` ran so far.
pub fn ran_ns(schedstat: &File) -> u64 {
    let mut text = [0; 64];
    let len = schedstat.read_at(&mut text, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..len]);
    let first = text.split_whitespace().next();
    first.and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// CPU time of this thread so far, in and outside the kernel.
pub fn thread_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes to `time`.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "every Linux has a thread's CPU clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Pins the calling thread to a CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is plain bits; all zeroes is the empty set, and a
    // number beyond it is refused by the macro's own bounds.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The CPUs this thread may use, last first.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: as in `Meter::pin`; the kernel writes at most the given size.
    let (result, set) = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let result = libc::sched_getaffinity(0, size_of_val(&set), &mut set);
        (result, set)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let cpus = (0..libc::CPU_SETSIZE as usize).rev();
    // SAFETY: `cpu` is below the set's size.
    Ok(cpus
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect())
}

/// The kernel thread that does a CPU's network work, where a host shows it.
pub fn ksoftirqd_of(cpu: usize) -> Option<File> {
    let name = format!("ksoftirqd/{cpu}\n");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let said = fs::read_to_string(entry.path().join("comm")).ok()?;
        (said == name)
            .then(|| File::open(entry.path().join("schedstat")).ok())
            .flatten()
    })
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = text.lines();
    let model = lines.find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown CPU", |(_, name)| name).to_string()
}
