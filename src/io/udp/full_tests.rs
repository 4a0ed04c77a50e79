//! What becomes of trains when the socket's buffer is full. Over loopback it
//! never is: the kernel is done with a datagram at once. Here the far end of a
//! line does not even say that it is there, and all that is sent waits for that,
//! with the socket. Takes root, for a network of its own.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::*;
use crate::core::trains::TrainCursor;
use crate::io::sockets::media_socket;
use crate::io::sys;

const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const TRAINS: u32 = 100;

/// Moves this thread into a network of its own whose one line is dead; the line
/// lives as long as the file.
fn dead_line() -> io::Result<File> {
    // SAFETY: takes a plain number.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut open = OpenOptions::new();
    let tap = open.read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: `ifreq` is plain data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"dead") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    ask(&tap, libc::TUNSETIFF as _, &mut request)?;
    let control = UdpSocket::bind(("0.0.0.0", 0))?;
    request.ifr_ifru.ifru_addr = name(NEAR);
    ask(&control, libc::SIOCSIFADDR, &mut request)?;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    ask(&control, libc::SIOCSIFFLAGS, &mut request)?;
    Ok(tap)
}

fn ask(fd: &impl AsRawFd, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: the three requests used read, and one writes, an `ifreq`.
    match unsafe { libc::ioctl(fd.as_raw_fd(), what as _, request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn name(ip: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..].iter_mut().zip(ip.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}

fn path(remote: SocketAddr) -> Path {
    let local = NEAR.into();
    Path { local, remote }
}

/// Fills the buffer and more; then sends to who is there.
async fn fill(make: fn(Sockets) -> io::Result<Udp>) {
    let socket = media_socket((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    sys::set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, 1).unwrap();
    let of = [Some(socket), None];
    let mut udp = make(Sockets { port, of }).unwrap();
    let mut trains = Trains::with_slots(TRAINS as usize);
    for number in 0..TRAINS {
        let mut cursor = TrainCursor::default();
        for len in [1_000, 1_000, 600] {
            let to = path((FAR, 9_000).into());
            let place = trains.reserve(&mut cursor, to, len).unwrap();
            place.fill(number as u8);
        }
    }
    let report = udp.send(&mut trains, &mut Vec::new());
    assert!(report.datagrams > 0, "{report:?}");
    assert!(report.full > TRAINS, "{report:?}");
    assert_eq!(report.datagrams + report.full, 3 * TRAINS, "{report:?}");
    assert_eq!(report.failed, 0);
    assert_eq!(trains.free_slots(), TRAINS as usize, "nothing is parked");
    // Nor does it wait: the next turn is refused as fast.
    let mut cursor = TrainCursor::default();
    let to = path((FAR, 9_000).into());
    trains.reserve(&mut cursor, to, 500).unwrap().fill(1);
    assert_eq!(udp.send(&mut trains, &mut Vec::new()).full, 1);
}

#[test]
fn a_full_buffer_drops_and_counts_and_parks_nothing() {
    let in_own_network = std::thread::spawn(|| {
        let line = match dead_line() {
            Ok(line) => line,
            Err(error) => return eprintln!("not tried, it takes root: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            fill(Udp::on_uring).await;
            fill(|sockets| Udp::with_ring(uring::Ring::on(uring::older(), sockets)?)).await;
            fill(Udp::on_mmsg).await;
        });
        drop(line);
    });
    in_own_network.join().unwrap();
}
