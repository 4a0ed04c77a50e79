//! The system calls std does not offer, each wrapped once.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::base::time::{Span, Time};

/// A system call's result: -1 means look at `errno`.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A kernel counter another thread, or the media ring, can ring.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes and returns plain numbers.
    own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Rings an eventfd. It is never read: a waiter is woken by each write, and the
/// counter cannot overflow in the age of the universe.
pub fn ring(eventfd: &OwnedFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: writes the eight bytes of `one`.
    let _ = unsafe { libc::write(eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Has the runtime watch `fd` for reading; inside a runtime.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same descriptor as long as it
    // is owned, and nobody takes it out of the `AsyncFd` or replaces it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

pub fn timerfd() -> io::Result<OwnedFd> {
    // SAFETY: takes and returns plain numbers.
    own(unsafe {
        libc::timerfd_create(
            libc::CLOCK_MONOTONIC,
            libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
        )
    })
}

/// Makes `timerfd` fire once, `span` from now.
pub fn arm_timer(timerfd: &OwnedFd, span: Span) -> io::Result<()> {
    // A zero span would disarm the timer instead.
    let us = span.as_us().max(1);
    let setting = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: (us / 1_000_000) as libc::time_t,
            tv_nsec: (us % 1_000_000 * 1_000) as libc::c_long,
        },
    };
    // SAFETY: `setting` is read during the call; the old value is not asked for.
    check(unsafe {
        libc::timerfd_settime(timerfd.as_raw_fd(), 0, &setting, std::ptr::null_mut())
    })?;
    Ok(())
}

/// The clock of all cores: microseconds since the server started.
#[derive(Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Clock {
            origin: Instant::now(),
        }
    }

    pub fn now(&self) -> Time {
        Time::from_us(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

pub fn socket(domain: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes and returns plain numbers.
    own(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) })
}

pub fn bind(fd: &OwnedFd, address: std::net::SocketAddr) -> io::Result<()> {
    let mut name = super::udp::message::Name::EMPTY;
    let len = name.write(address);
    // SAFETY: `name` holds `len` bytes of a socket address, read during the call.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            name.0.as_ptr().cast(),
            len as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Sends what the socket has room for now, from the front of `pieces`; the
/// number of bytes. A full socket is [`io::ErrorKind::WouldBlock`].
pub fn send_now(fd: RawFd, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: `msghdr` is plain numbers and pointers; all zeroes is a message
    // without an address, pieces or control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An `IoSlice` is an `iovec`, std says; the kernel only reads it.
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `message` and the pieces it points to are borrowed for the whole
    // call, during which alone the kernel reads them; a descriptor that is not
    // open, or no socket, is an error.
    let sent = unsafe { libc::sendmsg(fd, &message, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Appends what the socket has now to `buffer`, as much as its capacity takes.
/// An empty socket is [`io::ErrorKind::WouldBlock`].
pub fn receive_now(fd: RawFd, buffer: &mut Vec<u8>) -> io::Result<()> {
    let room = buffer.spare_capacity_mut();
    // SAFETY: the kernel writes at most `room.len()` bytes to `room`, which is
    // borrowed for the whole call; a descriptor that is not open, or no socket,
    // is an error.
    let received =
        unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has just initialised that many bytes behind the old
    // length, no more than there was room for.
    unsafe { buffer.set_len(buffer.len() + received) };
    Ok(())
}

pub fn listen(fd: &OwnedFd, backlog: libc::c_int) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    Ok(())
}

/// Ends both directions of a connection, or a listener's accepting. What waits
/// on the socket, in this thread or in the kernel, completes at once.
pub fn shut(fd: RawFd, how: libc::c_int) {
    // SAFETY: takes plain numbers; a wrong descriptor is an error, ignored
    // because a connection already gone is what was wanted.
    let _ = unsafe { libc::shutdown(fd, how) };
}

pub fn set_option(
    fd: RawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option is one the kernel reads an int of.
    unsafe { set_raw(fd, level, option, &value) }
}

/// Makes closing `fd` reset the connection and drop what the peer did not read.
pub fn reset_on_close(fd: RawFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: SO_LINGER takes a `linger`.
    let _ = unsafe { set_raw(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger) };
}

/// # Safety
/// `option` must be one whose value is a `T`.
unsafe fn set_raw<T>(
    fd: RawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the kernel reads size_of::<T>() bytes of `value`.
    check(unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

pub fn int_option(fd: RawFd, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `value`.
    check(unsafe {
        libc::getsockopt(
            fd,
            level,
            option,
            std::ptr::from_mut(&mut value).cast(),
            &mut len,
        )
    })?;
    Ok(value)
}

/// Bytes of a TCP socket that the peer has not acknowledged; 0 where the kernel
/// does not say.
pub fn unacknowledged_bytes(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int to `bytes`.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    match check(result) {
        Ok(_) => usize::try_from(bytes).unwrap_or(0),
        Err(_) => 0,
    }
}

/// Datagrams the kernel dropped on this socket because its queue was full.
pub fn socket_drops(fd: RawFd) -> u32 {
    /// `SK_MEMINFO_DROPS` of linux/sock_diag.h, the last of nine words.
    const DROPS: usize = 8;
    const SO_MEMINFO: libc::c_int = 55;
    let mut words = [0_u32; DROPS + 1];
    let mut len = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `words`.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &mut len,
        )
    };
    match check(result) {
        Ok(_) => words.last().copied().unwrap_or(0),
        Err(_) => 0,
    }
}

/// Bytes that may still be written to the disk `folder` is on.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: `statvfs` is plain numbers; all zeroes is one.
    let mut told: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero, and the kernel fills `told`.
    check(unsafe { libc::statvfs(path.as_ptr(), &mut told) })?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

/// The CPUs this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: `cpu_set_t` is plain bits; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the given size to `set`.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    if check(result).is_err() {
        return vec![0];
    }
    (0..libc::CPU_SETSIZE as usize)
        // SAFETY: `cpu` is below the set's size.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect()
}

/// Pins the calling thread to `cpu`.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: as in `allowed_cpus`; `cpu` came from there, so it is in range.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: see above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads the set during the call.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })?;
    Ok(())
}

