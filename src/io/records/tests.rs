use std::os::unix::fs::symlink;

use super::*;
use crate::base::limits::{HTTP_PIECE_BYTES, RECORD_PART_BYTES, RECORD_PIECE_BYTES};
use crate::core::border::{RecordAsked, RecordPiece, Rendered};
use crate::io::test_folder::Folder;
use crate::ops::manifest::{Manifest, file_name, render};
use crate::ops::rest::Connection;

fn asked(name: &str, range: Option<&str>) -> RecordAsked {
    RecordAsked {
        name: name.to_string(),
        range: range.map(str::to_string),
        ..RecordAsked::default()
    }
}

fn answer(records: &Records, asked: &RecordAsked) -> Rendered {
    records.answer(asked, Connection::KeepAlive, false)
}

fn head(rendered: &Rendered) -> String {
    String::from_utf8(rendered.head.to_vec()).unwrap()
}

fn status(rendered: &Rendered) -> u16 {
    head(rendered)[9..12].parse().unwrap()
}

fn header(rendered: &Rendered, name: &str) -> String {
    let head = head(rendered);
    let start = format!("{name}: ");
    let mut values = head.lines().filter_map(|line| line.strip_prefix(&start));
    values.next().unwrap_or_default().to_string()
}

/// A body of which no byte is like its neighbours.
fn film(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 / 5) as u8).collect()
}

/// The whole body, asked for as the core does.
fn all(records: &Records, first: Rendered) -> Vec<u8> {
    let mut body = first.body.to_vec();
    let mut rest = first.rest;
    while let Some(next) = rest {
        let piece = records.piece(&next);
        assert!(piece.head.is_empty() && !piece.body.is_empty());
        assert!(piece.body.len() <= RECORD_PIECE_BYTES);
        body.extend_from_slice(&piece.body);
        rest = piece.rest;
    }
    body
}

#[test]
fn a_long_file_is_read_piece_by_piece() {
    let folder = Folder::new();
    let film = film(3 * RECORD_PIECE_BYTES + 5);
    std::fs::write(folder.path().join("a.mp4"), &film).unwrap();
    let records = Records::of(folder.path());
    let whole = answer(&records, &asked("a.mp4", None));
    assert_eq!(status(&whole), 200);
    assert_eq!(header(&whole, "Content-Type"), "video/mp4");
    assert_eq!(header(&whole, "Accept-Ranges"), "bytes");
    assert_eq!(header(&whole, "Content-Length"), film.len().to_string());
    assert_eq!(whole.body.len(), HTTP_PIECE_BYTES);
    assert!(all(&records, whole) == film);
    let part = answer(&records, &asked("a.mp4", Some("bytes=7-700000")));
    assert_eq!(status(&part), 206);
    let of = format!("bytes 7-700000/{}", film.len());
    assert_eq!(header(&part, "Content-Range"), of);
    assert!(all(&records, part) == film[7..=700_000]);
    let mut in_parts = asked("a.mp4", Some("bytes=7-"));
    in_parts.in_parts = true;
    let part = answer(&records, &in_parts);
    assert_eq!(
        (status(&part), all(&records, part).len()),
        (206, RECORD_PART_BYTES as usize)
    );
    let tail = answer(&records, &asked("a.mp4", Some("bytes=-5")));
    assert!(tail.rest.is_none() && tail.body == film[film.len() - 5..]);
    let brief = records.answer(&asked("a.mp4", None), Connection::Close, true);
    assert!(brief.body.is_empty() && brief.rest.is_none());
    assert_eq!(header(&brief, "Content-Length"), film.len().to_string());
}

#[test]
fn ranges_beyond_the_file_are_told_its_length() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("a.mp4"), "0123456789").unwrap();
    std::fs::write(folder.path().join("empty.mp4"), "").unwrap();
    let records = Records::of(folder.path());
    let beyond = answer(&records, &asked("a.mp4", Some("bytes=10-")));
    assert_eq!(status(&beyond), 416);
    assert_eq!(header(&beyond, "Content-Range"), "bytes */10");
    let several = answer(&records, &asked("a.mp4", Some("bytes=0-1,4-5")));
    assert_eq!((status(&several), several.body.len()), (200, 10));
    let empty = answer(&records, &asked("empty.mp4", None));
    assert_eq!((status(&empty), empty.body.len()), (200, 0));
}

