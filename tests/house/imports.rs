//! The walls between the layers, and the one door of each third-party crate.

use super::source::{PathRef, Source, Tree, Violation};

/// Who may import whom. `main` and `lib` stand above all of them.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("wire", &["base"]),
    ("proto", &["base", "wire"]),
    ("room", &["base", "wire", "proto"]),
    ("signal", &["base", "wire", "proto", "room"]),
    ("record", &["base", "wire", "proto", "room"]),
    ("ops", &["base"]),
    ("web", &[]),
    (
        "core",
        &[
            "base", "wire", "proto", "room", "signal", "record", "ops", "web",
        ],
    ),
    (
        "io",
        &[
            "base", "wire", "proto", "room", "signal", "record", "ops", "web", "core",
        ],
    ),
    (
        "sim",
        &[
            "base", "wire", "proto", "room", "signal", "record", "ops", "web", "core",
        ],
    ),
    ("load", &["base", "wire", "proto", "signal", "io"]),
];

/// Where each dependency may be named, as prefixes of paths under `src/`.
/// Development dependencies have none: they are for tests.
pub const DOORS: &[(&str, &[&str])] = &[
    (
        "ring",
        &[
            "base/hash.rs",
            "proto/srtp",
            "proto/dtls_key.rs",
            "io/certificate.rs",
        ],
    ),
    ("aes", &["proto/srtp"]),
    ("ctr", &["proto/srtp"]),
    ("hmac", &["proto/srtp"]),
    ("sha1", &["proto/srtp"]),
    ("dimpl", &["proto/dtls"]),
    ("rcgen", &["io/"]),
    ("rustls", &["proto/tls"]),
    ("syom", &["proto/audio"]),
    ("opus_pure", &["proto/audio"]),
    ("oxideav_speex", &["proto/audio"]),
    ("stun_codec", &["wire/stun.rs"]),
    ("bytecodec", &["wire/stun.rs"]),
    ("sdp", &["wire/sdp"]),
    ("tungstenite", &["proto/ws"]),
    ("httparse", &["wire/http"]),
    (
        "bytes",
        &[
            "proto/", "room/", "signal/", "record/", "core/", "ops/", "io/", "sim/", "main.rs",
        ],
    ),
    ("serde_json", &["signal/", "ops/", "load/"]),
    ("clap", &["main.rs", "load/options.rs"]),
    ("tokio", &["io/", "load/"]),
    ("tokio_uring", &["io/"]),
    ("io_uring", &["io/"]),
    ("libc", &["io/"]),
    ("webrtc_srtp", &[]),
    ("dtls", &[]),
    ("webrtc_util", &[]),
];

/// Imports that cross a wall.
pub fn layers(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let layer = source.layer();
        if matches!(layer, "main" | "lib") {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            let rule = format!("layer {layer} has no row in the table of layers");
            violations.push(Violation::new(&source.path, 1, rule));
            continue;
        };
        for path in source.paths() {
            let Some(target) = target_layer(source, &path) else {
                continue;
            };
            if target != layer && !allowed.contains(&target.as_str()) {
                let rule = format!("{layer} may not import {target}");
                violations.push(Violation::new(&source.path, path.line, rule));
            }
        }
    }
    violations
}

/// What a path names at the root of this crate; `None` if it is another's.
fn target_layer(source: &Source, path: &PathRef) -> Option<String> {
    let root = |rest: &[String]| match rest.first() {
        // `crate` itself, bound under a name of its own, would hide what follows.
        None => "the crate's root".to_owned(),
        Some(first) => first.clone(),
    };
    match path.segments.first().map(String::as_str)? {
        "crate" | "ringhall" => Some(root(&path.segments[1..])),
        "super" => {
            let ups = path.segments.iter().take_while(|s| *s == "super").count();
            let module = source.module();
            // Modules written inside the file are one deeper than it: reaching
            // the root then needs one `super` more, and is reported early.
            (ups >= module.len()).then(|| root(&path.segments[ups..]))
        }
        _ => None,
    }
}

/// Third-party crates named away from their door, and dependencies without one.
pub fn doors(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let inner = source.path.strip_prefix("src/").unwrap_or(&source.path);
        for (before, token, _) in source.neighbours() {
            if before == "extern" && token.text == "crate" {
                let rule = "extern crate: `use` it at its door";
                violations.push(Violation::new(&source.path, token.line, rule));
            }
        }
        let paths = source.paths();
        for path in &paths {
            let Some((name, allowed)) = foreign_crate(source, path, &paths) else {
                continue;
            };
            if !allowed.iter().any(|door| inner.starts_with(door)) {
                let rule = format!("crate {name} has its door elsewhere: {allowed:?}");
                violations.push(Violation::new(&source.path, path.line, rule));
            }
        }
    }
    let manifest = tree.texts.get("Cargo.toml").map_or("", String::as_str);
    for (line, name) in super::documents::dependencies(manifest) {
        if !DOORS
            .iter()
            .any(|(door, _)| *door == name.replace('-', "_"))
        {
            let rule = format!("dependency {name} has no row in the table of doors");
            violations.push(Violation::new("Cargo.toml", line, rule));
        }
    }
    violations
}

