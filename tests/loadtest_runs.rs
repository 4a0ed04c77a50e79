//! The load generator against the shipped server: whoever comes is served and
//! counted, over each dialect of ours, and whoever is refused is counted by cause.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

struct Server {
    child: Child,
    port: u16,
    /// Where it takes RTMP, if it does.
    rtmp: Option<u16>,
    /// Where it is inside TLS, if it is.
    wss: Option<u16>,
}

/// The port of the ready line's address `name`.
fn port_of(ready: &str, name: &str) -> Option<u16> {
    let address = ready.split(' ').find_map(|word| word.strip_prefix(name))?;
    address.rsplit(':').next()?.parse().ok()
}

impl Server {
    fn start(settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringhall"));
        command.arg("serve");
        let usual = [
            "ws.port=0",
            "wss.port=off",
            "rtmp.port=off",
            "media_port_from=0",
            "ip=127.0.0.1",
            "cores=2",
        ];
        for setting in usual.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("ready")));
        let ready = ready.unwrap().unwrap();
        // What it prints later is read by nobody, and must not stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        Server {
            child,
            port: port_of(&ready, "ws=").unwrap(),
            rtmp: port_of(&ready, "rtmp="),
            wss: port_of(&ready, "wss="),
        }
    }

    /// A run against it: its report, and whether it held.
    fn load(&self, name: &str, arguments: &[&str]) -> (Value, bool) {
        let file: PathBuf = std::env::temp_dir().join(format!("{name}-{}.json", self.port));
        let port = self.port;
        let (port, s) = self.wss.map_or((port, ""), |port| (port, "s"));
        let url = if arguments.contains(&"whip") {
            format!("http{s}://127.0.0.1:{port}")
        } else if arguments.contains(&"rtmp") {
            format!("rtmp://127.0.0.1:{}/live", self.rtmp.unwrap())
        } else {
            format!("ws{s}://127.0.0.1:{port}")
        };
        let done = Command::new(env!("CARGO_BIN_EXE_ringhall"))
            .args([
                "loadtest",
                "--quiet",
                "--warm-up",
                "0.5",
                "--duration",
                "1.5",
            ])
            .args(["--url", &url])
            .args(["--pid", &self.child.id().to_string()])
            .args([
                "--metrics-url",
                &format!("http://127.0.0.1:{}/metrics", self.port),
            ])
            .arg("--json")
            .arg(&file)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let text = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{said}"));
        std::fs::remove_file(&file).unwrap();
        (serde_json::from_str(&text).unwrap(), done.status.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn everybody_is_served_and_counted_in_each_dialect() {
    let server = Server::start(&["spread_above=0"]);
    for (name, arguments, joins) in [
        ("official", &["--viewers", "3"][..], 4),
        (
            "meeting",
            &["--meeting", "3", "--video", "vp8", "--bitrate-kbps", "300"],
            9,
        ),
        (
            "whip",
            &["--dialect", "whip", "--viewers", "2", "--processes", "2"],
            3,
        ),
        (
            "audio",
            &["--viewers", "2", "--video", "none", "--rooms", "2"],
            6,
        ),
    ] {
        let (report, held) = server.load(name, arguments);
        let figures = &report["figures"];
        assert!(held, "{name}: {report:#}");
        assert_eq!(figures["joins_ok"], joins, "{name}: {figures:#}");
        assert!(
            figures["packets_received"].as_u64().unwrap() > 100,
            "{name}"
        );
        assert_eq!(figures["packets_lost"], 0, "{name}");
        assert_eq!(figures["duplicates"], 0, "{name}");
        assert!(figures["server_cpu_us_per_packet"].as_f64().unwrap() > 0.0);
        assert!(report["baseline"]["count"].as_u64().unwrap() > 50);
        assert!(report["metrics"]["packets_forwarded"].as_f64().unwrap() > 100.0);
        assert_eq!(
            report["steps"]["first_key_frame"]["count"].as_u64(),
            report["steps"]["first_packet"]["count"].as_u64()
        );
    }
}

#[test]
fn encoders_and_players_are_served_and_counted() {
    let server = Server::start(&["rtmp.port=0"]);
    let rtmp = ["--dialect", "rtmp", "--rooms", "2"];
    for (name, more, joins, streams_of_two_tracks) in [
        // Each viewer plays both publishers.
        (
            "rtmp",
            &["--publishers", "2", "--viewers", "2"][..],
            12,
            true,
        ),
        ("slow", &["--viewers", "2", "--slow-readers", "1"], 6, true),
        ("seen", &["--viewers", "1", "--audio", "none"], 4, false),
        ("heard", &["--viewers", "1", "--video", "none"], 4, false),
    ] {
        let (report, held) = server.load(name, &[&rtmp, more].concat());
        let figures = &report["figures"];
        assert!(held, "{name}: {report:#}");
        assert_eq!(figures["joins_ok"], joins, "{name}: {figures:#}");
        assert_eq!(figures["delivered"], 100.0, "{name}: {figures:#}");
        assert_eq!(figures["duplicates"], 0, "{name}");
        assert_eq!(figures["reordered"], 0, "{name}");
        let least = if streams_of_two_tracks { 200 } else { 50 };
        assert!(
            figures["packets_received"].as_u64().unwrap() > least,
            "{name}: {figures:#}"
        );
        assert!(figures["latency_p50_ms"].as_f64().unwrap() > 0.0, "{name}");
        let steps = &report["steps"];
        let count = |step: &str| steps[step]["count"].as_u64().unwrap_or(0);
        assert_eq!(count("connected"), joins, "{name}: {steps:#}");
        assert_eq!(count("publishing") + count("playing"), joins, "{name}");
        assert_eq!(count("first_key_frame"), count("playing"), "{name}");
    }
}

#[test]
fn who_is_inside_tls_is_served_by_whom_they_trust() {
    let folder = std::env::temp_dir().join(format!("loadtest-tls-{}", std::process::id()));
    let start = |name: &str| {
        let own = folder.join(name);
        let server = Server::start(&["wss.port=0", &format!("tls.dir={}", own.display())]);
        (server, own.join("cert.pem").display().to_string())
    };
    std::fs::create_dir(&folder).unwrap();
    let (server, ca) = start("server");
    let (other, stranger) = start("other");
    let ca = ca.as_str();
    for (name, arguments) in [
        ("wss", &["--viewers", "1", "--ca", ca][..]),
        ("insecure", &["--viewers", "1", "--insecure"]),
        (
            "https",
            &["--viewers", "1", "--dialect", "whip", "--ca", ca],
        ),
    ] {
        let (report, held) = server.load(name, arguments);
        assert!(held, "{name}: {report:#}");
        assert_eq!(report["figures"]["joins_ok"], 2, "{name}");
    }
    let (report, held) = server.load("stranger", &["--ca", &stranger]);
    assert!(!held);
    let failures = report["failures"].as_object().unwrap();
    assert!(
        failures.keys().all(|cause| cause.contains("certificate")),
        "{failures:?}"
    );
    assert_eq!(report["figures"]["joins_ok"], 0);
    drop((server, other));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_bad_line_is_repaired_and_told() {
    let server = Server::start(&[]);
    let (report, _) = server.load(
        "lossy",
        &[
            "--viewers",
            "2",
            "--audio",
            "none",
            "--loss-percent",
            "3",
            "--seed",
            "7",
        ],
    );
    let counts = &report["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    assert!(count("nacks_sent") > 0, "{report:#}");
    assert!(count("retransmissions_received") > 0, "{report:#}");
}

#[test]
fn who_is_refused_is_counted_by_cause() {
    let server = Server::start(&["room.max_participants=2"]);
    let (report, held) = server.load("full", &["--viewers", "3"]);
    assert!(!held, "three of four do not fit");
    let failures = report["failures"].as_object().unwrap();
    let full = failures.iter().find(|(cause, _)| cause.contains("refused"));
    assert_eq!(
        full.map(|(_, count)| count.as_u64()),
        Some(Some(2)),
        "{failures:?}"
    );
}

#[test]
fn a_broken_threshold_is_a_failure() {
    let server = Server::start(&[]);
    let arguments = [
        "--viewers",
        "1",
        "--thresholds",
        "delivered>=99,packets_received>1000000",
    ];
    let (report, held) = server.load("threshold", &arguments);
    assert!(!held);
    assert_eq!(report["figures"]["joins_failed"], 0);
}
