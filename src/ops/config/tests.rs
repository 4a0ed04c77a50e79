use super::keys::{edit_distance, joined};
use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Some(("ringhall.properties", text)), &[])
}

fn set(sets: &[&str]) -> Result<Config, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::parse(None, &sets)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_table_gives_the_defaults_and_prints_them() {
    let config = set(&[]).unwrap();
    assert_eq!((config.ws_port, config.media_port_from), (8_080, 31_000));
    assert_eq!(
        (config.ip.len(), config.ip_local, config.cores),
        (0, None, 0)
    );
    assert_eq!(
        config.video_codecs,
        [VideoCodecName::H264, VideoCodecName::Vp8]
    );
    assert_eq!((config.io, config.max_bitrate_kbps), (IoBackend::Auto, 0));
    assert_eq!(config.dtls_max_version, DtlsVersion::V1_2);
    assert_eq!(config.keep_alive_server_interval, Span::from_ms(5_000));
    assert_eq!(config.keep_alive_probes, 10);
    for key in KEYS {
        assert_eq!((key.get)(&config), key.default, "{}", key.name);
        assert!(!key.doc.is_empty() && !key.doc.contains(['\n', '|']));
        assert!(!key.accepts.is_empty() && !key.accepts.contains(['\n', '|']));
    }
}

/// One value per key, none of them the default: a setter that wrote
/// another key's field, or none, would show.
const OTHERS: &[(&str, &str)] = &[
    ("ws.port", "1"),
    ("media_port_from", "65280"),
    ("ip", "192.0.2.1,2001:db8::1"),
    ("ip_local", "0.0.0.0"),
    ("cores", "256"),
    ("io", "mmsg"),
    ("video_codecs", "vp8"),
    ("max_bitrate_kbps", "1000000"),
    ("dtls.max_version", "1.3"),
    ("keep_alive.server_interval", "100"),
    ("keep_alive.probes", "1000"),
];

#[test]
fn every_key_sets_its_own_value_and_no_other() {
    for &(name, value) in OTHERS {
        let config = set(&[&format!("{name}={value}")]).unwrap();
        for key in KEYS {
            let expected = if key.name == name { value } else { key.default };
            assert_eq!((key.get)(&config), expected, "{name} wrote {}", key.name);
        }
    }
    assert_eq!(OTHERS.len(), KEYS.len());
}

#[test]
fn a_printed_configuration_parses_back() {
    let everything: Vec<String> = OTHERS.iter().map(|(k, v)| format!("{k}={v}")).collect();
    for sets in [&everything[..], &[]] {
        let config = Config::parse(None, sets).unwrap();
        let printed = config.print();
        assert_eq!(parse(&printed).unwrap(), config);
        assert_eq!(printed.matches("# Accepted: ").count(), KEYS.len());
    }
}

#[test]
fn properties_syntax() {
    let text = "\u{feff}# comment\r\n! comment = too\r\n\r\n  ws.port =\t9000 \r\nip=\r\n\
                ws.port=9001\r\n video_codecs = vp8 , h264";
    let config = parse(text).unwrap();
    assert_eq!(config.ws_port, 9_001);
    assert_eq!(
        config.video_codecs,
        [VideoCodecName::Vp8, VideoCodecName::H264]
    );
}

