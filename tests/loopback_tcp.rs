//! Connections over real sockets, on both engines, and the ends of a server.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod stand_in;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use ringhall::core::border::CloseCause;
use ringhall::io::tls::pem;
use ringhall::io::{Backend, Running, StopError, start};
use ringhall::proto::tls::Identity;
use stand_in::{BODY_BYTES, BOTH, EVENTS_PRINTED, StandIn, body_byte, serve, settings, within};

const PATIENCE: Duration = Duration::from_secs(5);

fn connect(running: &Running) -> TcpStream {
    connect_to(SocketAddr::from((
        [127, 0, 0, 1],
        running.bound().web.port(),
    )))
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text.as_bytes());
}

#[test]
fn two_hundred_connections_share_one_port_and_all_cores() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 2));
        let port = running.bound().web.port();
        let mut streams: Vec<_> = (0..200)
            .map(|number| match number % 2 {
                0 => connect(&running),
                _ => connect_to(format!("[::1]:{port}").parse().unwrap()),
            })
            .collect();
        for round in 0..3 {
            for (number, stream) in streams.iter_mut().enumerate() {
                ask(stream, &format!("round {round} of {number}"));
            }
        }
        let by_core = [0, 1].map(|core| seen.accepted_by_core[core].load(SeqCst));
        assert_eq!(by_core[0] + by_core[1], 200);
        assert!(by_core.iter().all(|count| *count > 20), "{by_core:?}");
        drop(streams);
        let closed = within(PATIENCE, || seen.closed.lock().unwrap().len() == 200);
        assert!(closed, "{backend:?}");
        let closed = seen.closed.lock().unwrap();
        assert!(closed.iter().all(|cause| *cause == CloseCause::Ended));
        drop(closed);
        running.stop().unwrap();
    }
}

#[test]
fn a_long_message_comes_whole_and_in_order() {
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 1));
        let stream = connect(&running);
        let mut reader = stream.try_clone().unwrap();
        let message: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 / 5) as u8).collect();
        let sent = message.clone();
        let writer = std::thread::spawn(move || (&stream).write_all(&sent).map(|()| stream));
        let mut got = vec![0; message.len()];
        reader.read_exact(&mut got).unwrap();
        assert!(got == message, "{backend:?}");
        drop(writer.join().unwrap());
        running.stop().unwrap();
    }
}

#[test]
fn what_an_encoder_sends_in_pieces_comes_whole_and_in_order() {
    for backend in BOTH {
        let mut settings = settings(backend, 1);
        settings.rtmp_port = Some(0);
        let (running, seen) = serve(&settings);
        let stream = connect_to(running.bound().rtmp.unwrap());
        let mut reader = stream.try_clone().unwrap();
        let message: Vec<u8> = (0..600_000_u32).map(|n| (n * 7 / 5) as u8).collect();
        let sent = message.clone();
        let writer = std::thread::spawn(move || {
            // Some right after each other, some with time between them.
            for (number, piece) in sent.chunks(3_001).enumerate() {
                (&stream).write_all(piece).unwrap();
                if number % 5 == 0 {
                    std::thread::sleep(Duration::from_micros(700));
                }
            }
            stream
        });
        let mut got = vec![0; message.len()];
        reader.read_exact(&mut got).unwrap();
        assert!(got == message, "{backend:?}");
        let mut stream = writer.join().unwrap();
        ask(&mut stream, "still there?");
        drop((stream, reader));
        let ended = || *seen.closed.lock().unwrap() == [CloseCause::Ended];
        assert!(within(PATIENCE, ended), "{backend:?}");
        running.stop().unwrap();
    }
}

#[test]
fn a_reader_too_slow_is_cut_and_others_are_not() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let mut slow = connect(&running);
        let mut other = connect(&running);
        ask(&mut other, "before");
        slow.write_all(b"flood").unwrap();
        let cut = || *seen.closed.lock().unwrap() == [CloseCause::Overflow];
        assert!(within(PATIENCE, cut), "{backend:?}");
        ask(&mut other, "after");
        // It sees a reset, and nothing keeps its memory.
        let mut sink = vec![0; 1 << 20];
        let end = loop {
            match slow.read(&mut sink) {
                Ok(0) => break ErrorKind::UnexpectedEof,
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        let ended = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
        assert!(ended.contains(&end), "{backend:?} {end:?}");
        running.stop().unwrap();
    }
}

