//! The server binary: reads the configuration, starts the cores, prints.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches, Command};
use ringhall::base::time::Time;
use ringhall::core::{Core, CoreId, Render, RenderForm, Setup};
use ringhall::io::{self, Backend, Bound, Engine, IoSettings};
use ringhall::ops::config::{Config, DtlsVersion, IoBackend, VideoCodecName};
use ringhall::ops::{metrics, rest};
use ringhall::proto::dtls::{Identity, MaxVersion};
use ringhall::signal::session::KeepAlive;
use ringhall::wire::codec::VideoCodec;

/// Read when it exists and `--config` names no other.
const DEFAULT_CONFIG: &str = "ringhall.properties";

fn main() -> ExitCode {
    match run(&command_line().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringhall: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command_line() -> Command {
    Command::new("ringhall")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Conferencing room server: browsers over WebRTC in one room")
        .arg(
            Arg::new("command")
                .value_parser(["serve"])
                .help("What to do [default: serve]"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Properties file [default: ringhall.properties if present]"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Sets one key, over the file"),
        )
        .arg(
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Prints the whole configuration and exits"),
        )
}

fn run(arguments: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let config = read_config(arguments)?;
    if arguments.get_flag("print-config") {
        print!("{}", config.print());
        return Ok(());
    }
    serve(&config)
}

fn read_config(arguments: &ArgMatches) -> Result<Config, Box<dyn Error>> {
    let named = arguments.get_one::<String>("config");
    let path = named.map_or(DEFAULT_CONFIG, String::as_str);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("cannot read {path}: {error}").into()),
    };
    let sets: Vec<String> = arguments
        .get_many::<String>("set")
        .map(|sets| sets.cloned().collect())
        .unwrap_or_default();
    Ok(Config::parse(
        text.as_deref().map(|text| (path, text)),
        &sets,
    )?)
}

fn serve(config: &Config) -> Result<(), Box<dyn Error>> {
    let configured: Vec<String> = config.ip.iter().map(IpAddr::to_string).collect();
    let announced = io::addresses::announced(&configured, config.ip_local)?;
    let certificate = io::certificate::certificate()?;
    let max_version = match config.dtls_max_version {
        DtlsVersion::V1_2 => MaxVersion::Dtls12,
        DtlsVersion::V1_3 => MaxVersion::Dtls13,
    };
    let identity = Identity::new(
        certificate.certificate,
        certificate.key,
        max_version,
        Instant::now(),
        None,
    )
    .ok_or("the DTLS settings were refused")?;
    let settings = IoSettings {
        backend: match config.io {
            IoBackend::Auto => Backend::Auto,
            IoBackend::Uring => Backend::Uring,
            IoBackend::Mmsg => Backend::Mmsg,
        },
        cores: usize::from(config.cores),
        web_port: config.ws_port,
        bind_ip: config.ip_local,
        media_port_from: config.media_port_from,
        render,
        print: |event| eprintln!("{event}"),
    };
    let template = Template {
        identity,
        addresses: announced.addresses.clone(),
        video_codecs: config.video_codecs.iter().map(video_codec).collect(),
        max_bitrate_kbps: (config.max_bitrate_kbps > 0).then_some(config.max_bitrate_kbps),
        keep_alive: KeepAlive {
            interval: config.keep_alive_server_interval,
            probes: config.keep_alive_probes,
        },
        seed: io::seed::seed()?,
    };
    let running = io::start(&settings, move |core, bound| {
        Core::new(Time::ZERO, template.setup(core, bound))
    })?;
    let bound = running.bound();
    for warning in announced.warnings.iter().chain(&bound.warnings) {
        eprintln!("warning: {warning}");
    }
    println!("{}", ready_line(bound, &announced.addresses));
    Ok(running.wait()?)
}

fn video_codec(name: &VideoCodecName) -> VideoCodec {
    match name {
        VideoCodecName::H264 => VideoCodec::H264,
        VideoCodecName::Vp8 => VideoCodec::Vp8,
    }
}

/// What every core's setup is made from, on that core's thread.
#[derive(Clone)]
struct Template {
    identity: Identity,
    addresses: Vec<IpAddr>,
    video_codecs: Vec<VideoCodec>,
    max_bitrate_kbps: Option<u32>,
    keep_alive: KeepAlive,
    /// The process's randomness; cores derive their own from it.
    seed: [u8; 32],
}

impl Template {
    fn setup(&self, core: CoreId, bound: &Bound) -> Setup {
        let port = bound.media_ports.get(usize::from(core.0)).copied();
        let usable = |ip: &&IpAddr| match ip {
            IpAddr::V4(_) => bound.has_ipv4,
            IpAddr::V6(_) => bound.has_ipv6,
        };
        let mut seed = self.seed;
        for (byte, mark) in seed.iter_mut().zip(core.0.to_le_bytes()) {
            *byte ^= mark;
        }
        Setup {
            core,
            cores: bound.media_ports.len() as u16,
            candidates: self
                .addresses
                .iter()
                .filter(usable)
                .filter_map(|ip| Some(SocketAddr::new(*ip, port?)))
                .collect(),
            identity: self.identity.clone(),
            video_codecs: self.video_codecs.clone(),
            max_bitrate_kbps: self.max_bitrate_kbps,
            keep_alive: self.keep_alive,
            unix_us_at_zero: bound.started_unix_us,
            seed,
            room_key: ringhall::base::hash::keyed_hash(1, &self.seed),
        }
    }
}

/// The line automation waits for: stable words, `key=value` pairs.
fn ready_line(bound: &Bound, addresses: &[IpAddr]) -> String {
    let first = bound.media_ports.first().copied().unwrap_or_default();
    let last = bound.media_ports.last().copied().unwrap_or_default();
    let engine = match bound.engine {
        Engine::Uring => "uring",
        Engine::Mmsg => "mmsg",
    };
    let ip: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    format!(
        "ready ws={} media={first}-{last} cores={} io={engine} ip={} why={:?}",
        bound.web,
        bound.media_ports.len(),
        ip.join(","),
        bound.why
    )
}

/// Runs on the render thread.
fn render(render: &Render) -> Vec<u8> {
    let (kind, body) = match render.form {
        RenderForm::RoomsJson => (rest::JSON_CONTENT_TYPE, rest::rooms_json(&render.snapshots)),
        RenderForm::Metrics => (
            metrics::CONTENT_TYPE,
            metrics::metrics_text(&render.snapshots),
        ),
    };
    rest::http_response(200, kind, body.as_bytes(), rest::Connection::Close, &[])
}
