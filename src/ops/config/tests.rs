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
    assert_eq!(config.wss_port, Some(8_443));
    assert_eq!((config.rtmp_port, config.rtmps_port), (Some(1_935), None));
    assert_eq!(config.transcode_threads, 1);
    assert_eq!(config.transcode_opus_kbps, 64);
    assert_eq!(config.transcode_aac_kbps, 96);
    assert_eq!(config.tls_dir, "tls");
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
    assert_eq!((config.auth_secret.len(), config.admin_token.len()), (0, 0));
    assert_eq!(
        (
            config.rate_connections,
            config.rate_joins,
            config.rate_messages
        ),
        (20, 20, 200)
    );
    assert_eq!(config.connections_per_address, 2_000);
    assert_eq!(config.room_max_participants, 0);
    assert!(config.origins.is_empty() && config.room_video_codecs.is_empty());
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
    ("wss.port", "off"),
    ("rtmp.port", "off"),
    ("rtmps.port", "443"),
    ("transcode_threads", "64"),
    ("transcode_opus_kbps", "16"),
    ("transcode_aac_kbps", "256"),
    ("tls.cert", "a b/cert=1.pem"),
    ("tls.key", "key.pem"),
    ("tls.dir", "/var/lib/ringhall"),
    ("client2.dir", "sdk"),
    ("records_dir", "/var/lib/ringhall/records"),
    ("record_name_template", "{streamName}_{startTime}"),
    ("record_streams", "true"),
    ("record_rtmp_published_streams", "true"),
    ("record_audio", "aac"),
    ("records.min_free_bytes", "0"),
    ("records.fsync", "fragment"),
    ("enable_empty_shift_writer", "true"),
    ("empty_shift_origin", "room"),
    ("empty_shift_max", "90s"),
    ("media_port_from", "65280"),
    ("ip", "192.0.2.1,2001:db8::1"),
    ("ip_local", "0.0.0.0"),
    ("cores", "256"),
    ("spread_above", "0"),
    ("io", "mmsg"),
    ("video_codecs", "vp8"),
    ("media.hold_us", "0"),
    ("media.connected_max", "1024"),
    ("media.padding", "false"),
    ("max_bitrate_kbps", "1000000"),
    ("dtls.max_version", "1.3"),
    ("keep_alive.server_interval", "100"),
    ("keep_alive.probes", "1000"),
    ("auth.secret", "correct = horse ; battery # staple"),
    ("admin.token", "0123456789abcdef"),
    ("origins", "https://a.example:8443,http://[2001:db8::1]"),
    ("rate.connections", "1000000"),
    ("rate.joins", "1"),
    ("rate.messages", "0"),
    ("connections.per_address", "1000000"),
    ("room.max_participants", "4096"),
    ("room.video_codecs", "Big room:vp8,h264;old*:h264;*:vp8"),
];

#[test]
fn every_key_sets_its_own_value_and_no_other() {
    for &(name, value) in OTHERS {
        // Without the checks of settings that go together.
        let mut config = Config::default();
        config
            .apply(Place::Set, &format!("{name}={value}"))
            .unwrap();
        for key in KEYS {
            let expected = if key.name == name { value } else { key.default };
            assert_eq!((key.get)(&config), expected, "{name} wrote {}", key.name);
        }
    }
    assert_eq!(OTHERS.len(), KEYS.len());
}

