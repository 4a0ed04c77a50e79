//! What a pure layer may not say, where `unsafe` may stand, and who may panic.

use super::source::{PathRef, Source, Tree, Violation};

/// Layers that take time and randomness as arguments and touch nothing.
const PURE: &[&str] = &[
    "base", "wire", "proto", "room", "signal", "record", "core", "ops", "web",
];

/// A path that may not be named, and what to do instead.
struct Ban {
    /// Consecutive segments; `*` at the end of one stands for any upper-case rest.
    path: &'static [&'static str],
    instead: &'static str,
    /// Prefixes of paths under `src/` that are allowed it.
    except: &'static [&'static str],
    /// Also in the simulator: a seed could not replay it.
    in_sim: bool,
}

const fn ban(path: &'static [&'static str], instead: &'static str) -> Ban {
    Ban {
        path,
        instead,
        except: &[],
        in_sim: false,
    }
}

const fn ban_in_sim(path: &'static [&'static str], instead: &'static str) -> Ban {
    Ban {
        in_sim: true,
        ..ban(path, instead)
    }
}

const CLOCK: &str = "the time comes in as `now: Time`";
const OWNED: &str = "state is owned by one core; others get values by mail";
const DRIVER: &str = "say it in the Outbox; a driver does it";
const HASHER: &str = "use base::hash::Map";
const RANDOM: &str = "take base::random::{Secret, Noise}";

const BANS: &[Ban] = &[
    ban(&["Instant", "now"], CLOCK),
    ban_in_sim(&["SystemTime", "now"], CLOCK),
    ban_in_sim(&["UNIX_EPOCH"], CLOCK),
    ban_in_sim(&["std", "thread"], OWNED),
    ban(&["std", "fs"], DRIVER),
    ban(&["std", "io", "stdout"], DRIVER),
    ban(&["std", "env", "var"], "settings are in ops::config"),
    ban(&["std", "process"], DRIVER),
    ban_in_sim(&["UdpSocket"], DRIVER),
    ban_in_sim(&["TcpStream"], DRIVER),
    ban_in_sim(&["TcpListener"], DRIVER),
    ban(&["Mutex"], OWNED),
    ban(&["RwLock"], OWNED),
    ban(&["Condvar"], OWNED),
    ban(&["OnceLock"], OWNED),
    ban(&["LazyLock"], OWNED),
    ban(&["thread_local"], OWNED),
    ban(&["Atomic*"], OWNED),
    ban(&["sync", "atomic"], OWNED),
    Ban {
        except: &["proto/dtls", "proto/tls.rs"],
        ..ban(&["Arc"], OWNED)
    },
    Ban {
        except: &["base/hash.rs"],
        ..ban_in_sim(&["HashMap"], HASHER)
    },
    ban_in_sim(&["HashSet"], HASHER),
    ban_in_sim(&["RandomState"], HASHER),
    Ban {
        // Signatures of the handshake are salted by the system.
        except: &["proto/dtls_key.rs"],
        ..ban_in_sim(&["rand"], RANDOM)
    },
    ban_in_sim(&["getrandom"], RANDOM),
    ban(&["tokio"], DRIVER),
];

const PRINTING: &[&str] = &["println", "eprintln", "print", "eprint", "dbg"];

/// Clocks, threads, locks, files, sockets, printing and ambient randomness in
/// a pure layer.
pub fn pure_words(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let is_pure = PURE.contains(&source.layer());
        if !is_pure && source.layer() != "sim" {
            continue;
        }
        let inner = source.path.strip_prefix("src/").unwrap_or(&source.path);
        for path in source.paths() {
            for ban in BANS {
                let excused = ban.except.iter().any(|door| inner.starts_with(door));
                if (is_pure || ban.in_sim) && !excused && names(&path, ban.path) {
                    let rule = format!("{}: {}", ban.path.join("::"), ban.instead);
                    violations.push(Violation::new(&source.path, path.line, rule));
                }
            }
        }
        if is_pure {
            violations.extend(spoken(source));
        }
    }
    violations
}

