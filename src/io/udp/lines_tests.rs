//! Connected sockets of busy peers: whoever has one is served as before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::base::limits::{LINE_BUSY_DATAGRAMS, LINE_IDLE_SWEEPS};
use crate::core::trains::TrainCursor;
use crate::io::sockets::media_socket;
use crate::io::sys;

/// A ring with up to `max` lines, on all addresses or on one.
fn ring(bind: IpAddr, max: usize) -> uring::Ring {
    let socket = media_socket((bind, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let of = match bind {
        IpAddr::V4(_) => [Some(socket), None],
        IpAddr::V6(_) => [None, Some(socket)],
    };
    let mut ring = uring::Ring::new(Sockets { port, of }).unwrap();
    ring.connect_busy(max).unwrap();
    ring
}

struct Far {
    socket: UdpSocket,
    path: Path,
}

fn far(local: impl Into<IpAddr>) -> Far {
    let local = local.into();
    let socket = UdpSocket::bind((local, 0)).unwrap();
    let patience = Some(Duration::from_millis(500));
    socket.set_read_timeout(patience).unwrap();
    let remote = socket.local_addr().unwrap();
    Far {
        socket,
        path: Path { local, remote },
    }
}

impl Far {
    /// The next datagram and who sent it.
    fn next(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 2_000];
        let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
        Some((buffer[..len].to_vec(), from))
    }
}

/// Sends datagrams of `lens`, filled with their number, in as few trains as that takes.
fn send(ring: &mut uring::Ring, path: Path, lens: &[usize]) -> SendReport {
    let mut trains = Trains::with_slots(64);
    let mut cursor = TrainCursor::default();
    for (number, len) in lens.iter().enumerate() {
        let place = trains.reserve(&mut cursor, path, *len).unwrap();
        place.fill(number as u8);
    }
    let mut taken = Vec::new();
    trains.take(&mut taken);
    let report = ring.send(&trains, &taken);
    taken.drain(..).for_each(|train| trains.release(train));
    report
}

/// Makes every one of `all` busy, which all of them get.
fn keep_busy(ring: &mut uring::Ring, all: &[Far]) {
    for far in all {
        for _ in 0..LINE_BUSY_DATAGRAMS {
            assert_eq!(send(ring, far.path, &[40]).datagrams, 1);
            assert_eq!(far.next().unwrap().0, vec![0; 40]);
        }
    }
    ring.sweep();
}

/// What has arrived, in a few turns.
fn receive(ring: &mut uring::Ring) -> Vec<(Path, Vec<u8>)> {
    let mut got = Vec::new();
    for _ in 0..10 {
        ring.receive(64, |path, bytes| got.push((path, bytes.to_vec())));
        std::thread::sleep(Duration::from_millis(1));
    }
    got
}

#[test]
fn a_busy_peer_gets_a_line_and_notices_nothing() {
    let everywhere: [(IpAddr, IpAddr); 4] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()),
        (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    ];
    for (bind, local) in everywhere {
        let mut ring = ring(bind, 8);
        let port = ring.sockets().port;
        let (busy, quiet, stranger) = (far(local), far(local), far(local));
        send(&mut ring, quiet.path, &[40]);
        assert_eq!(quiet.next().unwrap().0.len(), 40);
        let busy = [busy];
        keep_busy(&mut ring, &busy);
        assert!(receive(&mut ring).is_empty());
        assert_eq!(ring.lines().count(), 1);
        let [busy] = busy;

        // Single ones, a train, and a train of unequal ones.
        for lens in [&[900][..], &[300, 300, 300, 120], &[100, 200]] {
            let report = send(&mut ring, busy.path, lens);
            assert_eq!(report.datagrams as usize, lens.len());
            for (number, len) in lens.iter().enumerate() {
                let from = SocketAddr::new(local, port);
                assert_eq!(busy.next(), Some((vec![number as u8; *len], from)));
            }
        }
        // What the line sends the common socket has no part in.
        sys::shut(
            ring.sockets().fd(usize::from(local.is_ipv6())).unwrap(),
            libc::SHUT_WR,
        );
        assert_eq!(send(&mut ring, quiet.path, &[40]).failed, 1);
        for lens in [&[50][..], &[60, 60]] {
            assert_eq!(send(&mut ring, busy.path, lens).failed, 0);
            for len in lens {
                assert_eq!(busy.next().unwrap().0.len(), *len);
            }
        }
        // Each is heard, and known by where it sends from.
        for far in [&busy, &quiet, &stranger] {
            far.socket.send_to(b"hear", (local, port)).unwrap();
            assert_eq!(receive(&mut ring), [(far.path, b"hear".to_vec())]);
        }
    }
}