#[test]
fn a_template_of_names_is_refused_with_the_reason() {
    let refused = |value: &str| refusal(&format!("record_name_template={value}"));
    assert_eq!(
        refused("a-{endTime}"),
        "ringhall.properties:1: record_name_template=\"a-{endTime}\": {endTime} is not known yet \
         when publishing begins, which is when the name is told"
    );
    assert!(refused("a/b").contains("'/' cannot be in it"));
    assert!(refused("").contains("it is empty"));
    assert!(refusal("records_dir=").contains("the path of a folder"));
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
        "wss.port=",
        "wss.port=OFF",
        "wss.port=65536",
        "wss.port=-1",
        "tls.dir=",
        "tls.cert=a\u{7}b",
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
        "auth.secret=0123456789abcdef0123456789abcde",
        "auth.secret=0123456789abcdef\u{1}0123456789abcdef",
        "admin.token=0123456789abcde",
        "admin.token=0123456789 abcdef",
        "admin.token=0123456789abcdeé",
        "origins=a.example",
        "origins=https://",
        "origins=https://a.example/",
        "origins=https://a.example/path",
        "origins=https://a.example?x",
        "origins=https://user@a.example",
        "origins=https://a.example:",
        "origins=https://a.example:0",
        "origins=https://a.example:65536",
        "origins=https://a.example:+1",
        "origins=https://[::1",
        "origins=https://[g::1]",
        "origins=https://::1",
        "origins=https://[::1]x",
        "origins=https://*.example",
        "origins=https://ü.example",
        "origins=1https://a.example",
        "origins=https://a.example,",
        "origins=https://a.example,HTTPS://A.example:443",
        "origins=*",
        "origins=null",
        "rate.connections=1000001",
        "rate.joins=-1",
        "rate.messages=1.5",
        "room.max_participants=4097",
        "room.video_codecs=a",
        "room.video_codecs=:vp8",
        "room.video_codecs= :vp8",
        "room.video_codecs=a:",
        "room.video_codecs=a:av1",
        "room.video_codecs=a:vp8,vp8",
        "room.video_codecs=a:vp8;",
        "room.video_codecs=a:vp8;a:h264",
        "room.video_codecs=a*:vp8;a*:h264",
        "room.video_codecs=a:b:vp8",
        "room.video_codecs=a\u{1}:vp8",
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
fn origins_are_written_as_browsers_do() {
    for (written, origin) in [
        ("HTTPS://Conference.Example", "https://conference.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://127.0.0.1:08080", "http://127.0.0.1:8080"),
        ("http://[2001:DB8:0:0::1]:8080", "http://[2001:db8::1]:8080"),
        ("https://[::1]", "https://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ] {
        assert_eq!(
            parse(&format!("origins={written}")).unwrap().origins,
            [origin]
        );
    }
    let list = |count: usize| joined((1..=count).map(|host| format!("https://h{host}")));
    assert_eq!(
        parse(&format!("origins={}", list(64)))
            .unwrap()
            .origins
            .len(),
        64
    );
    assert!(parse(&format!("origins={}", list(65))).is_err());
}

#[test]
fn codecs_by_room() {
    use VideoCodecName::{H264, Vp8};
    let text = "room.video_codecs= Big room : vp8 , h264 ;b*:h264;Bi*:h264;Big *:vp8";
    let rules = parse(text).unwrap().room_video_codecs;
    for (room, codecs) in [
        ("Big room", Some(&[Vp8, H264][..])),
        ("Big room 2", Some(&[Vp8])),
        ("Bigger", Some(&[H264])),
        ("b", Some(&[H264])),
        ("big", Some(&[H264])),
        ("B", None),
        ("", None),
    ] {
        assert_eq!(codecs_for(&rules, room), codecs, "{room}");
    }
    // However they are ordered, the exact name and then the longest wins.
    let mut turned = rules.clone();
    turned.reverse();
    assert_eq!(codecs_for(&turned, "Big room"), Some(&[Vp8, H264][..]));
    assert_eq!(codecs_for(&turned, "Big room 2"), Some(&[Vp8][..]));
    let every = parse("room.video_codecs=*:vp8;a**:h264")
        .unwrap()
        .room_video_codecs;
    assert_eq!(codecs_for(&every, ""), Some(&[Vp8][..]));
    assert_eq!(codecs_for(&every, "a*b"), Some(&[H264][..]));
    assert_eq!(codecs_for(&every, "ab"), Some(&[Vp8][..]));
    let list = |count: usize| {
        let rules: Vec<String> = (0..count).map(|n| format!("r{n}:vp8")).collect();
        parse(&format!("room.video_codecs={}", rules.join(";")))
    };
    assert_eq!(list(256).unwrap().room_video_codecs.len(), 256);
    assert!(list(257).is_err());
    let named = |len: usize| parse(&format!("room.video_codecs={}:vp8", "ü".repeat(len)));
    assert!(named(255).is_ok() && named(256).is_err());
}

#[test]
fn errors_keep_secrets() {
    for line in [
        "auth.secret=hunter2",
        "admin.token=hunter2",
        "auth.secert=hunter2",
        "admin_token=hunter2",
        "auth.secret: hunter2",
    ] {
        let text = refusal(line);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("(secret)"), "{text}");
    }
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
fn a_certificate_needs_its_key_and_the_ports_differ() {
    for (text, missing) in [("tls.cert=a", "tls.key"), ("tls.key=a", "tls.cert")] {
        let said = refusal(text);
        assert!(said.starts_with(&format!("{missing} is missing")), "{said}");
    }
    assert!(parse("tls.cert=a\ntls.key=b").is_ok());
    let said = refusal("ws.port=443\nwss.port=443");
    assert!(said.contains("wss.port=443"), "{said}");
    let said = refusal("wss.port=1935");
    assert!(
        said.starts_with("wss.port=1935 and rtmp.port=1935"),
        "{said}"
    );
    assert!(refusal("rtmps.port=8080").starts_with("ws.port=8080 and rtmps.port"));
    assert!(parse("ws.port=0\nwss.port=0\nrtmp.port=0\nrtmps.port=0").is_ok());
    assert!(parse("wss.port=off\nrtmp.port=off").is_ok());
    assert_eq!(parse("").unwrap().wss_port, Some(8_443));
    assert_eq!(parse("wss.port=off\nwss.port=0").unwrap().wss_port, Some(0));
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
    assert!(long.len() < 1_024, "{}", long.len());
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