fn names(path: &PathRef, banned: &[&str]) -> bool {
    let matches = |segment: &String, word: &&str| match word.strip_suffix('*') {
        Some(start) => segment
            .strip_prefix(start)
            .is_some_and(|rest| rest.starts_with(char::is_uppercase)),
        None => segment == word,
    };
    path.segments
        .windows(banned.len())
        .any(|window| window.iter().zip(banned).all(|(s, w)| matches(s, w)))
}

/// Bans that are not paths: macros, `async`, `.elapsed()`.
fn spoken(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut found = |line: usize, rule: &str| {
        violations.push(Violation::new(&source.path, line, rule));
    };
    for (before, token, after) in source.neighbours() {
        let (word, line) = (token.text.as_str(), token.line);
        if after == "!" && PRINTING.contains(&word) {
            found(line, "printing: emit an Event");
        }
        if before == "." && word == "elapsed" && after == "(" {
            found(line, "elapsed reads the clock: use now.since(..)");
        }
        if word == "async" {
            found(line, "async: a pure layer is told, it does not wait");
        }
    }
    violations
}

/// `unsafe` outside `src/io`.
pub fn unsafe_words(tree: &Tree) -> Vec<Violation> {
    let outside = tree.sources.iter().filter(|source| source.layer() != "io");
    outside
        .flat_map(|source| {
            let words = source.tokens.iter().filter(|token| token.text == "unsafe");
            words.map(|token| Violation::new(&source.path, token.line, "unsafe outside src/io"))
        })
        .collect()
}

const PANICKING_METHODS: &[&str] = &["unwrap", "expect", "unwrap_err", "expect_err"];
const PANICKING_MACROS: &[&str] = &["panic", "unreachable"];
const STUBS: &[&str] = &["todo", "unimplemented"];

/// `unwrap` and its kin: never in a pure layer; elsewhere only under a comment
/// that says why it cannot fail. Stubs: nowhere.
pub fn panics(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let is_pure = PURE.contains(&source.layer());
        for (before, token, after) in source.neighbours() {
            let (word, line) = (token.text.as_str(), token.line);
            if after == "!" && STUBS.contains(&word) {
                let rule = format!("{word}! is a stub");
                violations.push(Violation::new(&source.path, line, rule));
            }
            let is_method = matches!(before, "." | "::") && PANICKING_METHODS.contains(&word);
            let is_macro = after == "!" && PANICKING_MACROS.contains(&word);
            if !is_method && !is_macro {
                continue;
            }
            if is_pure {
                let rule = format!("{word}: return a typed error");
                violations.push(Violation::new(&source.path, line, rule));
            } else if !is_explained(source, line) {
                let rule = format!("{word} without a comment above that says why it cannot fail");
                violations.push(Violation::new(&source.path, line, rule));
            }
        }
    }
    violations
}

/// Whether a comment stands directly above the statement that `line` is part of.
fn is_explained(source: &Source, line: usize) -> bool {
    let mut index = line.saturating_sub(1);
    while let Some(above) = index.checked_sub(1) {
        let written = source.lines.get(above).map_or("", |line| line.trim());
        let code = source.code.get(above).map_or("", |line| line.trim());
        if written.starts_with("//") {
            return true;
        }
        if code.is_empty() || code.ends_with([';', '{', '}', ',']) {
            return false;
        }
        index = above;
    }
    false
}

