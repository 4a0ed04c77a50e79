use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::*;
use crate::core::trains::TrainCursor;
use crate::io::sockets::media_socket;
use crate::io::sys;

/// Runs `test` on each engine, and on the ring of older kernels, on a fresh loopback socket.
fn on_all(test: impl AsyncFn(&mut Udp)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let on_older: fn(Sockets) -> io::Result<Udp> =
            |sockets| Udp::with_ring(uring::Ring::on(uring::older(), sockets)?);
        for make in [Udp::on_uring, on_older, Udp::on_mmsg] {
            let socket = media_socket(([127, 0, 0, 1], 0).into()).unwrap();
            let port = socket.local_addr().unwrap().port();
            let sockets = Sockets {
                port,
                of: [Some(socket), None],
            };
            test(&mut make(sockets).unwrap()).await;
        }
    });
}

fn peer() -> (UdpSocket, Path) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let path = Path {
        local: [127, 0, 0, 1].into(),
        remote: socket.local_addr().unwrap(),
    };
    (socket, path)
}

fn load(trains: &mut Trains, path: Path, lens: &[usize]) {
    let mut cursor = TrainCursor::default();
    for (number, len) in lens.iter().enumerate() {
        let place = trains.reserve(&mut cursor, path, *len).unwrap();
        place.fill(number as u8);
    }
}

fn expect(socket: &UdpSocket, lens: &[usize]) {
    for (number, len) in lens.iter().enumerate() {
        let mut got = [0; 2_000];
        assert_eq!(socket.recv(&mut got).unwrap(), *len);
        assert!(got[..*len].iter().all(|byte| *byte == number as u8));
    }
}

const NINE: [usize; 9] = [1_200, 1_200, 1_200, 1_200, 1_200, 1_200, 1_200, 1_200, 700];

#[test]
fn trains_to_many_peers_leave_at_once_and_slots_come_back() {
    on_all(async |udp| {
        let mut trains = Trains::with_slots(2_000);
        let (socket, path) = peer();
        let lens = [100, 100, 60];
        // More trains than one submission or one system call holds.
        for _ in 0..1_500 {
            load(&mut trains, path, &lens);
        }
        let drain = std::thread::spawn(move || {
            let mut got = [0; 200];
            socket
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            std::iter::from_fn(|| socket.recv(&mut got).ok()).count()
        });
        let report = udp.send(&mut trains, &mut Vec::new());
        assert_eq!((report.trains, report.datagrams), (1_500, 4_500));
        assert_eq!(trains.free_slots(), 2_000);
        assert!(drain.join().unwrap() > 100);
    });
}

