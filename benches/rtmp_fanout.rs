//! What the server spends to send an RTMP publisher's stream to 10, 25 and 50
//! players, beside nginx with its RTMP module: the same publisher, the same
//! players, the same machine, one right after the other.
//!
//! `cargo bench --bench rtmp_fanout`. Needs `ffmpeg`, `rtmpdump`, `nginx` and
//! its RTMP module (Debian: `libnginx-mod-rtmp`).

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use shared::processes::Process;
use shared::samples::Samples;
use shared::verdict::Verdict;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod processes;
    pub mod samples;
    pub mod verdict;
}

/// Seconds of the film, which is published over and over. A window of this
/// length holds every one of its bytes once, wherever it begins.
const FILM_SECONDS: u64 = 6;
/// 720p at 30 frames a second, a key frame every 2 s, 2.6 Mbit/s, and a tone.
const FILM: &str = "-loglevel error -y -f lavfi -i testsrc2=s=1280x720:r=30,noise=alls=12:allf=t \
    -f lavfi -i sine=frequency=440:sample_rate=44100 -t 6 -pix_fmt yuv420p -c:v libx264 \
    -preset superfast -profile:v main -bf 0 -g 60 -b:v 2600k -minrate 2600k -maxrate 2600k \
    -bufsize 1300k -c:a aac -b:a 128k -ac 2 -f flv film.flv";
/// Where Debian puts it.
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// From the last player's first bytes to the window: a late player gets the
/// pictures since the last key frame at once, which is not what is measured.
const SETTLE: Duration = Duration::from_millis(1_000);
/// What a player must have got to be playing.
const PLAYING_BYTES: u64 = 100_000;
const START_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A player that gets less than this share of the film fails the run. On a busy
/// host the publisher or a player lags half a second at the end of a window.
const DELIVERED_MIN: f64 = 0.9;

const USAGE: &str = "options, behind `--`:
  --rounds N        windows of each server and number of players [default: 3]
  --players N[,N..] [default: 10,25,50]
  --only NAME       nginx or ringhall alone, for a profiler";

struct Options {
    rounds: usize,
    players: Vec<usize>,
    only: Option<String>,
    /// Run by `cargo test`: one round, and none where the peer is missing.
    is_test: bool,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            rounds: 3,
            players: vec![10, 25, 50],
            only: None,
            is_test: true,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => options.is_test = false,
                "--rounds" => options.rounds = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                "--players" => {
                    let players = value()?;
                    let players = players.split(',').map(str::parse);
                    options.players = players.collect::<Result<_, _>>()?;
                }
                other => return Err(format!("unknown argument {other}\n{USAGE}").into()),
            }
        }
        if options.is_test {
            (options.rounds, options.players) = (1, vec![10]);
        }
        Ok(options)
    }
}

/// A server under test, one worker thread, idle between its windows.
struct Server {
    name: &'static str,
    process: Process,
    port: u16,
}

impl Server {
    fn nginx(folder: &Path) -> Result<Self, Box<dyn Error>> {
        // Free when looked at; nginx cannot be asked which port it got.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let configuration = format!(
            "load_module {NGINX_MODULE};\ndaemon off;\nmaster_process off;\n\
             error_log stderr error;\npid {folder}/nginx.pid;\nevents {{}}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; access_log off; \
             application live {{ live on; }} }} }}\n",
            folder = folder.display()
        );
        fs::write(folder.join("nginx.conf"), configuration)?;
        let prefix = folder.to_string_lossy();
        let arguments = ["-p", &*prefix, "-c", "nginx.conf", "-e", "stderr"];
        let process = Process::start("nginx", &arguments, folder)?;
        Ok(Server {
            name: "nginx",
            process,
            port,
        })
    }

    fn ringhall(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let settings = [
            "cores=1",
            "ws.port=0",
            "wss.port=off",
            "rtmp.port=0",
            "media_port_from=0",
        ];
        let arguments: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
        let program = env!("CARGO_BIN_EXE_ringhall");
        let mut process = Process::start_mute(program, &arguments, folder)?;
        let ready = process.first_line()?;
        let port = ready
            .split_whitespace()
            .find_map(|word| word.strip_prefix("rtmp=")?.rsplit(':').next()?.parse().ok());
        Ok(Server {
            name: "ringhall",
            process,
            port: port.ok_or_else(|| format!("no RTMP port in {ready:?}"))?,
        })
    }
}

