//! The walls of the house, held by reading the sources: who imports whom, which
//! crate has which door, what a pure layer may not say, how long things may
//! grow, and that configuration, manual and manifest keep up with the code.
//! Each wall is itself tested on planted violations, beside its code.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[path = "house/documents.rs"]
mod documents;
#[path = "house/imports.rs"]
mod imports;
#[path = "house/sizes.rs"]
mod sizes;
#[path = "house/source.rs"]
mod source;
#[path = "house/words.rs"]
mod words;

use source::{Tree, Violation};

#[test]
fn layers_import_only_what_lies_below_them() {
    holds(imports::layers);
}

#[test]
fn each_crate_has_one_door() {
    holds(imports::doors);
}

#[test]
fn pure_layers_touch_nothing() {
    holds(words::pure_words);
}

#[test]
fn unsafe_stays_in_io() {
    holds(words::unsafe_words);
}

#[test]
fn nothing_panics_unexplained() {
    holds(words::panics);
}

#[test]
fn files_stay_short() {
    holds(sizes::files);
}

#[test]
fn functions_fit_a_screen() {
    holds(sizes::functions);
}

#[test]
fn names_say_something() {
    holds(sizes::names);
}

#[test]
fn every_config_key_is_in_the_manual() {
    holds(|tree| documents::manual_rows(tree, &documents::config_keys()));
}

#[test]
fn every_metric_is_in_the_manual() {
    holds(|tree| documents::metric_rows(tree, &documents::metric_names()));
}

#[test]
fn every_config_key_has_a_reader() {
    holds(|tree| documents::config_readers(tree, &documents::config_keys()));
}

#[test]
fn every_dependency_says_why() {
    holds(documents::dependency_comments);
}

#[test]
fn no_text_names_one_machine() {
    holds(documents::machine_paths);
}

/// Applies one wall to this repository and reports every breach.
fn holds(wall: impl Fn(&Tree) -> Vec<Violation>) {
    let tree = repository();
    // A wall that reads nothing holds nothing.
    for expected in ["src/lib.rs", "src/base/time.rs", "src/core/border.rs"] {
        assert!(
            tree.sources.iter().any(|source| source.path == expected),
            "{expected} was not read"
        );
    }
    let mut violations = wall(&tree);
    violations.sort();
    let report: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(
        violations.is_empty(),
        "{} broken:\n{}\n",
        report.len(),
        report.join("\n")
    );
}

/// Every file of the repository, except what `.gitignore` excludes.
fn repository() -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignore = fs::read_to_string(root.join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignore
        .lines()
        .map(|line| line.trim().trim_end_matches('/'))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut texts = BTreeMap::new();
    read_folder(root, "", &ignored, &mut texts);
    Tree::new(texts)
}

fn read_folder(root: &Path, folder: &str, ignored: &[&str], texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = match folder {
            "" => name.clone(),
            _ => format!("{folder}/{name}"),
        };
        let kind = entry.file_type().unwrap();
        if name == ".git" || is_ignored(&path, &name, ignored) {
            continue;
        }
        if kind.is_dir() {
            read_folder(root, &path, ignored, texts);
        } else if kind.is_file() {
            // Fuzz inputs need not be text; what is text in them still counts.
            let bytes = fs::read(entry.path()).unwrap();
            texts.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

/// The part of gitignore's language this repository uses: `/path` from the
/// root, a name anywhere, and `*` at one end of a name.
fn is_ignored(path: &str, name: &str, ignored: &[&str]) -> bool {
    ignored
        .iter()
        .any(|pattern| match pattern.strip_prefix('/') {
            Some(rooted) => rooted == path,
            None => match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
                (Some(end), _) => name.ends_with(end),
                (_, Some(start)) => name.starts_with(start),
                _ => *pattern == name,
            },
        })
}

#[test]
fn ignored_files_are_not_read() {
    let ignored = ["/target", "/fuzz/target", "*.log", "node_modules"];
    assert!(is_ignored("target", "target", &ignored));
    assert!(is_ignored("fuzz/target", "target", &ignored));
    assert!(is_ignored("a/b.log", "b.log", &ignored));
    assert!(is_ignored("web/node_modules", "node_modules", &ignored));
    assert!(!is_ignored("src/target", "target", &ignored));
    assert!(
        !repository()
            .texts
            .keys()
            .any(|path| path.starts_with("target/"))
    );
}
