//! Media over real sockets, on both engines.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod stand_in;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ringhall::io::addresses::announced;
use ringhall::io::{Backend, Engine, Running};
use stand_in::{BOTH, serve, settings, within};

const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that hears `ip` and nobody else, as a browser does.
fn client(running: &Running, core: usize, ip: IpAddr) -> UdpSocket {
    let any = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    let server = SocketAddr::new(ip, running.bound().media_ports[core]);
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn local_v4() -> IpAddr {
    [127, 0, 0, 1].into()
}

#[test]
fn every_local_address_answers_as_itself() {
    let mut mine = announced(&[], None).unwrap().addresses;
    // Loopback has more addresses than its interface shows.
    mine.push([127, 0, 0, 77].into());
    assert!(mine.len() >= 2, "{mine:?}");
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 2));
        for core in [0, 1] {
            for ip in &mine {
                let socket = client(&running, core, *ip);
                let text = format!("to {ip} on core {core}");
                socket.send(text.as_bytes()).unwrap();
                let mut got = [0; 100];
                let len = socket.recv(&mut got).unwrap_or_else(|error| {
                    panic!("{backend:?}: no answer from {ip} on core {core}: {error}")
                });
                assert_eq!(&got[..len], text.as_bytes());
            }
        }
        running.stop().unwrap();
    }
}

#[test]
fn a_train_arrives_as_its_datagrams_in_order() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        for ip in [local_v4(), "::1".parse().unwrap()] {
            let socket = client(&running, 0, ip);
            socket.send(b"train").unwrap();
            for number in 0..9_u8 {
                let mut got = [0xff; 2_000];
                let len = socket.recv(&mut got).unwrap();
                assert_eq!(len, if number == 8 { 700 } else { 1_200 });
                assert!(got[..len].iter().all(|byte| *byte == number));
            }
        }
        running.stop().unwrap();
        let sum = *seen.reports.lock().unwrap();
        assert_eq!((sum.trains, sum.datagrams_sent), (2, 18), "{backend:?}");
        assert_eq!((sum.send_full, sum.send_failed), (0, 0));
    }
}

#[test]
fn datagrams_of_any_length_come_through_and_longer_ones_are_counted() {
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 1));
        let socket = client(&running, 0, local_v4());
        for len in [1, 2, 1_199, 1_472, 1_499, 1_500] {
            socket.send(&vec![7; len]).unwrap();
            let mut got = [0; 3_000];
            assert_eq!(socket.recv(&mut got).unwrap(), len, "{backend:?}");
            assert!(got[..len].iter().all(|byte| *byte == 7));
        }
        for len in [1_501, 1_936, 1_937, 2_048, 9_000, 65_000] {
            socket.send(&vec![7; len]).unwrap();
        }
        let all = within(PATIENCE, || running.losses()[0].unusable == 6);
        assert!(all, "{backend:?} {:?}", running.losses());
        // An empty one is a datagram, too; and service goes on.
        socket.send(&[]).unwrap();
        socket.send(b"still there").unwrap();
        let mut got = [0; 100];
        let len = socket.recv(&mut got).unwrap();
        assert_eq!(&got[..len], b"still there");
        running.stop().unwrap();
    }
}

#[test]
fn an_overload_is_counted_to_the_last_datagram() {
    const COUNT: u64 = 10_000;
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let senders: Vec<_> = [local_v4(), "::1".parse().unwrap()]
            .map(|ip| client(&running, 0, ip))
            .into_iter()
            .map(|socket| {
                std::thread::spawn(move || {
                    for _ in 0..COUNT / 2 {
                        socket.send(&[0; 1_200]).unwrap();
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        let counted = || {
            let losses = running.losses()[0];
            seen.datagrams.load(SeqCst) + losses.unusable + losses.kernel
        };
        assert!(
            within(PATIENCE, || counted() == COUNT),
            "{backend:?} {}",
            counted()
        );
        let longest = seen.longest_turn_datagrams.load(SeqCst);
        assert!(longest <= 256, "{backend:?}: a turn of {longest}");
        // The receive did not end with the flood.
        let socket = client(&running, 0, local_v4());
        socket.send(b"still there").unwrap();
        let mut got = [0; 100];
        assert_eq!(socket.recv(&mut got).unwrap(), 11);
        println!(
            "{backend:?}: {} received, {:?}, {} exhausted, longest turn {longest}",
            seen.datagrams.load(SeqCst),
            running.losses()[0],
            seen.reports.lock().unwrap().receive_exhausted,
        );
        running.stop().unwrap();
    }
}

#[test]
fn connections_are_served_during_a_flood_of_media() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let socket = client(&running, 0, local_v4());
        let over = Arc::new(AtomicBool::new(false));
        let flooding = Arc::clone(&over);
        let flood = std::thread::spawn(move || {
            while !flooding.load(SeqCst) {
                let _ = socket.send(&[0; 200]);
            }
        });
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let start = Instant::now();
            let web = SocketAddr::new(local_v4(), running.bound().web.port());
            let mut stream = TcpStream::connect(web).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            slowest = slowest.max(start.elapsed());
        }
        over.store(true, SeqCst);
        flood.join().unwrap();
        let handled = seen.datagrams.load(SeqCst);
        println!("{backend:?}: slowest {slowest:?} beside {handled} datagrams");
        assert!(handled > 1_000);
        assert!(slowest < Duration::from_secs(1), "{backend:?} {slowest:?}");
        running.stop().unwrap();
    }
}

#[test]
fn an_idle_server_does_not_turn() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let socket = client(&running, 0, local_v4());
        let mut got = [0; 100];
        for _ in 0..100 {
            socket.send(b"ping").unwrap();
            socket.recv(&mut got).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        let before = seen.turns.load(SeqCst);
        assert!(
            before < 400,
            "{backend:?}: {before} turns for 100 datagrams"
        );
        std::thread::sleep(Duration::from_millis(300));
        let after = seen.turns.load(SeqCst);
        assert_eq!(before, after, "{backend:?} turns although nothing happens");
        running.stop().unwrap();
    }
}

#[test]
fn auto_takes_io_uring_where_it_works() {
    let (running, _) = serve(&settings(Backend::Auto, 1));
    assert_eq!(running.bound().engine, Engine::Uring);
    assert!(running.bound().why.contains("io_uring"));
    assert!(running.bound().has_ipv4);
    running.stop().unwrap();
}
