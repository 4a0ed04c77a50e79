//! Reads Rust source the way the walls need it: comments and literals blanked
//! out, test code cut, tokens with their lines, and every path a file names.

use std::collections::BTreeMap;
use std::fmt;

/// The repository's files by path from its root, and what the walls read.
pub struct Tree {
    pub texts: BTreeMap<String, String>,
    /// The Rust files under `src/`, without files that are test code only.
    pub sources: Vec<Source>,
}

/// One Rust file.
pub struct Source {
    /// From the repository's root: `src/wire/stun.rs`.
    pub path: String,
    /// As written, for looking at comments.
    pub lines: Vec<String>,
    /// As many lines, with comments, literals and test code blanked.
    pub code: Vec<String>,
    pub tokens: Vec<Token>,
    /// Lines that are not test code.
    pub own_lines: usize,
}

/// A word (identifier, keyword, number) or one punctuation mark; `::` is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// 1-based.
    pub line: usize,
}

/// A path as the code names it, its `use` tree taken apart: `std`, `thread`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRef {
    pub segments: Vec<String>,
    /// The name a `use` binds; `None` outside of `use`.
    pub binds: Option<String>,
    pub line: usize,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

impl Violation {
    pub fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Violation {
            path: path.to_owned(),
            line,
            rule: rule.into(),
        }
    }
}

impl Tree {
    pub fn new(texts: BTreeMap<String, String>) -> Self {
        let mut sources: Vec<Source> = texts
            .iter()
            .filter(|(path, _)| path.starts_with("src/") && path.ends_with(".rs"))
            .map(|(path, text)| Source::new(path, text))
            .collect();
        let tests: Vec<String> = texts
            .iter()
            .filter(|(path, _)| path.starts_with("src/") && path.ends_with(".rs"))
            .flat_map(|(path, text)| test_module_files(path, text))
            .collect();
        sources.retain(|source| !tests.contains(&source.path));
        Tree { texts, sources }
    }

    /// A tree of snippets, for testing the walls themselves.
    pub fn planted(files: &[(&str, &str)]) -> Self {
        Tree::new(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let blanked = blank_literals(text);
        let code = blank_tests(&blanked);
        let test_lines = tests_ranges(&blanked)
            .iter()
            .map(|(start, end)| blanked[*start..*end].matches('\n').count() + 1)
            .sum::<usize>();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Source {
            path: path.to_owned(),
            own_lines: lines.len().saturating_sub(test_lines),
            lines,
            tokens: tokens(&code),
            code: code.lines().map(str::to_owned).collect(),
        }
    }

    /// The first folder under `src/`, or the file's stem when it has none.
    pub fn layer(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = inner.split('/').next().unwrap_or(inner);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Module path of this file: `src/wire/sdp/mod.rs` is `wire`, `sdp`.
    pub fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        match inner {
            "lib" | "main" => Vec::new(),
            _ => inner.split('/').map(str::to_owned).collect(),
        }
    }

    /// Every path of the file, those of `use` trees in full.
    pub fn paths(&self) -> Vec<PathRef> {
        let mut paths = Vec::new();
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            if token.text == "use" {
                at = self.use_tree(at + 1, &[], &mut paths);
            } else if is_word(&token.text) || token.text == "::" {
                at = self.inline_path(at, &mut paths);
            } else {
                at += 1;
            }
        }
        paths
    }

