//! Recordings from the shipped server over real sockets, on both engines: whole,
//! in parts, while they are written, to slow readers, and to nobody's harm.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const FILM_BYTES: usize = 9_000_001;

fn film_byte(at: usize) -> u8 {
    (at * 7 / 5) as u8
}

struct Server {
    process: Child,
    address: String,
    folder: PathBuf,
}

impl Server {
    fn start(io: &str) -> Self {
        static ISSUED: AtomicU32 = AtomicU32::new(0);
        let number = ISSUED.fetch_add(1, Relaxed);
        let name = format!("ringhall-recordings-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let film: Vec<u8> = (0..FILM_BYTES).map(film_byte).collect();
        std::fs::write(folder.join("film.mp4"), &film).unwrap();
        std::fs::write(folder.join("live.mp4.part"), &film[..1_000]).unwrap();
        let records = format!("records_dir={}", folder.display());
        let io = format!("io={io}");
        let sets = [
            "ws.port=0",
            "wss.port=off",
            "rtmp.port=off",
            "media_port_from=0",
            "cores=1",
            &io,
            &records,
        ];
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringhall"))
            .args(sets.iter().flat_map(|set| ["--set", *set]))
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        let web = ready.split("ws=").nth(1).unwrap().split(' ').next();
        let port = web.unwrap().rsplit(':').next().unwrap();
        Server {
            process,
            address: format!("127.0.0.1:{port}"),
            folder,
        }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        BufReader::new(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn send(stream: &mut BufReader<TcpStream>, line: &str, more: &str) {
    let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
}

/// Status and length of an answer, read up to its body.
fn head(stream: &mut BufReader<TcpStream>) -> (u16, usize) {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            return (status, length);
        }
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        }
        if let Some(rest) = line.strip_prefix("Content-Length: ") {
            length = rest.parse().unwrap();
        }
    }
}

fn film_from(stream: &mut BufReader<TcpStream>, from: usize, len: usize) {
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    let wrong = (0..len).find(|at| body[*at] != film_byte(from + at));
    assert_eq!(wrong, None);
}

#[test]
fn a_film_comes_whole_and_in_parts() {
    for io in ["auto", "mmsg"] {
        let server = Server::start(io);
        let mut stream = server.connect();
        send(&mut stream, "GET /client/records/film.mp4", "");
        assert_eq!(head(&mut stream), (200, FILM_BYTES));
        film_from(&mut stream, 0, FILM_BYTES);
        // The connection serves on.
        let range = "Range: bytes=5000000-8500000\r\n";
        send(&mut stream, "GET /client/records/film.mp4", range);
        assert_eq!(head(&mut stream), (206, 3_500_001));
        film_from(&mut stream, 5_000_000, 3_500_001);
        send(&mut stream, "HEAD /client/records/film.mp4", "");
        assert_eq!(head(&mut stream), (200, FILM_BYTES));
        let beyond = "Range: bytes=9000001-\r\n";
        send(&mut stream, "GET /client/records/film.mp4", beyond);
        let (status, length) = head(&mut stream);
        assert_eq!(status, 416);
        std::io::copy(
            &mut stream.by_ref().take(length as u64),
            &mut std::io::sink(),
        )
        .unwrap();
        send(&mut stream, "GET /client/records/live.mp4", "");
        assert_eq!(head(&mut stream), (200, 1_000));
        film_from(&mut stream, 0, 1_000);
        send(&mut stream, "GET /api/records", "");
        let (status, length) = head(&mut stream);
        let mut json = vec![0; length];
        stream.read_exact(&mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(status == 200 && json.contains("\"live.mp4\""), "{json}");
    }
}

#[test]
fn slow_and_vanished_readers_keep_nobody_waiting() {
    let server = Server::start("auto");
    let mut slow = server.connect();
    send(&mut slow, "GET /client/records/film.mp4", "");
    assert_eq!(head(&mut slow).0, 200);
    for _ in 0..20 {
        let mut gone = server.connect();
        send(&mut gone, "GET /client/records/film.mp4", "");
        assert_eq!(head(&mut gone).0, 200);
    }
    let mut other = server.connect();
    send(&mut other, "GET /client/records/film.mp4", "");
    assert_eq!(head(&mut other), (200, FILM_BYTES));
    film_from(&mut other, 0, FILM_BYTES);
    film_from(&mut slow, 0, FILM_BYTES);
}
