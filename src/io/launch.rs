//! From a configuration to a running server: every setting reaches the part it
//! is for here.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::records::Records;
use super::records::store::SyncPolicy;
use super::render::Renderer;
use super::shelf::Shelf;
use super::tls::own;
use super::tls::pem::PemFiles;
use super::tls::watch::{News, WATCH_INTERVAL, Watch, Watched};
use super::{
    Backend, Bound, DeskSettings, Engine, IoSettings, Running, StopError, addresses, certificate,
    seed, start, unix_us,
};
use crate::base::hash::keyed_hash;
use crate::base::time::Span;
use crate::base::time::Time;
use crate::core::record::RecordRules;
use crate::core::{Core, CoreId, RateSettings, Rules, Setup, video_codec};
use crate::ops::access::Access;
use crate::ops::config::{Config, DtlsVersion, IoBackend, RecordAudio, RecordSync, ShiftOrigin};
use crate::ops::event::Event;
use crate::proto::dtls::{Identity, MaxVersion};
use crate::proto::tls;
use crate::record::writer::Durability;
use crate::signal::session::KeepAlive;
use crate::wire::codec::VideoCodec;

/// A server that serves.
pub struct Launched {
    running: Running,
    /// The line automation waits for: stable words, `key=value` pairs.
    pub ready: String,
    /// For the operator: what works, but not as well as it should.
    pub warnings: Vec<String>,
    /// Of the certificate files, where there are any.
    watch: Option<Watch>,
}

impl Launched {
    /// Serves until SIGTERM or SIGINT; see [`Running::wait`].
    pub fn wait(self) -> Result<(), StopError> {
        let result = self.running.wait();
        drop(self.watch);
        result
    }
}

/// Starts what `config` describes. Errors name the setting to change, or the
/// part of the host that failed.
pub fn launch(config: &Config, print: fn(&Event)) -> Result<Launched, Box<dyn Error>> {
    let configured: Vec<String> = config.ip.iter().map(IpAddr::to_string).collect();
    let announced = addresses::announced(&configured, config.ip_local)?;
    let mut warnings = announced.warnings;
    let door = TlsDoor::open(config, &announced.addresses, &mut warnings)?;
    let shelf = match config.client2_dir.as_str() {
        "" => None,
        dir => Some(Shelf::open(Path::new(dir))?),
    };
    let records = Records::of(Path::new(&config.records_dir));
    let renderer = Renderer { shelf, records };
    let settings = IoSettings {
        backend: match config.io {
            IoBackend::Auto => Backend::Auto,
            IoBackend::Uring => Backend::Uring,
            IoBackend::Mmsg => Backend::Mmsg,
        },
        cores: usize::from(config.cores),
        web_port: config.ws_port,
        tls_port: config.wss_port,
        rtmp_port: config.rtmp_port,
        rtmps_port: config.rtmps_port,
        bind_ip: config.ip_local,
        media_port_from: config.media_port_from,
        connected_max: usize::from(config.media_connected_max),
        transcode_threads: config.transcode_threads,
        records: DeskSettings {
            folder: PathBuf::from(&config.records_dir),
            min_free_bytes: config.records_min_free_bytes,
            sync: match config.records_fsync {
                RecordSync::Never => SyncPolicy::Leaves,
                RecordSync::Close | RecordSync::Fragment => SyncPolicy::Waits,
            },
        },
        render: Arc::new(move |render| renderer.answer(render)),
        print,
    };
    let template = Template {
        identity: dtls_identity(config)?,
        tls: door.identity,
        rules: rules(config),
        addresses: announced.addresses.clone(),
        video_codecs: config
            .video_codecs
            .iter()
            .copied()
            .map(video_codec)
            .collect(),
        max_bitrate_kbps: (config.max_bitrate_kbps > 0).then_some(config.max_bitrate_kbps),
        opus_bitrate_bps: config.transcode_opus_kbps * 1_000,
        aac_bitrate_bps: config.transcode_aac_kbps * 1_000,
        keep_alive: KeepAlive {
            interval: config.keep_alive_server_interval,
            probes: config.keep_alive_probes,
        },
        seed: seed::seed()?,
    };
    let running = start(&settings, move |core, bound| {
        Core::new(Time::ZERO, template.setup(core, bound))
    })?;
    let watch = door.watched.map(|watched| watch(watched, &running, print));
    let bound = running.bound();
    warnings.extend(bound.warnings.iter().cloned());
    Ok(Launched {
        ready: ready_line(bound, &announced.addresses),
        warnings,
        watch: watch.transpose()?,
        running,
    })
}

fn dtls_identity(config: &Config) -> Result<Identity, Box<dyn Error>> {
    let certificate = certificate::certificate()?;
    let max_version = match config.dtls_max_version {
        DtlsVersion::V1_2 => MaxVersion::Dtls12,
        DtlsVersion::V1_3 => MaxVersion::Dtls13,
    };
    let (certificate, key) = (certificate.certificate, certificate.key);
    let identity = Identity::new(certificate, key, max_version, Instant::now(), None);
    Ok(identity.ok_or("the DTLS settings were refused")?)
}