    /// Each token between the texts of its neighbours, empty at the file's ends.
    pub fn neighbours(&self) -> impl Iterator<Item = (&str, &Token, &str)> {
        self.tokens.iter().enumerate().map(|(at, token)| {
            let before = at.checked_sub(1).map_or("", |before| self.text(before));
            (before, token, self.text(at + 1))
        })
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn inline_path(&self, start: usize, paths: &mut Vec<PathRef>) -> usize {
        let line = self.tokens[start].line;
        // `::name` after a type (`<T as X>::name`, `Vec::<u8>::new`) goes on, it does not begin.
        let continues = self.text(start) == "::" && start > 0 && self.text(start - 1) == ">";
        let mut segments = Vec::new();
        let mut at = start;
        if continues {
            segments.push("<>".to_owned());
        }
        if self.text(at) == "::" {
            at += 1;
        }
        while is_word(self.text(at)) {
            segments.push(self.text(at).to_owned());
            if self.text(at + 1) != "::" || !is_word(self.text(at + 2)) {
                at += 1;
                break;
            }
            at += 2;
        }
        // A field or method name is no path.
        let is_member = start > 0 && self.text(start - 1) == ".";
        if !segments.is_empty() && !is_member {
            paths.push(PathRef {
                segments,
                binds: None,
                line,
            });
        }
        at.max(start + 1)
    }

    /// Reads one `use` tree from `at`; returns the place after it.
    fn use_tree(&self, mut at: usize, prefix: &[String], paths: &mut Vec<PathRef>) -> usize {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        loop {
            match self.text(at) {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.use_tree(at, &segments, paths);
                        if self.text(at) == "," {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "as" => {
                    let binds = Some(self.text(at + 1).to_owned());
                    paths.push(PathRef {
                        segments,
                        binds,
                        line,
                    });
                    return at + 2;
                }
                word if is_word(word) || word == "*" => {
                    segments.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
            segments.pop();
        }
        let binds = segments.last().cloned();
        if segments.len() > prefix.len() || binds.is_some() {
            paths.push(PathRef {
                segments,
                binds,
                line,
            });
        }
        // Always moves on, whatever stands there.
        match self.text(at) {
            "," | "}" | ";" | "" => at,
            _ => at + 1,
        }
    }
}

pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// `text` with comments, string and character literals as spaces; line feeds stay.
pub fn blank_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        for c in &chars[at..end] {
            out.push(if *c == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let get = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let after_word = at > 0 && (get(at - 1).is_alphanumeric() || get(at - 1) == '_');
    match (get(at), get(at + 1)) {
        ('/', '/') => find(chars, at, |index| get(index) == '\n'),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => quoted_end(chars, at + 1, '"'),
        ('b' | 'c', '"') if !after_word => quoted_end(chars, at + 2, '"'),
        ('b', '\'') if !after_word => quoted_end(chars, at + 2, '\''),
        ('r', _) if !after_word => raw_end(chars, at, 1),
        ('b' | 'c', 'r') if !after_word => raw_end(chars, at, 2),
        // 'a' and '\n' are characters, 'a without a closing quote is a lifetime.
        ('\'', '\\') => quoted_end(chars, at + 1, '\''),
        ('\'', _) if get(at + 2) == '\'' => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len())
        .find(|index| is_end(*index))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#` and on; `skip` characters stand before the hashes.
fn raw_end(chars: &[char], start: usize, skip: usize) -> usize {
    let hashes = chars[start + skip..]
        .iter()
        .take_while(|c| **c == '#')
        .count();
    let open = start + skip + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let closes = |index: usize| {
        chars[index] == '"'
            && chars[index + 1..]
                .iter()
                .take_while(|c| **c == '#')
                .take(hashes)
                .count()
                == hashes
    };
    (find(chars, open + 1, closes) + 1 + hashes).min(chars.len())
}

const TEST_ATTRIBUTE: &str = "#[cfg(test)]";

/// Byte ranges of the items under `#[cfg(test)]` in blanked source.
fn tests_ranges(blanked: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while let Some(found) = blanked[from..].find(TEST_ATTRIBUTE) {
        let start = from + found;
        let end = item_end(blanked, start + TEST_ATTRIBUTE.len());
        ranges.push((start, end));
        from = end;
    }
    ranges
}

/// The end of the item that begins at `start`: its `;`, or its closing brace.
fn item_end(blanked: &str, start: usize) -> usize {
    let mut depth = 0usize;
    for (offset, c) in blanked[start..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    // `use a::{b};` ends at its semicolon, one character on.
                    let rest = &blanked[start + offset + 1..];
                    return start + offset + 1 + usize::from(rest.starts_with(';'));
                }
            }
            ';' if depth == 0 => return start + offset + 1,
            _ => {}
        }
    }
    blanked.len()
}

fn blank_tests(blanked: &str) -> String {
    let mut out = String::with_capacity(blanked.len());
    let mut from = 0;
    for (start, end) in tests_ranges(blanked) {
        out.push_str(&blanked[from..start]);
        out.extend(blanked[start..end].chars().filter(|c| *c == '\n'));
        from = end;
    }
    out.push_str(&blanked[from..]);
    out
}

/// Files that `path` declares as `#[cfg(test)] mod name;`.
fn test_module_files(path: &str, text: &str) -> Vec<String> {
    let blanked = blank_literals(text);
    let folder = match path.strip_suffix("/mod.rs") {
        Some(folder) => folder.to_owned(),
        None if path == "src/lib.rs" || path == "src/main.rs" => "src".to_owned(),
        None => path.strip_suffix(".rs").unwrap_or(path).to_owned(),
    };
    tests_ranges(&blanked)
        .into_iter()
        .filter_map(|(start, end)| {
            let item = blanked[start + TEST_ATTRIBUTE.len()..end].trim();
            let name = item.strip_prefix("mod ")?.strip_suffix(';')?.trim();
            Some([
                format!("{folder}/{name}.rs"),
                format!("{folder}/{name}/mod.rs"),
            ])
        })
        .flatten()
        .collect()
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = if is_word(rest) {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token {
                text: rest[..len].to_owned(),
                line: index + 1,
            });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" i r#\"j \" k\"# l b'm' 'n' '\\'' 'o: p br\"q\" r#s";
    let blanked = blank_literals(text);
    assert_eq!(blanked.len(), text.len());
    let words: Vec<&str> = blanked.split_whitespace().collect();
    assert_eq!(words, ["a", "f", "i", "l", "'o:", "p", "r#s"]);
}

#[test]
fn test_code_is_cut_and_lines_stay() {
    let text = "fn a() {}\n#[cfg(test)]\nuse x::{y, z};\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\nfn d() {}\n";
    let source = Source::new("src/wire/x.rs", text);
    let words: Vec<(&str, usize)> = source
        .tokens
        .iter()
        .filter(|token| is_word(&token.text) && token.text != "fn")
        .map(|token| (token.text.as_str(), token.line))
        .collect();
    assert_eq!(words, [("a", 1), ("b", 4), ("d", 9)]);
    assert_eq!(source.own_lines, 3);
}

#[test]
fn a_file_declared_as_test_module_is_no_source() {
    let tree = Tree::planted(&[
        ("src/wire/rtp.rs", "#[cfg(test)]\nmod tests;\nmod real;"),
        ("src/wire/rtp/tests.rs", "fn a() { b.unwrap() }"),
        ("src/wire/rtp/real.rs", ""),
    ]);
    let paths: Vec<&str> = tree.sources.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(paths, ["src/wire/rtp.rs", "src/wire/rtp/real.rs"]);
}

#[test]
fn use_trees_are_taken_apart() {
    let text = "use a::{b, c::{self, d as e}, f::*};\nuse ::g;\nfn x() { h::i(<T as j::K>::l, m.n, Vec::<u8>::new()) }";
    let source = Source::new("src/wire/x.rs", text);
    let paths = source.paths();
    let full = |path: &PathRef| path.segments.join("::");
    let used: Vec<(String, String)> = paths
        .iter()
        .filter_map(|path| Some((full(path), path.binds.clone()?)))
        .collect();
    let expected = [
        ("a::b", "b"),
        ("a::c", "c"),
        ("a::c::d", "e"),
        ("a::f::*", "*"),
        ("g", "g"),
    ];
    let expected = expected.map(|(path, name)| (path.to_owned(), name.to_owned()));
    assert_eq!(used, expected);
    let inline: Vec<String> = paths
        .iter()
        .filter(|path| path.binds.is_none())
        .map(full)
        .collect();
    for path in ["h::i", "j::K", "<>::l", "m", "<>::new"] {
        assert!(inline.contains(&path.to_owned()), "{path} in {inline:?}");
    }
    assert!(!inline.contains(&"n".to_owned()));
}