#[test]
fn there_are_no_more_lines_than_allowed_and_the_others_are_served_as_well() {
    let mut ring = ring(Ipv4Addr::UNSPECIFIED.into(), 6);
    let port = ring.sockets().port;
    let all: Vec<Far> = (0..9).map(|_| far(Ipv4Addr::LOCALHOST)).collect();
    for _ in 0..2 {
        keep_busy(&mut ring, &all);
        receive(&mut ring);
        assert_eq!(ring.lines().count(), 6);
    }
    for far in &all {
        assert_eq!(send(&mut ring, far.path, &[70, 70]).datagrams, 2);
        assert_eq!(far.next().unwrap().0, [0; 70]);
        assert_eq!(far.next().unwrap().0, [1; 70]);
        far.socket
            .send_to(b"hear", (Ipv4Addr::LOCALHOST, port))
            .unwrap();
        assert_eq!(receive(&mut ring), [(far.path, b"hear".to_vec())]);
    }
}

#[test]
fn the_silent_lose_their_lines_to_those_who_need_them() {
    let mut ring = ring(Ipv4Addr::UNSPECIFIED.into(), 2);
    let port = ring.sockets().port;
    let first = [far(Ipv4Addr::LOCALHOST), far(Ipv4Addr::LOCALHOST)];
    keep_busy(&mut ring, &first);
    receive(&mut ring);
    assert_eq!(ring.lines().count(), 2);
    let second = [far(Ipv4Addr::LOCALHOST)];
    for sweep in 0..LINE_IDLE_SWEEPS {
        assert_eq!(ring.lines().count(), 2, "{sweep}");
        // The first of them is heard, which keeps its line.
        first[0]
            .socket
            .send_to(b"here", (Ipv4Addr::LOCALHOST, port))
            .unwrap();
        assert_eq!(receive(&mut ring).len(), 1);
        ring.sweep();
    }
    receive(&mut ring);
    assert_eq!(ring.lines().count(), 1);
    keep_busy(&mut ring, &second);
    receive(&mut ring);
    assert_eq!(ring.lines().count(), 2);
    for far in first.iter().chain(&second) {
        assert_eq!(send(&mut ring, far.path, &[50]).datagrams, 1);
        assert_eq!(far.next().unwrap().0.len(), 50);
        far.socket
            .send_to(b"hear", (Ipv4Addr::LOCALHOST, port))
            .unwrap();
        assert_eq!(receive(&mut ring), [(far.path, b"hear".to_vec())]);
    }
}

#[test]
fn a_peer_that_was_gone_is_served_when_it_is_back() {
    let mut ring = ring(Ipv4Addr::UNSPECIFIED.into(), 2);
    let port = ring.sockets().port;
    let one = [far(Ipv4Addr::LOCALHOST)];
    keep_busy(&mut ring, &one);
    receive(&mut ring);
    let [Far { socket, path }] = one;
    drop(socket);
    // Its host answers that nobody is there, which a connected socket hears of:
    // in its receive, or in the next send if that is under way already.
    for lens in [&[60][..], &[60, 60], &[60, 90, 120]] {
        let report = send(&mut ring, path, lens);
        assert_eq!(report.datagrams as usize, lens.len());
        receive(&mut ring);
    }
    let socket = UdpSocket::bind(path.remote).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let back = Far { socket, path };
    for _ in 0..3 {
        assert_eq!(send(&mut ring, path, &[80]).datagrams, 1);
        assert_eq!(back.next().unwrap().0.len(), 80);
        back.socket
            .send_to(b"hear", (Ipv4Addr::LOCALHOST, port))
            .unwrap();
        assert_eq!(receive(&mut ring), [(path, b"hear".to_vec())]);
    }
}

