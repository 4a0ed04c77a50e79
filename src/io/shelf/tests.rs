use std::os::unix::fs::symlink;

use super::*;
use crate::io::test_folder::Folder;

/// A mounted folder beside a secret.
fn mounted() -> (Folder, Shelf) {
    let folder = Folder::new();
    let root = folder.path().join("shelf");
    for dir in [
        "shelf",
        "shelf/sub",
        "shelf/empty",
        "shelf/.git",
        "shelf-other",
    ] {
        std::fs::create_dir(folder.path().join(dir)).unwrap();
    }
    for (path, text) in [
        ("shelf/index.html", "<p>top"),
        ("shelf/sub/index.html", "<p>sub"),
        ("shelf/a.js", "let a"),
        ("shelf/ä b.txt", "umlaut"),
        ("shelf/.hidden", "secret"),
        ("shelf/.git/config", "secret"),
        ("shelf-other/a.js", "secret"),
        ("secret.txt", "secret"),
    ] {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let shelf = Shelf::open(&root).unwrap();
    (folder, shelf)
}

fn ask(path: &str) -> Asked<'_> {
    Asked {
        path,
        if_none_match: None,
        connection: Connection::KeepAlive,
        head_only: false,
    }
}

fn head(rendered: &Rendered) -> String {
    String::from_utf8(rendered.head.to_vec()).unwrap()
}

fn status(rendered: &Rendered) -> String {
    head(rendered)[9..12].to_string()
}

fn header(rendered: &Rendered, name: &str) -> String {
    let head = head(rendered);
    let start = format!("{name}: ");
    let mut values = head.lines().filter_map(|line| line.strip_prefix(&start));
    let value = values.next().unwrap_or_default().to_string();
    assert_eq!(values.next(), None, "{name} twice");
    value
}

#[test]
fn files_and_the_pages_of_folders_are_served() {
    let (_folder, shelf) = mounted();
    for (path, text, kind) in [
        ("a.js", "let a", "text/javascript; charset=utf-8"),
        ("ä b.txt", "umlaut", "text/plain; charset=utf-8"),
        ("", "<p>top", "text/html; charset=utf-8"),
        ("index.html", "<p>top", "text/html; charset=utf-8"),
        ("sub/", "<p>sub", "text/html; charset=utf-8"),
        ("sub/index.html", "<p>sub", "text/html; charset=utf-8"),
    ] {
        let answer = shelf.answer(&ask(path));
        assert_eq!(status(&answer), "200", "{path}");
        assert_eq!(answer.body, text);
        assert_eq!(header(&answer, "Content-Type"), kind);
        assert_eq!(header(&answer, "Content-Length"), text.len().to_string());
        assert_eq!(header(&answer, "Connection"), "keep-alive");
        assert_eq!(header(&answer, "X-Content-Type-Options"), "nosniff");
        let policy = header(&answer, "Content-Security-Policy");
        for word in [
            "'unsafe-inline'",
            "'unsafe-eval'",
            "wss: http: https:",
            "blob:",
        ] {
            assert!(policy.contains(word), "{policy}");
        }
        let question = Asked {
            head_only: true,
            ..ask(path)
        };
        let brief = shelf.answer(&question);
        assert_eq!((head(&brief), brief.body.len()), (head(&answer), 0));
    }
}

#[test]
fn a_folder_without_its_slash_leads_to_the_one_with_it() {
    let (folder, shelf) = mounted();
    let answer = shelf.answer(&ask("sub"));
    assert_eq!((status(&answer), answer.body.len()), ("302".to_string(), 0));
    assert_eq!(header(&answer, "Location"), "./sub/");
    let odd = folder.path().join("shelf/sub/a\r\n:b");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("index.html"), "odd").unwrap();
    let answer = shelf.answer(&ask("sub/a\r\n:b"));
    assert_eq!(header(&answer, "Location"), "./a%0D%0A%3Ab/");
}