#[test]
fn a_client_learns_whether_its_copy_is_still_the_file() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("a.mp4"), "0123456789").unwrap();
    let records = Records::of(folder.path());
    let first = answer(&records, &asked("a.mp4", None));
    let (tag, date) = (header(&first, "ETag"), header(&first, "Last-Modified"));
    assert!(tag.starts_with('"') && date.ends_with(" GMT"));
    let mut again = asked("a.mp4", None);
    again.if_none_match = Some(format!("\"x\", {tag}"));
    assert_eq!(status(&answer(&records, &again)), 304);
    let part = |if_range: &str| {
        let mut asked = asked("a.mp4", Some("bytes=1-2"));
        asked.if_range = Some(if_range.to_string());
        status(&answer(&records, &asked))
    };
    assert_eq!((part(&tag), part(&date)), (206, 206));
    assert_eq!((part("\"x\""), part(&format!("W/{tag}"))), (200, 200));
    assert_eq!(part("Sun, 06 Nov 1994 08:49:37 GMT"), 200);
}

#[test]
fn a_recording_that_goes_on_is_served_under_its_final_name() {
    let folder = Folder::new();
    let film = film(2 * RECORD_PIECE_BYTES);
    let part = folder.path().join("a.mp4.part");
    std::fs::write(&part, &film).unwrap();
    let records = Records::of(folder.path());
    let begun = answer(&records, &asked("a.mp4", None));
    assert_eq!(
        (status(&begun), header(&begun, "ETag")),
        (200, String::new())
    );
    assert_eq!(header(&begun, "Cache-Control"), "no-store");
    let mut asked_again = asked("a.mp4", Some("bytes=1-2"));
    asked_again.if_range = Some("\"x\"".to_string());
    assert_eq!(status(&answer(&records, &asked_again)), 200);
    // Finished while it is read.
    std::fs::rename(&part, folder.path().join("a.mp4")).unwrap();
    assert!(all(&records, begun) == film);
}

#[test]
fn a_body_ends_with_the_file_it_began_with() {
    let folder = Folder::new();
    let path = folder.path().join("a.mp4");
    std::fs::write(&path, film(2 * RECORD_PIECE_BYTES)).unwrap();
    let records = Records::of(folder.path());
    let rest = answer(&records, &asked("a.mp4", None)).rest.unwrap();
    std::fs::write(folder.path().join("b.mp4"), film(2 * RECORD_PIECE_BYTES)).unwrap();
    std::fs::rename(folder.path().join("b.mp4"), &path).unwrap();
    assert_eq!(records.piece(&rest), Rendered::default());
    let rest = answer(&records, &asked("a.mp4", None)).rest.unwrap();
    std::fs::write(&path, "short").unwrap();
    assert_eq!(records.piece(&rest), Rendered::default());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(records.piece(&rest), Rendered::default());
    let overflowing = RecordPiece {
        from: u64::MAX,
        until: 0,
        ..rest
    };
    assert_eq!(records.piece(&overflowing), Rendered::default());
    // What stands still is no piece.
    let nothing = RecordPiece {
        size_bytes: 0,
        ..overflowing
    };
    assert_eq!(records.piece(&nothing), Rendered::default());
}

#[test]
fn only_plain_files_of_the_folder_are_served_and_listed() {
    let folder = Folder::new();
    let root = folder.path().join("records");
    std::fs::create_dir_all(root.join("folder.mp4")).unwrap();
    std::fs::write(folder.path().join("secret.mp4"), "secret").unwrap();
    symlink("../secret.mp4", root.join("link.mp4")).unwrap();
    for name in ["a b.mp4", ".hidden.mp4", "notes.txt", "a.mp4", "a.mp4.part"] {
        std::fs::write(root.join(name), "x").unwrap();
    }
    std::fs::write(root.join("room-bad-1.json"), "{").unwrap();
    let manifest = Manifest {
        room: "r".to_string(),
        origin_unix_us: None,
        files: Vec::new(),
    };
    std::fs::write(root.join(file_name("r", 7)), render(&manifest)).unwrap();
    let records = Records::of(&root);
    for name in ["folder.mp4", "link.mp4", "missing.mp4"] {
        assert_eq!(status(&answer(&records, &asked(name, None))), 404, "{name}");
    }
    let found = find(&root);
    let names: Vec<_> = found
        .files
        .iter()
        .map(|f| (f.name.as_str(), f.is_part))
        .collect();
    assert_eq!(names, [("a.mp4", false)], "the whole file stands for both");
    assert_eq!(found.manifests, [("room-r-7.json".to_string(), manifest)]);
    assert_eq!(found.bad[0].0, "room-bad-1.json");
    assert!(!found.is_truncated);
    let listed = answer(&records, &asked("room-r-7.json", None));
    assert_eq!(header(&listed, "Content-Type"), "application/json");
    assert!(records.json().contains("\"a.mp4\""));
    let nowhere = Records::of(&folder.path().join("nowhere"));
    assert!(nowhere.json().contains("\"records\":[]"));
}
