//! Whether this host lets us use io_uring, found out by using it: containers
//! refuse it by seccomp, hosts by sysctl, old kernels lack what we need.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use super::sockets::media_socket;
use super::udp::Sockets;
use super::udp::uring::Ring;

/// How long the probe's own datagram may take over loopback.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends one datagram to itself through a media ring. The error says what was
/// refused and the likely cause.
pub fn probe() -> Result<(), String> {
    // The runtime's own ring, which cannot report a refusal itself.
    let mut plain: io_uring::Builder = io_uring::IoUring::builder();
    plain
        .setup_coop_taskrun()
        .build(8)
        .map_err(|error| explain("creating a ring (io_uring_setup)", &error))?;
    let socket = media_socket((Ipv4Addr::LOCALHOST, 0).into()).map_err(|e| e.to_string())?;
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    let mut ring = Ring::new(Sockets {
        port: address.port(),
        of: [Some(socket), None],
    })
    .map_err(|refused| explain(refused.step, &refused.error))?;
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|sender| sender.send_to(b"probe", address))
        .map_err(|error| format!("loopback does not work: {error}"))?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let mut got = false;
        ring.receive(8, |_, bytes| got |= *bytes == *b"probe");
        if got {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err("a multishot receive got nothing: the kernel is older than 6.0".to_string())
}

fn explain(step: &str, error: &io::Error) -> String {
    let likely = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "refused by a seccomp profile (Docker's default does) or by sysctl \
             kernel.io_uring_disabled"
        }
        Some(libc::ENOSYS) => "the kernel has no io_uring, or a seccomp profile hides it",
        Some(libc::EINVAL) => "the kernel is older than 6.0",
        Some(libc::ENOMEM) => "not enough locked memory: raise RLIMIT_MEMLOCK",
        Some(libc::EMFILE | libc::ENFILE) => "too many open files",
        _ => "of unknown cause",
    };
    let name = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::ENOMEM) => "ENOMEM",
        Some(libc::EMFILE) => "EMFILE",
        Some(libc::ENFILE) => "ENFILE",
        _ => "error",
    };
    format!("{step} failed with {name} ({error}): {likely}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_errno_and_cause() {
        let docker = explain(
            "creating a ring",
            &io::Error::from_raw_os_error(libc::EPERM),
        );
        assert!(
            docker.contains("EPERM") && docker.contains("seccomp"),
            "{docker}"
        );
        let old = explain("arming", &io::Error::from_raw_os_error(libc::EINVAL));
        assert!(old.contains("EINVAL") && old.contains("6.0"), "{old}");
    }
}