#[test]
fn closing_waits_for_what_is_written_but_not_for_ever() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let mut polite = connect(&running);
        polite.write_all(b"bye").unwrap();
        let mut got = Vec::new();
        polite.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), 500_000, "{backend:?}");
        drop(polite);
        let ended = || seen.closed.lock().unwrap().len() == 1;
        assert!(within(PATIENCE, ended), "{backend:?}");

        // This one reads on, slower than anybody waits for it.
        let mut slow = connect(&running);
        slow.write_all(b"bye").unwrap();
        let (mut got, mut piece) = (0, vec![0; 25_000]);
        loop {
            std::thread::sleep(Duration::from_millis(150));
            match slow.read(&mut piece).unwrap() {
                0 => break,
                len => got += len,
            }
        }
        assert_eq!(got, 500_000, "{backend:?}");
        drop(slow);
        let ended = || seen.closed.lock().unwrap().len() == 2;
        assert!(within(PATIENCE, ended), "{backend:?}");

        // This one neither reads on nor closes.
        let mut stubborn = connect(&running);
        stubborn.write_all(b"bye").unwrap();
        let ended = || seen.closed.lock().unwrap().len() == 3;
        assert!(within(2 * PATIENCE, ended), "{backend:?}");
        running.stop().unwrap();
    }
}

#[test]
fn a_half_closed_peer_gets_its_answer_and_a_reset_is_a_failure() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let mut half = connect(&running);
        half.write_all(b"only this").unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        half.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"only this", "{backend:?}");

        let mut rude = connect(&running);
        ask(&mut rude, "hello");
        rude.write_all(b"unread").unwrap();
        // Unread data in our socket makes the kernel reset.
        std::thread::sleep(Duration::from_millis(100));
        drop(rude);
        let both = || seen.closed.lock().unwrap().len() == 2;
        assert!(within(PATIENCE, both), "{backend:?}");
        let closed = seen.closed.lock().unwrap().clone();
        assert_eq!(
            closed,
            [CloseCause::Ended, CloseCause::Failed],
            "{backend:?}"
        );
        running.stop().unwrap();
    }
}

#[test]
fn renders_events_and_deadlines_come_round() {
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 1));
        let mut stream = connect(&running);
        let printed = EVENTS_PRINTED.load(SeqCst);
        stream.write_all(b"event").unwrap();
        assert!(within(PATIENCE, || EVENTS_PRINTED.load(SeqCst) > printed));
        assert_eq!(running.unprinted_events(), 0);
        let mut lates_us = Vec::new();
        for _ in 0..20 {
            stream.write_all(b"timer").unwrap();
            let mut late = [0; 8];
            stream.read_exact(&mut late).unwrap();
            let text = std::str::from_utf8(&late).unwrap();
            lates_us.push(text.trim().parse::<u64>().unwrap());
        }
        lates_us.sort_unstable();
        assert!(lates_us[10] < 1_000, "{backend:?} late by {lates_us:?} us");
        stream.write_all(b"render").unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).unwrap();
        assert_eq!(got, "rendered Metrics");
        running.stop().unwrap();
    }
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 2));
        let mut second = settings(backend, 1);
        second.web_port = running.bound().web.port();
        let error = start(&second, |_, _| -> StandIn { unreachable!() });
        let text = error.map(|_| ()).unwrap_err().to_string();
        let expected = format!("TCP port {} is already in use", second.web_port);
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.contains("ws.port"), "{text}");

        second.web_port = 0;
        second.media_port_from = running.bound().media_ports[0];
        let error = start(&second, |_, _| -> StandIn { unreachable!() });
        let text = error.map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("media_port_from"), "{text}");
        running.stop().unwrap();

        // Its ports are free again at once.
        let mut third = settings(backend, 1);
        third.web_port = connect_and_reuse(backend);
        serve(&third).0.stop().unwrap();
    }
}