/// What the https and RTMPS ports need; nothing where there are none.
struct TlsDoor {
    identity: Option<tls::Identity>,
    /// The operator's files, if they are not our own.
    watched: Option<Watched>,
}

impl TlsDoor {
    fn open(
        config: &Config,
        announced: &[IpAddr],
        warnings: &mut Vec<String>,
    ) -> Result<Self, Box<dyn Error>> {
        if config.wss_port.is_none() && config.rtmps_port.is_none() {
            return Ok(TlsDoor {
                identity: None,
                watched: None,
            });
        }
        if config.tls_cert.is_empty() {
            let names = own::names(announced);
            let own = own::kept_or_new(Path::new(&config.tls_dir), &names, unix_us() / 1_000_000)?;
            warnings.extend(own.warnings);
            return Ok(TlsDoor {
                identity: Some(own.identity),
                watched: None,
            });
        }
        let files = PemFiles {
            certificate: PathBuf::from(&config.tls_cert),
            key: PathBuf::from(&config.tls_key),
        };
        let opened = Watched::open(files);
        let (identity, watched) = opened.map_err(|error| format!("tls.cert, tls.key: {error}"))?;
        Ok(TlsDoor {
            identity: Some(identity),
            watched: Some(watched),
        })
    }
}

/// Gives renewed certificates to the cores.
fn watch(watched: Watched, running: &Running, print: fn(&Event)) -> std::io::Result<Watch> {
    let handle = running.handle();
    watched.watch(WATCH_INTERVAL, move |news| match news {
        News::Reloaded(identity) => {
            handle.replace_certificate(&identity);
            print(&Event::CertificateReloaded);
        }
        News::Kept(error) => print(&Event::CertificateKept {
            why: error.to_string(),
        }),
    })
}

/// What the operator lets people do.
fn rules(config: &Config) -> Rules {
    let access = match config.auth_secret.as_str() {
        "" => Access::open(),
        secret => Access::with_secret(secret.as_bytes()),
    };
    Rules {
        access,
        admin_token: Some(config.admin_token.clone()).filter(|token| !token.is_empty()),
        origins: config.origins.clone(),
        rates: RateSettings {
            connections: config.rate_connections,
            joins: config.rate_joins,
            messages: config.rate_messages,
        },
        connections_per_address: config.connections_per_address,
        participants_max: config.room_max_participants,
        record: record_rules(config),
        padding: config.media_padding,
        hold: Span::from_us(u64::from(config.media_hold_us)),
        spread_above_permille: match config.spread_above {
            // Not even then.
            100 => u32::MAX,
            percent => percent * 10,
        },
        room_codecs: config.room_video_codecs.clone(),
    }
}

/// What the operator has recorded, and how.
fn record_rules(config: &Config) -> RecordRules {
    RecordRules {
        template: config.record_name_template.clone(),
        all: config.record_streams,
        all_rtmp: config.record_rtmp_published_streams,
        aligned: config.enable_empty_shift_writer,
        origin_is_room: config.empty_shift_origin == ShiftOrigin::Room,
        shift_max: config.empty_shift_max,
        as_aac: config.record_audio == RecordAudio::Aac,
        durability: match config.records_fsync {
            RecordSync::Never => Durability::Never,
            RecordSync::Close => Durability::Whole,
            RecordSync::Fragment => Durability::Fragment,
        },
    }
}

/// What every core's setup is made from, on that core's thread.
#[derive(Clone)]
struct Template {
    identity: Identity,
    tls: Option<tls::Identity>,
    rules: Rules,
    addresses: Vec<IpAddr>,
    video_codecs: Vec<VideoCodec>,
    max_bitrate_kbps: Option<u32>,
    opus_bitrate_bps: u32,
    aac_bitrate_bps: u32,
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
            opus_bitrate_bps: self.opus_bitrate_bps,
            aac_bitrate_bps: self.aac_bitrate_bps,
            tls: self.tls.clone(),
            rules: self.rules.clone(),
            keep_alive: self.keep_alive,
            unix_us_at_zero: bound.started_unix_us,
            seed,
            room_key: keyed_hash(1, &self.seed),
        }
    }
}

fn ready_line(bound: &Bound, addresses: &[IpAddr]) -> String {
    let first = bound.media_ports.first().copied().unwrap_or_default();
    let last = bound.media_ports.last().copied().unwrap_or_default();
    let engine = match bound.engine {
        Engine::Uring => "uring",
        Engine::Mmsg => "mmsg",
    };
    let or_off = |port: Option<SocketAddr>| port.map_or("off".to_string(), |at| at.to_string());
    let (wss, rtmp, rtmps) = (or_off(bound.wss), or_off(bound.rtmp), or_off(bound.rtmps));
    let ip: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    format!(
        "ready ws={} wss={wss} rtmp={rtmp} rtmps={rtmps} media={first}-{last} cores={} io={engine} ip={} why={:?}",
        bound.web,
        bound.media_ports.len(),
        ip.join(","),
        bound.why
    )
}
