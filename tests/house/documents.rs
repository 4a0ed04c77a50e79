//! The configuration's keys against the manual and the code, the dependencies
//! against their reasons, and machine paths anywhere.

use ringhall::ops::config::KEYS;
use ringhall::ops::metrics::metrics_text;
use ringhall::ops::snapshot::Drop;

use super::imports::DOORS;
use super::source::{Tree, Violation};

const MANUAL: &str = "src/manual/operations.md";
const TABLE_OWNER: &str = "src/ops/config/keys.rs";
/// Reading a field here is no use of the setting.
const TABLE_FOLDER: &str = "src/ops/config/";

/// What the house needs to know of a configuration key.
pub struct ConfigKey {
    pub name: String,
    /// Its row in the manual's table of keys.
    pub row: String,
}

/// The keys of `ops::config`.
pub fn config_keys() -> Vec<ConfigKey> {
    KEYS.iter()
        .map(|key| {
            let default = match key.default {
                "" => "(empty)".to_owned(),
                default => format!("`{default}`"),
            };
            ConfigKey {
                name: key.name.to_owned(),
                row: format!(
                    "| `{}` | {default} | {} | {} |",
                    key.name, key.accepts, key.doc
                ),
            }
        })
        .collect()
}

/// Every key has its row under the heading "Configuration", and every row a key.
pub fn manual_rows(tree: &Tree, keys: &[ConfigKey]) -> Vec<Violation> {
    let text = tree.texts.get(MANUAL).map_or("", String::as_str);
    let lines: Vec<&str> = text.lines().collect();
    let start = lines
        .iter()
        .position(|line| line.trim() == "## Configuration");
    let start = start.unwrap_or(lines.len());
    let section: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .skip(start + 1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .map(|(index, line)| (index + 1, *line))
        .collect();
    let mut violations = Vec::new();
    for key in keys {
        if !section.iter().any(|(_, line)| *line == key.row) {
            let rule = format!("key {} lacks its row: {}", key.name, key.row);
            violations.push(Violation::new(MANUAL, start + 1, rule));
        }
    }
    for (line, text) in section {
        let is_row = text.starts_with("| `");
        if is_row && !keys.iter().any(|key| key.row == text) {
            violations.push(Violation::new(
                MANUAL,
                line,
                "a row of no key, or of an old one",
            ));
        }
    }
    violations
}

/// What `/metrics` may say: the families' names and the reasons of drops.
pub fn metric_names() -> Vec<String> {
    let page = metrics_text(&[]);
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families = families.filter_map(|rest| rest.split(' ').next());
    let reasons = Drop::ALL.iter().map(|reason| reason.label());
    families.chain(reasons).map(str::to_owned).collect()
}

/// Every name of the metrics page begins a row of the manual.
pub fn metric_rows(tree: &Tree, names: &[String]) -> Vec<Violation> {
    let text = tree.texts.get(MANUAL).map_or("", String::as_str);
    let missing = names.iter().filter(|name| {
        let row = format!("| `{name}` |");
        !text.lines().any(|line| line.starts_with(&row))
    });
    missing
        .map(|name| Violation::new(MANUAL, 1, format!("metric {name} has no row")))
        .collect()
}

/// Every key's field is read as `config.field` (or `config().field`) by code
/// other than the table's own: a parsed setting nobody reads is a lie.
pub fn config_readers(tree: &Tree, keys: &[ConfigKey]) -> Vec<Violation> {
    let table = tree.texts.get(TABLE_OWNER).map_or("", String::as_str);
    let is_read = |field: &str| {
        let others = tree
            .sources
            .iter()
            .filter(|s| !s.path.starts_with(TABLE_FOLDER));
        others.into_iter().any(|source| {
            source.tokens.windows(4).any(|window| {
                let [owner, dot, word, after] = [0, 1, 2, 3].map(|i| window[i].text.as_str());
                owner.ends_with("config") && dot == "." && word == field && after != "("
            })
        })
    };
    let unread = keys
        .iter()
        .filter(|key| !is_read(&key.name.replace('.', "_")));
    unread
        .map(|key| {
            let quoted = format!("\"{}\"", key.name);
            let line = table.lines().position(|line| line.contains(&quoted));
            let field = key.name.replace('.', "_");
            let rule = format!(
                "key {} has no reader: nothing says config.{field}",
                key.name
            );
            Violation::new(TABLE_OWNER, line.map_or(1, |index| index + 1), rule)
        })
        .collect()
}

/// Direct dependencies of a manifest, with their lines.
pub fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or(header);
            inside = header.ends_with("dependencies");
            if let Some((_, name)) = header.rsplit_once("dependencies.") {
                found.push((index + 1, name.to_owned()));
            }
        } else if inside && line.starts_with(|c: char| c.is_alphanumeric()) {
            let end = line.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
            found.push((index + 1, line[..end.unwrap_or(line.len())].to_owned()));
        }
    }
    found
}