type Door = (&'static str, &'static [&'static str]);

/// The crate that `path` begins with, unless its first word is a name the file
/// itself binds (`use ring::hmac;`) or declares (`mod sdp;`).
fn foreign_crate(source: &Source, path: &PathRef, paths: &[PathRef]) -> Option<Door> {
    let first = path.segments.first()?;
    let door = DOORS.iter().find(|(name, _)| name == first)?;
    if path.binds.is_none() && path.segments.len() == 1 {
        // A word alone: a variable, a field, a macro. `sdp!` would be of a `use`.
        return None;
    }
    let bound = paths
        .iter()
        .any(|other| other.binds.as_ref() == Some(first) && other.segments.first() != Some(first));
    let declared = source
        .tokens
        .windows(2)
        .any(|pair| pair[0].text == "mod" && pair[1].text == *first);
    (!bound && !declared).then_some((door.0, door.1))
}

#[test]
fn planted_imports_across_walls_are_found() {
    let tree = Tree::planted(&[
        ("src/base/a.rs", "use crate::wire::rtp;\n"),
        (
            "src/wire/b.rs",
            "use crate::base::time;\nfn f() { crate::proto::nack::g() }\n",
        ),
        (
            "src/wire/c.rs",
            "use crate::{base::x, wire::{y}, core::z};\n",
        ),
        (
            "src/proto/d.rs",
            "use super::super::room::R;\nuse super::nack;\n",
        ),
        (
            "src/proto/e/mod.rs",
            "use super::super::signal::S;\nuse super::super::nack;\n",
        ),
        (
            "src/ops/f.rs",
            "use crate::core::border;\nuse crate::base::time;\n",
        ),
        (
            "src/core/g.rs",
            "use crate::ops::event;\nuse crate::io::ring;\n",
        ),
        (
            "src/sim/h.rs",
            "use crate::core::Core;\nuse crate::io::x;\n",
        ),
        (
            "src/signal/i.rs",
            "use crate::room::R;\nuse crate::record::R;\n",
        ),
        ("src/room/j.rs", "use crate as c;\nuse crate::Thing;\n"),
        ("src/odd/k.rs", "fn f() {}\n"),
        ("src/web/l.rs", "use ringhall::base::time;\n"),
        ("src/main.rs", "use ringhall::io;\n"),
        (
            "src/io/m.rs",
            "use crate::core::Core;\nuse crate::base::x;\n",
        ),
        (
            "src/base/n.rs",
            "// use crate::wire;\n#[cfg(test)]\nmod tests { use crate::io::x; }\n",
        ),
    ]);
    let found: Vec<String> = layers(&tree).iter().map(Violation::to_string).collect();
    let expected = [
        "src/base/a.rs:1: base may not import wire",
        "src/core/g.rs:2: core may not import io",
        "src/odd/k.rs:1: layer odd has no row in the table of layers",
        "src/ops/f.rs:1: ops may not import core",
        "src/proto/d.rs:1: proto may not import room",
        "src/proto/e/mod.rs:1: proto may not import signal",
        "src/proto/e/mod.rs:2: proto may not import nack",
        "src/room/j.rs:1: room may not import the crate's root",
        "src/room/j.rs:2: room may not import Thing",
        "src/signal/i.rs:2: signal may not import record",
        "src/sim/h.rs:2: sim may not import io",
        "src/web/l.rs:1: web may not import base",
        "src/wire/b.rs:2: wire may not import proto",
        "src/wire/c.rs:1: wire may not import core",
    ];
    assert_eq!(found, expected);
}

#[test]
fn planted_crates_outside_their_doors_are_found() {
    let tree = Tree::planted(&[
        ("Cargo.toml", "[dependencies]\nring = \"1\"\nrand = \"1\"\n"),
        (
            "src/base/hash.rs",
            "use ring::{digest, hmac};\nfn f() { hmac::sign() }\n",
        ),
        ("src/base/other.rs", "fn f() { ring::rand::x() }\n"),
        (
            "src/core/a.rs",
            "use tokio::net::TcpStream;\nuse bytes::Bytes;\nuse ::clap;\n",
        ),
        ("src/core/c.rs", "fn f() {}\nextern crate ring as gnir;\n"),
        ("src/io/b.rs", "use tokio::net;\nuse rcgen as r;\n"),
        ("src/proto/dtls.rs", "use dimpl::Dtls;\nuse dtls::conn;\n"),
        (
            "src/proto/mod.rs",
            "pub mod dtls;\nfn f() { dtls::new() }\n",
        ),
        ("src/proto/srtp/cm.rs", "use hmac::Mac;\nuse aes::Aes128;\n"),
        (
            "src/proto/ws.rs",
            "fn f(sdp: u8, bytes: &[u8]) { bytes.len(); sdp }\n",
        ),
        (
            "src/wire/a.rs",
            "use bytes::Bytes;\nuse crate::wire::sdp;\nfn f() { sdp::parse() }\n",
        ),
        ("src/wire/sdp.rs", "use sdp::SessionDescription;\n"),
    ]);
    let found: Vec<(String, usize)> = doors(&tree).into_iter().map(|v| (v.path, v.line)).collect();
    let expected = [
        ("src/base/other.rs", 1),
        ("src/core/a.rs", 1),
        ("src/core/a.rs", 3),
        ("src/core/c.rs", 2),
        ("src/proto/dtls.rs", 2),
        ("src/wire/a.rs", 1),
        ("Cargo.toml", 3),
    ];
    assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
}
