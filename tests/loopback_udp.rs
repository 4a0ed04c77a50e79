//! Media over real sockets, on both engines.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod stand_in;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ringhall::io::addresses::announced;
use ringhall::io::{Backend, Engine, Running, start};
use stand_in::{BOTH, StandIn, serve, settings, within};

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
        let counted = || {
            let losses = running.losses()[0];
            seen.datagrams.load(SeqCst) + losses.unusable + losses.kernel
        };
        flood(&running, COUNT / 2);
        assert!(
            within(PATIENCE, || counted() == COUNT),
            "{backend:?} {}",
            counted()
        );

        // More than the kernel can keep for a core that is busy elsewhere.
        let socket = client(&running, 0, local_v4());
        socket.send(b"stall").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        flood(&running, COUNT);
        let all = 3 * COUNT + 1;
        assert!(
            within(PATIENCE, || counted() == all),
            "{backend:?} {}",
            counted()
        );

        let longest = seen.longest_turn_datagrams.load(SeqCst);
        assert!(longest <= 256, "{backend:?}: a turn of {longest}");
        // The receive did not end with the flood.
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

/// `count` datagrams at once to each family's socket.
fn flood(running: &Running, count: u64) {
    let senders = [local_v4(), "::1".parse().unwrap()].map(|ip| {
        let socket = client(running, 0, ip);
        std::thread::spawn(move || {
            for _ in 0..count {
                socket.send(&[0; 1_200]).unwrap();
            }
        })
    });
    for sender in senders {
        sender.join().unwrap();
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
                let _ = socket.send(&[1; 200]);
            }
        });
        // From here on the core never finds its sockets empty.
        let busy = || seen.datagrams.load(SeqCst) > 5_000;
        assert!(within(PATIENCE, busy), "{backend:?}");
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
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
        let longest = seen.longest_turn_datagrams.load(SeqCst);
        assert_eq!(longest, 256, "{backend:?} was not busy");
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

/// Runs in a process of its own, where io_uring is refused.
#[test]
fn child_without_io_uring() {
    if std::env::var("RINGHALL_TEST_CHILD").is_err() {
        return;
    }
    let (running, _) = serve(&settings(Backend::Auto, 2));
    assert_eq!(running.bound().engine, Engine::Mmsg);
    let why = &running.bound().why;
    assert!(why.contains("EPERM") && why.contains("seccomp"), "{why}");
    let socket = client(&running, 1, local_v4());
    socket.send(b"hello").unwrap();
    assert_eq!(socket.recv(&mut [0; 10]).unwrap(), 5);
    running.stop().unwrap();

    let refused = start(&settings(Backend::Uring, 1), |_, _| -> StandIn {
        unreachable!()
    });
    let text = refused.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("EPERM") && text.contains("io=auto"), "{text}");
}

#[test]
fn a_container_that_refuses_io_uring_is_served_without() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_without_io_uring"])
        .env("RINGHALL_TEST_CHILD", "1");
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(refuse_io_uring) };
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}

/// What Docker's default profile does: io_uring_setup fails with EPERM.
fn refuse_io_uring() -> std::io::Result<()> {
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // The number of the system call comes first.
        step(LOAD, 0, 0, 0),
        step(JUMP_IF, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, EPERM),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program during the call.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