#[test]
fn a_kernel_that_refuses_to_split_still_gets_the_datagrams_through() {
    on_all(async |udp| {
        // Without checksums the kernel refuses UDP_SEGMENT with EINVAL.
        let fd = udp.sockets().fd(0).unwrap();
        sys::set_option(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        let mut trains = Trains::with_slots(8);
        let (socket, path) = peer();
        for _ in 0..2 {
            load(&mut trains, path, &NINE);
            let report = udp.send(&mut trains, &mut Vec::new());
            assert_eq!((report.trains, report.datagrams), (1, 9));
            assert_eq!((report.full, report.failed), (0, 0));
            expect(&socket, &NINE);
        }
        assert_eq!(trains.free_slots(), 8);
        // Only those trains: the socket is not given up for one route's sake.
        sys::set_option(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, 0).unwrap();
        load(&mut trains, path, &NINE);
        assert_eq!(udp.send(&mut trains, &mut Vec::new()).datagrams, 9);
        expect(&socket, &NINE);
    });
}

#[test]
fn eio_gives_up_splitting_on_that_socket_alone() {
    let mut fallback = Fallback::default();
    let mut trains = Trains::with_slots(4);
    let (socket, path) = peer();
    let sender = media_socket(([127, 0, 0, 1], 0).into()).unwrap();
    load(&mut trains, path, &NINE);
    let mut taken = Vec::new();
    trains.take(&mut taken);
    assert!(fallback.takes(&taken[0]));
    let mut report = SendReport::default();
    fallback.refused(
        sender.as_raw_fd(),
        libc::EIO,
        &trains,
        &taken[0],
        &mut report,
    );
    expect(&socket, &NINE);
    assert_eq!((report.trains, report.datagrams), (1, 9));
    assert!(!fallback.takes(&taken[0]));
    let mut single = taken[0];
    single.segments = 1;
    assert!(fallback.takes(&single), "one datagram needs no splitting");
    let mut other_family = taken[0];
    other_family.path.remote = "[::1]:9".parse::<SocketAddr>().unwrap();
    assert!(fallback.takes(&other_family));
}

#[test]
fn refusals_are_judged_by_who_could_cause_them() {
    assert_eq!(Refusal::of(libc::EAGAIN, 8), Refusal::Full);
    assert_eq!(Refusal::of(libc::ENOBUFS, 1), Refusal::Full);
    assert_eq!(Refusal::of(libc::EIO, 8), Refusal::Socket);
    assert_eq!(Refusal::of(libc::EINVAL, 8), Refusal::ThisTrain);
    assert_eq!(Refusal::of(libc::EMSGSIZE, 2), Refusal::ThisTrain);
    assert_eq!(Refusal::of(libc::EINVAL, 1), Refusal::Failed);
    assert_eq!(Refusal::of(libc::ENETUNREACH, 8), Refusal::Failed);
}

#[test]
fn a_path_we_cannot_send_on_is_counted_as_failed() {
    on_all(async |udp| {
        let mut trains = Trains::with_slots(8);
        let (socket, path) = peer();
        let foreign = Path {
            local: [203, 0, 113, 9].into(),
            ..path
        };
        let mixed = Path {
            local: "::1".parse().unwrap(),
            ..path
        };
        let no_socket = Path {
            local: "::1".parse().unwrap(),
            remote: "[::1]:9".parse().unwrap(),
        };
        for bad in [foreign, mixed, no_socket] {
            load(&mut trains, bad, &[50, 50]);
        }
        load(&mut trains, path, &[70]);
        let report = udp.send(&mut trains, &mut Vec::new());
        assert_eq!((report.datagrams, report.failed), (1, 6));
        assert_eq!(trains.free_slots(), 8);
        expect(&socket, &[70]);
    });
}

#[test]
fn receiving_resumes_after_the_buffers_ran_out() {
    on_all(async |udp| {
        let port = udp.sockets().port;
        let (socket, _) = peer();
        let mut received = 0;
        let mut exhausted = 0;
        for _ in 0..3 {
            // More than there are buffers, unread meanwhile.
            for _ in 0..2_500 {
                socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
            }
            // One receive that holds all buffers, and some that end it.
            for max in [4_000, 64, 64, 4_000] {
                let report = udp.receive(max, |_, bytes| assert_eq!(bytes, b"x"));
                received += report.received;
                exhausted += report.exhausted;
                assert!(report.received as usize <= max);
            }
        }
        assert_eq!(received, 7_500);
        let is_ring = matches!(udp, Udp::Uring { .. });
        assert_eq!(exhausted > 0, is_ring, "{exhausted}");
    });
}

#[test]
fn a_waiting_core_is_woken_by_each_datagram() {
    on_all(async |udp| {
        let port = udp.sockets().port;
        let (socket, _) = peer();
        let sender = std::thread::spawn(move || {
            for _ in 0..50 {
                socket.send_to(b"wake", ("127.0.0.1", port)).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let mut received = 0;
        while received < 50 {
            let ready = tokio::time::timeout(Duration::from_secs(2), udp.readable());
            ready.await.expect("a lost wake-up");
            received += udp.receive(256, |_, _| {}).received;
        }
        sender.join().unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(20), async {
            // One stale wake-up is allowed, a stream of them is not.
            udp.readable().await;
            udp.receive(256, |_, _| {});
            udp.readable().await;
        });
        assert!(quiet.await.is_err());
    });
}

#[test]
fn a_ring_can_be_made_and_dropped_again_and_again() {
    for _ in 0..50 {
        let socket = media_socket(([127, 0, 0, 1], 0).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (sender, _) = peer();
        let mut ring = uring::Ring::new(Sockets {
            port,
            of: [Some(socket), None],
        })
        .unwrap();
        sender.send_to(b"x", ("127.0.0.1", port)).unwrap();
        ring.receive(1, |_, _| {});
    }
}
