//! The commands for recordings that are files, as the shipped binary has them;
//! and that the server's own arguments mean what they did.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::{Command, Output};

use ringhall::ops::manifest::{FileState, Manifest, ManifestFile, ManifestVideo, VideoFormat};
use ringhall::ops::manifest::{file_name, render};

/// A folder for one test, gone after it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ringhall-after-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringhall"));
        command.args(arguments).current_dir(&self.0);
        command.output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_room_is_merged_by_its_name() {
    let folder = Folder::new("merge");
    std::fs::create_dir_all(folder.0.join("kept")).unwrap();
    let file = |name: &str, began_unix_us| ManifestFile {
        name: name.to_owned(),
        login: name.to_owned(),
        stream: "s".to_owned(),
        media_session_id: "1".to_owned(),
        began_unix_us,
        duration_us: 9_000_000,
        size_bytes: 1,
        content_from_us: 0,
        content_until_us: 9_000_000,
        video: Some(ManifestVideo {
            codec: VideoFormat::H264,
            width: 640,
            height: 480,
            is_filler_only: false,
        }),
        audio: None,
        gaps: Vec::new(),
        state: FileState::Finished,
        why: None,
    };
    let manifest = Manifest {
        room: "stand up".to_owned(),
        origin_unix_us: None,
        files: vec![file("a.mp4", 5_000_000), file("b.mp4", 7_500_000)],
    };
    let path = folder.0.join("kept").join(file_name("stand up", 5_000));
    std::fs::write(path, render(&manifest)).unwrap();
    for name in ["a.mp4", "b.mp4"] {
        std::fs::write(folder.0.join("kept").join(name), "x").unwrap();
    }
    let merge = ["merge", "stand up", "-o", "out.mp4", "--dry-run"];
    let ffmpeg = ["--ffmpeg", "none/ffmpeg"];
    // The folder is named, or is the server's own.
    let named = [&merge[..], &ffmpeg, &["--records-dir", "kept"]].concat();
    let done = folder.run(&named);
    let command = text(&done.stdout);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(command.starts_with("none/ffmpeg ") && command.ends_with(" out.mp4\n"));
    assert!(command.contains("-itsoffset 2.500000 -i kept/b.mp4"));
    let own = [&["--set", "records_dir=kept"], &merge[..], &ffmpeg].concat();
    assert_eq!(text(&folder.run(&own).stdout), command);

    let refused = folder.run(&["merge", "nobody", "-o", "out.mp4"]);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(text(&refused.stderr).starts_with("ringhall: \"nobody\" is no file"));
}

#[test]
fn a_repair_that_fails_is_told_by_its_exit() {
    let folder = Folder::new("repair");
    std::fs::write(folder.0.join("no.mp4"), "no film").unwrap();
    let failed = folder.run(&["repair", "no.mp4", "missing.mp4"]);
    assert_eq!(failed.status.code(), Some(1));
    let words = text(&failed.stderr);
    assert!(
        words.contains("no.mp4: the file is no recording"),
        "{words}"
    );
    assert!(words.contains("2 of 2 files are not repaired"), "{words}");
}

#[test]
fn the_servers_own_arguments_mean_what_they_did() {
    let folder = Folder::new("serve");
    let set = ["--set", "ws.port=9"];
    let whole = text(&folder.run(&["--set", "ws.port=9", "--print-config"]).stdout);
    assert!(whole.contains("\nws.port=9\n"), "{whole}");
    for arguments in [
        [&["serve"], &set[..], &["--print-config"]].concat(),
        [&set[..], &["--print-config", "serve"]].concat(),
    ] {
        assert_eq!(text(&folder.run(&arguments).stdout), whole);
    }
    let refused = folder.run(&["--set", "record_name_template={endTime}"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("{endTime} is not known yet"));
}