#[test]
fn a_flood_from_someone_we_send_nothing_gets_no_line() {
    let mut ring = ring(Ipv4Addr::UNSPECIFIED.into(), 2);
    let port = ring.sockets().port;
    let flood = far(Ipv4Addr::LOCALHOST);
    for _ in 0..3 {
        for _ in 0..2 * LINE_BUSY_DATAGRAMS {
            flood
                .socket
                .send_to(b"flood", (Ipv4Addr::LOCALHOST, port))
                .unwrap();
        }
        assert_eq!(receive(&mut ring).len(), 2 * LINE_BUSY_DATAGRAMS as usize);
        ring.sweep();
    }
    receive(&mut ring);
    assert_eq!(ring.lines().count(), 0);
}

#[test]
fn the_port_stays_closed_to_whoever_does_not_share_it() {
    let mut ring = ring(Ipv4Addr::UNSPECIFIED.into(), 2);
    let port = ring.sockets().port;
    let one = [far(Ipv4Addr::LOCALHOST)];
    keep_busy(&mut ring, &one);
    receive(&mut ring);
    assert_eq!(ring.lines().count(), 1);
    for ip in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let error = media_socket((ip, port).into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }
}

#[test]
fn a_dropped_ring_leaves_the_port_free() {
    let mut port = 0;
    for _ in 0..10 {
        // The kernel lets go of a ring's files a little after the ring.
        let socket = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                media_socket((Ipv4Addr::UNSPECIFIED, port).into()).ok()
            })
            .expect("the port is never free again");
        port = socket.local_addr().unwrap().port();
        let sockets = Sockets {
            port,
            of: [Some(socket), None],
        };
        let mut ring = uring::Ring::new(sockets).unwrap();
        ring.connect_busy(4).unwrap();
        let all: Vec<Far> = (0..4).map(|_| far(Ipv4Addr::LOCALHOST)).collect();
        keep_busy(&mut ring, &all);
        receive(&mut ring);
        assert_eq!(ring.lines().count(), 4);
    }
}

#[test]
fn a_line_that_is_taken_back_leaves_its_peer_served() {
    let mut lines = lines::Lines::default();
    lines.allow(1, 0);
    let (first, second) = (far(Ipv4Addr::LOCALHOST), far(Ipv4Addr::LOCALHOST));
    for far in [&first, &second] {
        for _ in 0..LINE_BUSY_DATAGRAMS {
            assert_eq!(lines.on_send(far.path), None);
        }
        lines.sweep(|slot| panic!("{slot} was never armed"));
        let (slot, _) = lines.open_next().unwrap();
        assert_eq!(lines.on_send(far.path), Some(slot));
        lines.abandon(slot);
        assert_eq!(lines.on_send(far.path), None);
        assert_eq!(lines.arm_next(), None);
        assert_eq!(lines.close_next().map(|(slot, _)| slot), Some(slot));
        assert_eq!((lines.count(), lines.armed().count()), (0, 0));
    }
}

#[test]
fn nothing_a_peer_sends_is_lost_while_it_gets_a_line() {
    const SENT: u32 = 4_000;
    let mut ring = ring(Ipv4Addr::UNSPECIFIED.into(), 4);
    let port = ring.sockets().port;
    let Far { socket, path } = far(Ipv4Addr::LOCALHOST);
    let sender = std::thread::spawn(move || {
        for number in 0..SENT {
            let bytes = number.to_be_bytes();
            socket.send_to(&bytes, (Ipv4Addr::LOCALHOST, port)).unwrap();
            std::thread::sleep(Duration::from_micros(50));
        }
        socket
    });
    let mut came = vec![0; SENT as usize];
    let (mut lines, mut turns) = (0, 0);
    while came.iter().sum::<u32>() < SENT && turns < 200_000 {
        send(&mut ring, path, &[40]);
        ring.receive(64, |_, bytes| {
            let number = u32::from_be_bytes(bytes.try_into().unwrap());
            came[number as usize] += 1;
        });
        turns += 1;
        if turns % 50 == 0 {
            ring.sweep();
        }
        lines = lines.max(ring.lines().count());
    }
    drop(sender.join().unwrap());
    assert_eq!(lines, 1);
    assert!(came.iter().all(|times| *times == 1));
}