/// A port whose server has just stopped with a connection open.
fn connect_and_reuse(backend: Backend) -> u16 {
    let (running, _) = serve(&settings(backend, 1));
    let port = running.bound().web.port();
    let mut stream = connect(&running);
    ask(&mut stream, "hello");
    running.stop().unwrap();
    port
}

#[test]
fn a_second_door_serves_beside_the_first() {
    for backend in BOTH {
        let mut both = settings(backend, 2);
        both.tls_port = Some(0);
        let (running, seen) = serve(&both);
        let sealed = running.bound().wss.unwrap();
        assert_ne!(sealed.port(), running.bound().web.port());
        let mut streams: Vec<_> = (0..60)
            .map(|number| match number % 2 {
                0 => connect(&running),
                _ => connect_to(([127, 0, 0, 1], sealed.port()).into()),
            })
            .collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            ask(stream, &format!("number {number}"));
        }
        assert_eq!(seen.accepted_by_tls.load(SeqCst), 30, "{backend:?}");
        let by_core = [0, 1].map(|core| seen.accepted_by_core[core].load(SeqCst));
        assert_eq!(by_core[0] + by_core[1], 60);

        let mut second = settings(backend, 1);
        second.tls_port = Some(sealed.port());
        let error = start(&second, |_, _| -> StandIn { unreachable!() });
        let text = error.map(|_| ()).unwrap_err().to_string();
        let expected = format!("TCP port {} is already in use", sealed.port());
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.contains("set wss.port"), "{text}");
        drop(streams);
        running.stop().unwrap();
    }
}

#[test]
fn without_a_second_door_there_is_none() {
    let (running, _) = serve(&settings(Backend::Mmsg, 1));
    assert_eq!(running.bound().wss, None);
    running.stop().unwrap();
}

#[test]
fn a_long_body_goes_out_at_its_readers_pace() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let mut slow = connect(&running);
        slow.write_all(b"body").unwrap();
        let mut got = vec![0; 100_000];
        slow.read_exact(&mut got).unwrap();
        // What is not read stays unwritten, but for the kernel's own buffers.
        let handed = || seen.body_bytes.load(SeqCst);
        let mut before = handed();
        while {
            std::thread::sleep(Duration::from_millis(150));
            handed() != before
        } {
            before = handed();
        }
        assert!(
            before < BODY_BYTES as u64 - (1 << 20),
            "{backend:?} {before}"
        );
        // The core serves others meanwhile.
        let mut other = connect(&running);
        ask(&mut other, "meanwhile");
        slow.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), BODY_BYTES, "{backend:?}");
        let differs = got
            .iter()
            .enumerate()
            .position(|(at, byte)| *byte != body_byte(at));
        assert_eq!(differs, None, "{backend:?}");
        let pieces = BODY_BYTES.div_ceil(64 << 10) as u64;
        assert_eq!(seen.drained.load(SeqCst), pieces + 1, "{backend:?}");
        drop(slow);
        let ended = || *seen.closed.lock().unwrap() == [CloseCause::Ended];
        assert!(within(PATIENCE, ended), "{backend:?}");
        running.stop().unwrap();
    }
}

#[test]
fn what_has_left_is_told_once_and_never_after_the_end() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 1));
        let mut stream = connect(&running);
        stream.write_all(b"drain").unwrap();
        let mut got = vec![0; 300_000];
        stream.read_exact(&mut got).unwrap();
        let told = |count: u64| seen.drained.load(SeqCst) == count;
        assert!(within(PATIENCE, || told(1)), "{backend:?}");
        ask(&mut stream, "nothing asked");
        assert!(told(1), "{backend:?}");

        // This one leaves in the middle of a body: the machine would panic if
        // it were told of a connection it knows the end of.
        let mut rude = connect(&running);
        rude.write_all(b"body").unwrap();
        rude.read_exact(&mut got).unwrap();
        drop(rude);
        let ended = || seen.closed.lock().unwrap().len() == 1;
        assert!(within(PATIENCE, ended), "{backend:?}");
        ask(&mut stream, "still here");
        drop(stream);
        running.stop().unwrap();
    }
}