fn lines_of(violations: &[Violation]) -> Vec<(&str, usize)> {
    let mut lines: Vec<_> = violations
        .iter()
        .map(|violation| (violation.path.as_str(), violation.line))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[test]
fn planted_impurities_are_found() {
    let planted = [
        "use std::time::Instant;\nfn f() { Instant::now(); }",
        "fn f() { std::time::SystemTime::now(); }",
        "use std::thread;",
        "use std::{fmt, fs::File};",
        "use std::net::{IpAddr, UdpSocket};",
        "fn f(s: std::net::TcpStream) {}",
        "use std::net::TcpListener as L;",
        "use std::sync::Mutex;",
        "use std::sync::{RwLock};",
        "fn f(a: std::sync::Arc<u8>) {}",
        "use std::sync::atomic::AtomicU64;",
        "static A: core::sync::atomic::AtomicBool = x;",
        "use std::collections::HashMap;",
        "fn f() { let a = HashMap::<u8, u8>::new(); }",
        "use std::collections::{BTreeMap, HashSet};",
        "fn f() { println!(\"\"); }",
        "fn f() { eprintln!(\"\") }",
        "fn f() { dbg!(1); }",
        "dbg!(1);",
        "async fn f() {}",
        "fn f() { rand::random::<u8>(); }",
        "use tokio::sync;",
        "fn f(a: T) { a.elapsed(); }",
        "static A: LazyLock<u8> = b;",
        "fn f() { std::env::var(x); }",
    ];
    for layer in PURE {
        for text in planted {
            let path = format!("src/{layer}/planted.rs");
            let found = pure_words(&Tree::planted(&[(&path, text)]));
            let last = text.lines().count();
            assert!(found.iter().any(|v| v.line == last), "{layer}: {text}");
        }
    }
}

#[test]
fn pure_code_is_left_alone() {
    let text = "//! Mutex, Instant::now, println!\nuse std::net::{IpAddr, SocketAddr};\n\
                use std::time::Instant;\nuse std::collections::hash_map::Entry;\n\
                struct Atomics { operand: u8 }\nfn f(now: Instant) { \"std::fs tokio\"; brand::x(); now }\n\
                #[cfg(test)]\nmod tests { use std::sync::Mutex; fn f() { println!(); } }\n";
    let tree = Tree::planted(&[
        ("src/wire/a.rs", text),
        (
            "src/io/b.rs",
            "use std::sync::Mutex;\nuse std::fs;\nasync fn f() { tokio::x() }",
        ),
        ("src/main.rs", "fn main() { println!(); }"),
        ("src/proto/dtls.rs", "use std::sync::Arc;"),
        ("src/base/hash.rs", "use std::collections::HashMap;"),
        (
            "src/sim/c.rs",
            "use std::fs;\nfn f() { println!(); Instant::now(); }",
        ),
    ]);
    assert_eq!(pure_words(&tree), []);
}

#[test]
fn the_simulator_may_not_depend_on_the_day() {
    let text = "use std::collections::HashMap;\nfn f() { SystemTime::now() }\nuse std::thread;\n";
    let found = pure_words(&Tree::planted(&[("src/sim/a.rs", text)]));
    let path = "src/sim/a.rs";
    assert_eq!(lines_of(&found), [(path, 1), (path, 2), (path, 3)]);
}

#[test]
fn planted_unsafe_is_found() {
    let tree = Tree::planted(&[
        ("src/io/a.rs", "fn f() { unsafe { g() } }"),
        (
            "src/core/a.rs",
            "// unsafe\n#![forbid(unsafe_code)]\nunsafe fn f() {}",
        ),
        ("src/main.rs", "fn main() {\n unsafe { g() } }"),
    ]);
    let found = unsafe_words(&tree);
    assert_eq!(lines_of(&found), [("src/core/a.rs", 3), ("src/main.rs", 2)]);
}

#[test]
fn planted_panics_are_found() {
    let pure = "fn f() {\n a.unwrap();\n b\n .expect(\"x\");\n // Why.\n c.unwrap();\n\
                 d.map(Option::unwrap);\n e.unwrap_or(1);\n f.unwrap_or_default();\n\
                 panic!(\"\");\n todo!();\n assert!(g);\n}\n#[expect(dead_code)]\nfn h() {}\n\
                 #[cfg(test)]\nmod tests { fn f() { a.unwrap() } }\n";
    let driver = "fn f() {\n a.unwrap();\n // Cannot fail: b is set above.\n b.unwrap();\n\
                  // The same\n let c = d\n .e()\n .expect(\"x\");\n\n unimplemented!();\n\
                  // Unrelated.\n let g = h;\n g.unwrap();\n}\n";
    let tree = Tree::planted(&[("src/io/b.rs", driver), ("src/proto/a.rs", pure)]);
    let found = panics(&tree);
    let (io, proto) = ("src/io/b.rs", "src/proto/a.rs");
    assert_eq!(
        lines_of(&found),
        [
            (io, 2),
            (io, 10),
            (io, 13),
            (proto, 2),
            (proto, 4),
            (proto, 6),
            (proto, 7),
            (proto, 10),
            (proto, 11)
        ]
    );
}