#[test]
fn nothing_else_of_the_host_is() {
    let (folder, shelf) = mounted();
    let root = folder.path().join("shelf");
    symlink("../secret.txt", root.join("link.txt")).unwrap();
    symlink(folder.path(), root.join("up")).unwrap();
    symlink("../shelf-other", root.join("beside")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    std::fs::create_dir(root.join("sly")).unwrap();
    symlink("../../secret.txt", root.join("sly/index.html")).unwrap();
    let secret = folder.path().join("secret.txt");
    let long = "a/".repeat(5_000) + "a";
    let long_name = "a".repeat(300);
    for path in [
        "../secret.txt",
        "sub/../../secret.txt",
        "sub/../a.js",
        "..",
        ".",
        "./a.js",
        "sub/./index.html",
        "../shelf-other/a.js",
        "/a.js",
        "/",
        "//",
        "sub//index.html",
        "sub//",
        secret.to_str().unwrap(),
        ".hidden",
        ".git/config",
        "a.js/",
        "a.js/x",
        "a.js\0",
        "a.js\0.html",
        "..\\secret.txt",
        "sub\\index.html",
        "empty/",
        "empty",
        "missing",
        "link.txt",
        "up/secret.txt",
        "up/",
        "up/shelf/a.js",
        "beside/a.js",
        "loop",
        "sly/",
        "sly",
        "sly/index.html",
        "%2e%2e/secret.txt",
        &long,
        &long_name,
    ] {
        // What leads back into the folder may be served.
        let expected = if path == "up/shelf/a.js" {
            "200"
        } else {
            "404"
        };
        let answer = shelf.answer(&ask(path));
        assert_eq!(status(&answer), expected, "{path:?}");
        assert_ne!(answer.body, "secret", "{path:?}");
    }
}

#[test]
fn a_pipe_is_no_file() {
    let (folder, shelf) = mounted();
    let pipe = folder.path().join("shelf/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    assert_eq!(status(&shelf.answer(&ask("pipe"))), "404");
    assert!(read_whole(&pipe, 10).is_err());
}

#[test]
fn links_within_the_folder_work_and_the_folder_may_be_one() {
    let (folder, _) = mounted();
    let link = folder.path().join("link");
    symlink(folder.path().join("shelf"), &link).unwrap();
    symlink("a.js", folder.path().join("shelf/b.js")).unwrap();
    let shelf = Shelf::open(&link).unwrap();
    assert_eq!(shelf.answer(&ask("b.js")).body, "let a");
}

#[test]
fn only_a_folder_that_is_there_is_mounted() {
    let (folder, _) = mounted();
    for path in ["missing", "secret.txt"] {
        let error = Shelf::open(&folder.path().join(path)).map(|_| ());
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("client2.dir="), "{text}");
        assert!(text.contains(path), "{text}");
    }
}

#[test]
fn who_has_it_already_is_told_so() {
    let (folder, shelf) = mounted();
    let tag = header(&shelf.answer(&ask("a.js")), "ETag");
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2);
    let with = |tags: &str| {
        let question = Asked {
            if_none_match: Some(tags),
            ..ask("a.js")
        };
        let answer = shelf.answer(&question);
        assert_eq!(header(&answer, "ETag"), tag);
        (status(&answer), answer.body.len())
    };
    for tags in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_string(),
    ] {
        assert_eq!(with(&tags), ("304".to_string(), 0), "{tags}");
    }
    for tags in ["", "\"x\"", &tag[1..], "W/", ","] {
        assert_eq!(with(tags), ("200".to_string(), 5), "{tags}");
    }
    std::fs::write(folder.path().join("shelf/a.js"), "let changed").unwrap();
    let question = Asked {
        if_none_match: Some(&tag),
        ..ask("a.js")
    };
    assert_eq!(shelf.answer(&question).body, "let changed");
}

#[test]
fn bodies_are_shared_until_the_file_changes() {
    let (folder, shelf) = mounted();
    let first = shelf.answer(&ask("a.js")).body;
    let second = shelf.answer(&ask("a.js")).body;
    assert_eq!(first.as_ptr(), second.as_ptr());
    std::fs::write(folder.path().join("shelf/a.js"), "let b").unwrap();
    let file = File::options()
        .write(true)
        .open(folder.path().join("shelf/a.js"))
        .unwrap();
    let later = file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
    file.set_modified(later).unwrap();
    assert_eq!(shelf.answer(&ask("a.js")).body, "let b");
    std::fs::remove_file(folder.path().join("shelf/a.js")).unwrap();
    assert_eq!(status(&shelf.answer(&ask("a.js"))), "404");
}

#[test]
fn a_large_file_is_named_as_the_reason() {
    let (folder, _) = mounted();
    let root = folder.path().join("shelf");
    let shelf = Shelf::with_limits(&root, 100, 1_000).unwrap();
    std::fs::write(root.join("fits"), vec![b'x'; 100]).unwrap();
    std::fs::write(root.join("large"), vec![b'x'; 101]).unwrap();
    assert_eq!(shelf.answer(&ask("fits")).body.len(), 100);
    let answer = shelf.answer(&ask("large"));
    assert_eq!(status(&answer), "404");
    assert_eq!(answer.body, "file too large");
    assert!(
        read_whole(&root.join("large"), 100).is_err(),
        "grown meanwhile"
    );
}

#[test]
fn the_cache_keeps_to_its_bound_and_to_what_is_asked_for() {
    let (folder, _) = mounted();
    let root = folder.path().join("shelf").canonicalize().unwrap();
    let each = 1_000 + ENTRY_BYTES + root.as_os_str().len() + 3;
    let shelf = Shelf::with_limits(&root, 10_000, 3 * each).unwrap();
    for name in 0..8 {
        std::fs::write(root.join(format!("f{name}")), vec![b'x'; 1_000]).unwrap();
    }
    std::fs::write(root.join("whole"), vec![b'x'; 3 * each]).unwrap();
    let body = |name: &str| shelf.answer(&ask(name)).body;
    let favourite = body("f0");
    for round in 0..50 {
        assert_eq!(body(&format!("f{}", 1 + round % 7)).len(), 1_000);
        assert_eq!(
            body("f0").as_ptr(),
            favourite.as_ptr(),
            "asked for again and again"
        );
        let cache = shelf.cache.lock().unwrap();
        assert!(cache.bytes <= 3 * each && cache.entries.len() <= 3);
        let costs = cache
            .entries
            .iter()
            .map(|(path, entry)| cost_bytes(path, &entry.body));
        assert_eq!(cache.bytes, costs.sum::<usize>());
    }
    // One that never fits is served, and drives nothing out.
    assert_eq!(body("whole").len(), 3 * each);
    assert_eq!(body("f0").as_ptr(), favourite.as_ptr());
}

#[test]
fn kinds_by_extension() {
    for (name, kind) in [
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.min.js", "text/javascript; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("a.exe", "application/octet-stream"),
    ] {
        assert_eq!(content_type(Path::new(name)), kind, "{name}");
    }
}