#[test]
fn later_wins_and_sets_win_over_the_file() {
    let sets = [
        "cores=3".to_owned(),
        "cores=4".to_owned(),
        " io = uring ".to_owned(),
    ];
    let config = Config::parse(Some(("f", "cores=1\ncores=2\nio=mmsg\n")), &sets).unwrap();
    assert_eq!((config.cores, config.io), (4, IoBackend::Uring));
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest_key() {
    let text = refusal("# a\n\nws.prot=1\n");
    assert!(
        text.starts_with("ringhall.properties:3: unknown key \"ws.prot\""),
        "{text}"
    );
    assert!(text.contains("did you mean ws.port?"), "{text}");
    assert!(text.contains("keep_alive.probes"), "{text}");
    let error = set(&["video-codec=h264"]).unwrap_err();
    assert_eq!(
        error,
        ConfigError::UnknownKey {
            place: Place::Set,
            key: "video-codec".to_owned(),
            value: "h264".to_owned(),
            nearest: "video_codecs",
        }
    );
}

#[test]
fn a_bad_value_names_what_is_accepted() {
    assert_eq!(
        refusal("io=epoll"),
        "ringhall.properties:1: io=\"epoll\": accepted: auto, uring or mmsg"
    );
    assert_eq!(
        refusal("\nnonsense"),
        "ringhall.properties:2: \"nonsense\": accepted: key=value"
    );
    assert_eq!(
        set(&["cores=\u{1b}[2J"]).unwrap_err().to_string(),
        "--set: cores=\"\\u{1b}[2J\": accepted: 0 to 256"
    );
}

#[test]
fn values_out_of_range_are_refused() {
    for line in [
        "ws.port=65536",
        "ws.port=-1",
        "ws.port=+1",
        "ws.port= ",
        "ws.port=80 80",
        "ws.port=99999999999999999999999999",
        "ip=0.0.0.0",
        "ip=::",
        "ip=224.0.0.1",
        "ip=192.0.2.1,",
        "ip=,",
        "ip=192.0.2.1,192.0.2.1",
        "ip=example.org",
        "ip=192.0.2.1:80",
        "ip_local=192.0.2.1,192.0.2.2",
        "ip_local=ff02::1",
        "cores=257",
        "io=AUTO",
        "video_codecs=",
        "video_codecs=h264,h264",
        "video_codecs=av1",
        "video_codecs=h264,",
        "max_bitrate_kbps=1000001",
        "dtls.max_version=1.1",
        "keep_alive.server_interval=99",
        "keep_alive.server_interval=3600001",
        "keep_alive.probes=0",
    ] {
        assert!(
            matches!(parse(line), Err(ConfigError::BadValue { .. })),
            "{line}"
        );
    }
}

#[test]
fn seventeen_addresses_are_one_too_many() {
    let list = |count: usize| joined((1..=count).map(|host| format!("192.0.2.{host}")));
    assert_eq!(parse(&format!("ip={}", list(16))).unwrap().ip.len(), 16);
    assert!(parse(&format!("ip={}", list(17))).is_err());
}

#[test]
fn media_ports_must_fit() {
    assert!(parse("media_port_from=65535\ncores=1").is_ok());
    let error = parse("media_port_from=65535\ncores=2").unwrap_err();
    assert!(error.to_string().contains("media_port_from=65535"));
    assert_eq!(parse("cores=2").unwrap().media_port(1), Some(31_001));
    assert_eq!(
        parse("media_port_from=65535").unwrap().media_port(1),
        None,
        "found when the number of CPUs is known"
    );
}

#[test]
fn the_size_is_bounded() {
    let fits = "#".repeat(CONFIG_MAX_BYTES);
    assert!(parse(&fits).is_ok());
    let error = parse(&format!("{fits}#")).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }));
    assert!(set(&[&fits, "ws.port=1"]).is_err());
    // A long key costs a bounded search for its neighbour and a short message.
    let long = refusal(&format!("{}=1", "k".repeat(CONFIG_MAX_BYTES - 2)));
    assert!(long.len() < 512, "{}", long.len());
}

#[test]
fn truncated_files_never_panic() {
    let text = Config::default().print();
    for end in 0..=text.len() {
        if let Some(part) = text.get(..end) {
            let _ = parse(part);
        }
    }
}

#[test]
fn edit_distances() {
    for (from, to, distance) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("ws.prot", "ws.port", 2),
        ("io", "ip", 1),
    ] {
        assert_eq!(edit_distance(from, to), distance, "{from} {to}");
        assert_eq!(edit_distance(to, from), distance, "{to} {from}");
    }
}
