//! How long a file and a function may grow, and what a file may not be called.

use super::source::{Source, Tree, Violation, is_word};

/// Lines of a file without its tests.
const FILE_MAX_LINES: usize = 1_000;

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_MAX_LINES: usize = 70;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils",
];

pub fn files(tree: &Tree) -> Vec<Violation> {
    let long = tree
        .sources
        .iter()
        .filter(|source| source.own_lines > FILE_MAX_LINES);
    long.map(|source| {
        let rule = format!("{} lines, at most {FILE_MAX_LINES}", source.own_lines);
        Violation::new(&source.path, FILE_MAX_LINES + 1, rule)
    })
    .collect()
}

pub fn functions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        for at in 0..source.tokens.len() {
            let Some((name, lines)) = function_lines(source, at) else {
                continue;
            };
            if lines > FUNCTION_MAX_LINES {
                let rule = format!("fn {name} has {lines} lines, at most {FUNCTION_MAX_LINES}");
                violations.push(Violation::new(&source.path, source.tokens[at].line, rule));
            }
        }
    }
    violations
}

/// Name and length of the function whose `fn` is the token at `at`.
fn function_lines(source: &Source, at: usize) -> Option<(&str, usize)> {
    let text = |index: usize| source.tokens.get(index).map(|token| token.text.as_str());
    let name = text(at + 1)?;
    // `fn(u8)` is a type.
    if text(at) != Some("fn") || !is_word(name) {
        return None;
    }
    let (mut brackets, mut braces) = (0usize, 0usize);
    for token in source.tokens.get(at + 2..)? {
        match token.text.as_str() {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets = brackets.saturating_sub(1),
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    let lines = token.line - source.tokens.get(at)?.line + 1;
                    return Some((name, lines));
                }
            }
            // Declared only.
            ";" if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Files, folders and inline modules with empty names.
pub fn names(tree: &Tree) -> Vec<Violation> {
    let is_empty = |name: &str| {
        name.split(['_', '-', '.'])
            .any(|part| EMPTY_NAMES.contains(&part))
    };
    let ours = ["src/", "tests/", "fuzz/", "benches/"];
    let mut violations: Vec<Violation> = tree
        .texts
        .keys()
        .filter(|path| ours.iter().any(|folder| path.starts_with(folder)))
        .filter(|path| path.split('/').any(is_empty))
        .map(|path| Violation::new(path, 1, "a name that says nothing: name what it owns"))
        .collect();
    for source in &tree.sources {
        for pair in source.tokens.windows(2) {
            if pair[0].text == "mod" && is_empty(&pair[1].text) {
                let rule = format!("mod {} says nothing: name what it owns", pair[1].text);
                violations.push(Violation::new(&source.path, pair[1].line, rule));
            }
        }
    }
    violations
}

#[test]
fn planted_long_files_are_found_and_tests_do_not_count() {
    let line = "const A: u8 = 1;\n";
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(500));
    let tree = Tree::planted(&[
        ("src/core/fits.rs", &(line.repeat(1_000) + &tests)),
        ("src/core/long.rs", &(line.repeat(1_001) + &tests)),
    ]);
    let found: Vec<String> = files(&tree).iter().map(Violation::to_string).collect();
    assert_eq!(found, ["src/core/long.rs:1001: 1001 lines, at most 1000"]);
}

#[test]
fn planted_long_functions_are_found() {
    let body = |lines: usize| " if a { b(\"}\") }\n".repeat(lines);
    let text = format!(
        "fn fits() {{\n{}}}\nfn long(a: [u8; 2]) -> X\nwhere Y: Z {{\n{}}}\n\
         trait T {{\n fn declared(f: fn(u8) -> u8);\n fn given() {{ {{ }} }}\n{}\n}}\n\
         #[cfg(test)]\nmod tests {{ fn t() {{\n{}}} }}\n",
        body(68),
        body(68),
        "\n".repeat(80),
        body(90),
    );
    let found: Vec<String> = functions(&Tree::planted(&[("src/room/a.rs", &text)]))
        .iter()
        .map(Violation::to_string)
        .collect();
    assert_eq!(
        found,
        ["src/room/a.rs:71: fn long has 71 lines, at most 70"]
    );
}

#[test]
fn planted_empty_names_are_found() {
    let tree = Tree::planted(&[
        ("benches/forward.rs", ""),
        ("src/core/room_manager.rs", ""),
        ("src/wire/rtp.rs", "mod utils {}\nmod utility {}\n"),
        ("src/wire/utils/mod.rs", ""),
        ("tests/common/mod.rs", ""),
        ("conformance/helpers.py", ""),
    ]);
    let found: Vec<(String, usize)> = names(&tree).into_iter().map(|v| (v.path, v.line)).collect();
    let expected = [
        ("src/core/room_manager.rs", 1),
        ("src/wire/utils/mod.rs", 1),
        ("tests/common/mod.rs", 1),
        ("src/wire/rtp.rs", 1),
    ];
    assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
}