/// Every direct dependency says above it why it is there. One comment may
/// stand over several crates behind the same door.
pub fn dependency_comments(tree: &Tree) -> Vec<Violation> {
    let manifest = tree.texts.get("Cargo.toml").map_or("", String::as_str);
    let lines: Vec<&str> = manifest.lines().collect();
    let dependencies = dependencies(manifest);
    let door = |name: &str| {
        let found = DOORS
            .iter()
            .find(|(crate_name, _)| *crate_name == name.replace('-', "_"));
        found.map(|(_, door)| *door).filter(|door| !door.is_empty())
    };
    let mut violations = Vec::new();
    let mut explained: Vec<usize> = Vec::new();
    for (line, name) in &dependencies {
        let above = lines.get(line.wrapping_sub(2)).copied().unwrap_or("");
        let companion = dependencies.iter().any(|(other_line, other)| {
            other_line + 1 == *line
                && explained.contains(other_line)
                && door(other).is_some()
                && door(other) == door(name)
        });
        if above.trim_start().starts_with('#') || companion {
            explained.push(*line);
        } else {
            let rule = format!("dependency {name} has no comment above that says why");
            violations.push(Violation::new("Cargo.toml", *line, rule));
        }
    }
    violations
}

/// Files that may name them: they run on machines they set up themselves.
const MACHINE_PATHS_ALLOWED: &[&str] = &["conformance/", "tests/", ".ci/"];

/// Paths of one machine in what others will read.
pub fn machine_paths(tree: &Tree) -> Vec<Violation> {
    let roots = ["work", "root", "home", "tmp"].map(|name| format!("/{name}/"));
    let names_one = |line: &str| {
        roots.iter().any(|root| {
            line.match_indices(root.as_str()).any(|(at, _)| {
                let after = line[at + root.len()..].chars().next();
                after.is_some_and(|c| c.is_ascii_alphabetic())
            })
        })
    };
    let mut violations = Vec::new();
    for (path, text) in &tree.texts {
        if MACHINE_PATHS_ALLOWED
            .iter()
            .any(|folder| path.starts_with(folder))
        {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if names_one(line) {
                violations.push(Violation::new(path, index + 1, "a path of one machine"));
            }
        }
    }
    violations
}

fn key(name: &str) -> ConfigKey {
    ConfigKey {
        name: name.to_owned(),
        row: format!("| `{name}` | row |"),
    }
}

fn places(violations: &[Violation]) -> Vec<(&str, usize)> {
    violations
        .iter()
        .map(|violation| (violation.path.as_str(), violation.line))
        .collect()
}

#[test]
fn planted_gaps_of_the_manual_are_found() {
    let manual = "# Operations\n| `b` | row |\n## Configuration\n\n| key |\n| `a` | row |\n\
                  | `old` | row |\n## REST\n| `c` | row |\n";
    let tree = Tree::planted(&[(MANUAL, manual)]);
    let found = manual_rows(&tree, &[key("a"), key("b"), key("c")]);
    assert_eq!(places(&found), [(MANUAL, 3), (MANUAL, 3), (MANUAL, 7)]);
    assert_eq!(manual_rows(&Tree::planted(&[]), &[key("a")]).len(), 1);
}

#[test]
fn planted_metrics_without_row_are_found() {
    let tree = Tree::planted(&[(MANUAL, "| `a_total` | counter |\ntext `b` | x\n")]);
    let names = ["a_total", "a", "b"].map(str::to_owned);
    let found = metric_rows(&tree, &names);
    assert_eq!(places(&found), [(MANUAL, 1), (MANUAL, 1)]);
    assert!(
        metric_names()
            .iter()
            .any(|name| name == "ringhall_drops_total")
    );
}

#[test]
fn planted_keys_without_reader_are_found() {
    let tree = Tree::planted(&[
        (
            TABLE_OWNER,
            "x\nname: \"b\"\nfn f() { config.b; config.a_b; }",
        ),
        (
            "src/main.rs",
            "fn f(peer: P) { self.config.a_b; peer.ip; config.ip(); \"config.b\"; }\n// config.b\n\
             #[cfg(test)]\nmod tests { fn f() { config.b; } }",
        ),
    ]);
    let found = config_readers(&tree, &[key("a.b"), key("b"), key("ip")]);
    assert_eq!(places(&found), [(TABLE_OWNER, 2), (TABLE_OWNER, 1)]);
}

#[test]
fn planted_dependencies_without_reason_are_found() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\n# Why.\naes = \"1\"\nctr = \"1\"\n\
                    ring = \"1\"\nhmac = \"1\"\n\n# Why.\nbytes = { version = \"1\", features = [\n  \"a\",\n] }\n\
                    [dev-dependencies]\n# Why.\nwebrtc-srtp = \"1\"\ndtls = \"1\"\n[dependencies.clap]\n\
                    version = \"1\"\n[lints.rust]\nunused = \"deny\"\n";
    let tree = Tree::planted(&[("Cargo.toml", manifest)]);
    let file = "Cargo.toml";
    assert_eq!(
        places(&dependency_comments(&tree)),
        [(file, 8), (file, 9), (file, 18), (file, 19)]
    );
}

#[test]
fn planted_machine_paths_are_found() {
    let planted = ["work", "root", "home", "tmp"].map(|name| format!("see /{name}/x\n"));
    let text = format!("# a\n{}/tmp/ /home/1 /tmpfoo/a\n", planted.concat());
    let tree = Tree::planted(&[
        ("README.md", &text),
        ("conformance/run.sh", &text),
        ("tests/a.rs", &text),
        (".ci/run", &text),
    ]);
    let file = "README.md";
    assert_eq!(
        places(&machine_paths(&tree)),
        [(file, 2), (file, 3), (file, 4), (file, 5)]
    );
}