/// What one server cost with one number of players, window by window.
struct Row {
    players: usize,
    server: usize,
    ms_per_mb: Samples,
    /// Of what the film would have brought, the worst player's.
    delivered: Samples,
    core_percent: Samples,
    resident_mib: Samples,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rtmp_fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read()?;
    if let Some(missing) = missing() {
        if options.is_test {
            println!("rtmp_fanout: not run, {missing}");
            return Ok(true);
        }
        return Err(missing.into());
    }
    let folder = Folder::new()?;
    let film: Vec<&str> = FILM.split_whitespace().collect();
    Process::start("ffmpeg", &film, &folder.0)?.finish()?;
    let film_bytes = fs::metadata(folder.0.join("film.flv"))?.len();
    let servers = [Server::nginx(&folder.0)?, Server::ringhall(&folder.0)?];
    println!(
        "rtmp_fanout: {:.2} Mbit/s of H.264 and AAC, {} rounds of {FILM_SECONDS} s; load {}",
        film_bytes as f64 * 8e-6 / FILM_SECONDS as f64,
        options.rounds,
        fs::read_to_string("/proc/loadavg")?.trim()
    );
    let mut verdict = Verdict::default();
    let mut rows = Vec::new();
    for players in &options.players {
        let mut pair = rows_of(*players, &servers, &options);
        for round in 0..options.rounds {
            // In alternating order.
            if round > 0 {
                pair.reverse();
            }
            for row in &mut pair {
                let stream = format!("film-{players}-{round}");
                measure(row, &servers, &stream, film_bytes, &folder.0, &mut verdict)?;
            }
        }
        pair.sort_by_key(|row| row.server);
        rows.extend(pair);
    }
    print_table(&rows, &servers);
    println!("load {}", fs::read_to_string("/proc/loadavg")?.trim());
    Ok(verdict.print())
}

/// What this machine lacks.
fn missing() -> Option<String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    for program in ["ffmpeg", "rtmpdump", "nginx"] {
        if !std::env::split_paths(&folders).any(|folder| folder.join(program).is_file()) {
            return Some(format!("{program} is not installed"));
        }
    }
    (!Path::new(NGINX_MODULE).is_file())
        .then(|| format!("nginx lacks its RTMP module, {NGINX_MODULE}"))
}

/// A folder of this run's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let name = format!("ringhall-rtmp-fanout-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn rows_of(players: usize, servers: &[Server], options: &Options) -> Vec<Row> {
    let wanted = |server: &Server| {
        options
            .only
            .as_deref()
            .is_none_or(|only| only == server.name)
    };
    let servers = servers.iter().enumerate();
    servers
        .filter(|(_, server)| wanted(server))
        .map(|(server, _)| Row {
            players,
            server,
            ms_per_mb: Samples::default(),
            delivered: Samples::default(),
            core_percent: Samples::default(),
            resident_mib: Samples::default(),
        })
        .collect()
}

