//! What holds for any text as a manifest, and as a template of file names: what
//! is understood prints as text that means the same, and leads nowhere but to
//! plain files of one folder.

use ringhall::ops::manifest::{self, AudioFormat, FileState, VideoFormat};
use ringhall::ops::manifest::{
    Gap, GapTrack, Manifest, ManifestAudio, ManifestFile, ManifestVideo,
};
use ringhall::ops::record_name::{EXTENSION, NameParts, PART_SUFFIX, Template, is_safe_name};

/// Entry of the fuzz target and of the corpus replay. Up to the first NUL is a
/// template, what follows a manifest.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, text) = text.split_once('\0').unwrap_or((&text, &text));
    check_template(template, text);
    match manifest::parse(text) {
        Ok(manifest) => {
            let rendered = manifest::render(&manifest);
            assert_eq!(manifest::parse(&rendered).as_ref(), Ok(&manifest));
            assert!(manifest.files.iter().all(|file| is_safe_name(&file.name)));
            assert!(is_safe_name(&manifest::file_name(&manifest.room, u64::MAX)));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whatever people call themselves.
fn check_template(text: &str, names: &str) {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return assert!(!error.to_string().chars().any(char::is_control)),
    };
    assert_eq!(Template::parse(template.text()).as_ref(), Ok(&template));
    let (login, stream_name) = names.split_once('-').unwrap_or((names, ""));
    let name = template.name(&NameParts {
        stream_name,
        login,
        session_id: names,
        media_session_id: stream_name,
        start_unix_ms: names.len() as u64,
    });
    assert!(is_safe_name(&format!("{name}{PART_SUFFIX}")), "{name}");
    // Never a manifest's name.
    assert!(name.ends_with(EXTENSION), "{name}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let file = ManifestFile {
        name: "stream-1-ann.mp4".to_owned(),
        login: "ann".to_owned(),
        stream: "r-ann-cam".to_owned(),
        media_session_id: "1".to_owned(),
        began_unix_us: 1_700_000_000_000_000,
        duration_us: 90_000_000,
        size_bytes: 5 << 20,
        content_from_us: 45_000_000,
        content_until_us: 80_000_000,
        video: Some(ManifestVideo {
            codec: VideoFormat::Vp8,
            width: 640,
            height: 480,
            is_filler_only: false,
        }),
        audio: Some(ManifestAudio {
            codec: AudioFormat::Opus,
            is_filler_only: true,
        }),
        gaps: vec![Gap {
            track: GapTrack::Video,
            from_us: 50_000_000,
            until_us: 51_000_000,
        }],
        state: FileState::Failed,
        why: Some("the disk is full".to_owned()),
    };
    let manifest = Manifest {
        room: "r".to_owned(),
        origin_unix_us: Some(1_700_000_000_000_000),
        files: vec![file],
    };
    let rendered = manifest::render(&manifest);
    [
        "stream-{mediaSessionId}-{login}.mp4\0../../x-\u{202e}y",
        "{streamName}{startTime}{startTimeMillis}{sessionId}\0",
        "{endTime}",
        "{login",
        &format!("a\0{rendered}"),
        "\0{\"room\":\"\",\"origin_unix_us\":null,\"files\":[]}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