/// Raises the limit on open files as far as allowed; returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes to `limit`.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads `limit`.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

fn stop_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set; the signal numbers are valid.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        set.assume_init()
    }
}

/// Keeps SIGTERM and SIGINT from killing this thread and those it spawns.
pub fn block_stop_signals() {
    // SAFETY: the set is initialised; the old mask is not asked for.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &stop_signals(), std::ptr::null_mut());
    }
}

/// Readable when SIGTERM or SIGINT came and is blocked.
pub fn stop_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised and read during the call.
    own(unsafe { libc::signalfd(-1, &stop_signals(), libc::SFD_CLOEXEC) })
}

/// Waits until one of two descriptors is readable; tells which are.
pub fn wait_either(first: &OwnedFd, second: &OwnedFd) -> io::Result<(bool, bool)> {
    let watch = |fd: &OwnedFd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut both = [watch(first), watch(second)];
    loop {
        // SAFETY: the kernel reads and writes the two entries of `both`.
        match check(unsafe { libc::poll(both.as_mut_ptr(), 2, -1) }) {
            Ok(_) => return Ok((both[0].revents != 0, both[1].revents != 0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the host knows address family IPv6 at all.
pub fn has_ipv6() -> bool {
    socket(libc::AF_INET6, libc::SOCK_DGRAM).is_ok()
}

/// What this host is called, where that is text.
pub fn host_name() -> Option<String> {
    // HOST_NAME_MAX of Linux is 64, and a zero ends it.
    let mut name = [0_u8; 65];
    // SAFETY: the kernel writes at most `name.len()` bytes to `name`.
    check(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) }).ok()?;
    let len = name.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(name.get(..len)?).ok()?;
    Some(text.to_string())
}

/// The kernel's version, major and minor, where it says so in numbers.
pub fn kernel_release() -> Option<(u32, u32)> {
    let mut name = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: the kernel fills all of `name`, or fails.
    check(unsafe { libc::uname(name.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded.
    let name = unsafe { name.assume_init() };
    let text: String = name
        .release
        .iter()
        .map(|byte| char::from(*byte as u8))
        .take_while(|letter| *letter != '\0')
        .collect();
    release_in(&text)
}

fn release_in(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Resets an eventfd, for a waiter that polls its level.
#[cfg(test)]
pub fn drain(eventfd: &OwnedFd) {
    let mut count = [0_u8; 8];
    // SAFETY: the kernel writes eight bytes to `count`.
    let _ = unsafe { libc::read(eventfd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}