#[test]
fn a_new_certificate_reaches_every_sleeping_core() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 2));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let certificate = pem::encode("CERTIFICATE", certificate.der());
        let key = pem::encode("PRIVATE KEY", &key.serialize_der());
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes());
        let handle = running.handle();
        let identity = identity.unwrap();
        for round in 1..=50 {
            let handle = handle.clone();
            let identity = identity.clone();
            let sender = std::thread::spawn(move || handle.replace_certificate(&identity));
            sender.join().unwrap();
            for core in 0..2 {
                let had = || seen.certificates_by_core[core].load(SeqCst) == round;
                assert!(
                    within(PATIENCE, had),
                    "{backend:?} core {core} round {round}"
                );
            }
        }
        running.stop().unwrap();
        handle.replace_certificate(&identity);
    }
}

#[test]
fn a_stopping_server_says_goodbye() {
    for backend in BOTH {
        let (running, seen) = serve(&settings(backend, 2));
        let mut streams: Vec<_> = (0..10).map(|_| connect(&running)).collect();
        for stream in &mut streams {
            ask(stream, "hello");
        }
        let readers: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                std::thread::spawn(move || {
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).map(|_| got)
                })
            })
            .collect();
        let start = Instant::now();
        running.stop().unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{backend:?}");
        for reader in readers {
            assert_eq!(reader.join().unwrap().unwrap(), b"stopping");
        }
        assert_eq!(seen.shut_down.load(SeqCst), 2);
        assert_eq!(seen.closed.lock().unwrap().len(), 10);
    }
}

#[test]
fn a_stop_does_not_wait_for_the_stubborn() {
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 1));
        let mut stream = connect(&running);
        ask(&mut stream, "hello");
        let start = Instant::now();
        running.stop().unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_millis(2_800), "{backend:?} {took:?}");
    }
}

#[test]
fn a_panicking_core_stops_the_server_with_an_error() {
    for backend in BOTH {
        let (running, _) = serve(&settings(backend, 2));
        let mut stream = connect(&running);
        let mut bystander = connect(&running);
        ask(&mut bystander, "hello");
        stream.write_all(b"panic").unwrap();
        match running.wait() {
            Err(StopError::Core { why, .. }) => assert_eq!(why, "panicked: as told"),
            other => panic!("{backend:?}: {other:?}"),
        }
    }
}

/// Runs in a process of its own, started by `a_signal_stops_the_process`.
#[test]
fn child_for_signals() {
    let Ok(backend) = std::env::var("RINGHALL_TEST_CHILD") else {
        return;
    };
    let backend = if backend == "Uring" {
        Backend::Uring
    } else {
        Backend::Mmsg
    };
    let (running, _) = serve(&settings(backend, 2));
    eprintln!("port={}", running.bound().web.port());
    running.wait().unwrap();
}

fn spawn_child(backend: Backend) -> (Child, u16) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_for_signals", "--nocapture"])
        .env("RINGHALL_TEST_CHILD", format!("{backend:?}"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    // The real program starts the server before it has other threads; the test
    // runner has one more, which must not take the signal either.
    // SAFETY: only calls that are allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            Ok(())
        })
    };
    let mut child = command.spawn().unwrap();
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    let port = told.trim().strip_prefix("port=").unwrap().parse();
    (child, port.unwrap())
}

#[test]
fn a_signal_stops_the_process() {
    for backend in BOTH {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let (mut child, port) = spawn_child(backend);
            let mut stream = connect_to(([127, 0, 0, 1], port).into());
            ask(&mut stream, "hello");
            let start = Instant::now();
            // SAFETY: signals a child of ours that was not yet waited for.
            unsafe { libc::kill(child.id() as libc::pid_t, signal) };
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"stopping", "{backend:?}");
            drop(stream);
            let status = child.wait().unwrap();
            assert!(status.success(), "{backend:?} {status}");
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
}