/// One window: a publisher and its players come, are measured, and go.
fn measure(
    row: &mut Row,
    servers: &[Server],
    stream: &str,
    film_bytes: u64,
    folder: &Path,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let server = &servers[row.server];
    let url = format!("rtmp://127.0.0.1:{}/live/{stream}", server.port);
    let film = "-loglevel error -re -stream_loop -1 -i film.flv -c copy -f flv";
    let publishing: Vec<&str> = film.split_whitespace().chain([url.as_str()]).collect();
    let _publisher = Process::start("ffmpeg", &publishing, folder)?;
    let mut players = vec![first_player(&url, folder)?];
    while players.len() < row.players {
        players.push(player(&url, folder)?);
    }
    let started = Instant::now();
    for player in &mut players {
        wait_until_playing(player, started)?;
    }
    sleep(SETTLE);
    let (before, cpu_before, from) = (written(&players)?, server.process.cpu_ns()?, Instant::now());
    sleep(Duration::from_secs(FILM_SECONDS));
    let (cpu_after, after) = (server.process.cpu_ns()?, written(&players)?);
    let seconds = from.elapsed().as_secs_f64();
    let got: Vec<u64> = before.iter().zip(&after).map(|(a, b)| b - a).collect();
    let due = film_bytes as f64 * seconds / FILM_SECONDS as f64;
    let least = got.iter().copied().min().unwrap_or(0) as f64 / due;
    let (total, cpu) = (
        got.iter().sum::<u64>() as f64,
        (cpu_after - cpu_before) as f64,
    );
    row.ms_per_mb.add(cpu * 1e-6 / (total * 1e-6));
    row.delivered.add(least);
    row.core_percent.add(cpu * 1e-9 / seconds * 100.0);
    row.resident_mib
        .add(server.process.resident_kib()? as f64 / 1_024.0);
    let (name, count) = (server.name, row.players);
    verdict.check(least >= DELIVERED_MIN, || {
        format!("{name}, {count} players: one got {least:.3} of the film")
    });
    let all_play = players.iter_mut().all(Process::is_running);
    verdict.check(all_play, || format!("{name}, {count} players: one ended"));
    Ok(())
}

fn player(url: &str, folder: &Path) -> Result<Process, Box<dyn Error>> {
    let arguments = ["--live", "-q", "-r", url, "-o", "/dev/null"];
    Process::start("rtmpdump", &arguments, folder)
}

/// Tries until there is a stream to play: nobody says when a publisher is there.
fn first_player(url: &str, folder: &Path) -> Result<Process, Box<dyn Error>> {
    let started = Instant::now();
    loop {
        let mut candidate = player(url, folder)?;
        let outcome = wait_until_playing(&mut candidate, started);
        match outcome {
            Ok(()) => return Ok(candidate),
            Err(error) if started.elapsed() > START_MAX => return Err(error),
            Err(_) => sleep(LOOK_EVERY),
        }
    }
}

fn wait_until_playing(player: &mut Process, started: Instant) -> Result<(), Box<dyn Error>> {
    while player.written_bytes()? < PLAYING_BYTES {
        if !player.is_running() || started.elapsed() > START_MAX {
            return Err("a player got nothing to play".into());
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

fn written(players: &[Process]) -> Result<Vec<u64>, Box<dyn Error>> {
    players.iter().map(Process::written_bytes).collect()
}

fn print_table(rows: &[Row], servers: &[Server]) {
    println!("\nms of CPU per MB sent: median [min - p90]\n");
    println!(
        "| players | server | ms per MB | of a core | delivered, worst player | MiB | ringhall / nginx |"
    );
    println!("|---:|---|---|---:|---:|---:|---:|");
    for row in rows {
        let name = servers[row.server].name;
        let peer = rows
            .iter()
            .find(|peer| peer.players == row.players && peer.server < row.server);
        let ratio = peer.map_or("".to_string(), |peer| {
            format!("{:.2}", row.ms_per_mb.over(&peer.ms_per_mb).median())
        });
        println!(
            "| {} | {name} | {:.2} | {:.1} % | {:.1} % | {:.1} | {ratio} |",
            row.players,
            row.ms_per_mb,
            row.core_percent.median(),
            row.delivered.median() * 100.0,
            row.resident_mib.median(),
        );
    }
}
