//! The REST body of `GET /api/records`: what lies in the folder of recordings,
//! with what the manifests beside it tell. Owns the JSON's field names, which
//! are an interface: they are added to, never renamed. Reads no folder itself.

use serde_json::{Value, json};

use super::manifest::{FileState, Manifest, ManifestError, ManifestFile, file_value};
use crate::base::hash::Map;

/// A recording as the folder shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Without the suffix of files still written to.
    pub name: String,
    pub size_bytes: u64,
    /// Microseconds since 1970.
    pub modified_unix_us: u64,
    /// Has that suffix.
    pub is_part: bool,
}

/// What was found in the folder.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub files: Vec<FoundFile>,
    /// By their files' names.
    pub manifests: Vec<(String, Manifest)>,
    /// Manifests that could not be read.
    pub bad: Vec<(String, ManifestError)>,
    /// There is more than is listed.
    pub is_truncated: bool,
}

/// Every recording, newest first:
///
/// ```json
/// {"records": [{"name": "stream-1-ann.mp4", "size_bytes": 0, "modified_unix_us": 0,
///   "state": "finished", "manifest": "room-r-1.json", "room": "r", "origin_unix_us": 0,
///   "login": "ann", "stream": "", "media_session_id": "", "began_unix_us": 0,
///   "duration_us": 0, "content_from_us": 0, "content_until_us": 0,
///   "video": {"codec": "avc1", "width": 0, "height": 0, "is_filler_only": false},
///   "audio": {"codec": "Opus", "is_filler_only": false}, "gaps": [], "why": null}],
///  "bad_manifests": [{"name": "room-r-2.json", "why": ""}], "truncated": false}
/// ```
///
/// `state` is `recording`, `finished` or `failed`. Of a file in no manifest only
/// the first four are told, and `manifest` is null.
pub fn records_json(found: &Found) -> String {
    let mut told: Map<&str, (&str, &Manifest, &ManifestFile)> = Map::default();
    for (name, manifest) in &found.manifests {
        for file in &manifest.files {
            told.insert(&file.name, (name, manifest, file));
        }
    }
    let mut files: Vec<&FoundFile> = found.files.iter().collect();
    files.sort_by(|a, b| {
        let newest = b.modified_unix_us.cmp(&a.modified_unix_us);
        newest.then_with(|| a.name.cmp(&b.name))
    });
    let records: Vec<Value> = files
        .into_iter()
        .map(|file| record_value(file, told.get(file.name.as_str())))
        .collect();
    let bad: Vec<Value> = found
        .bad
        .iter()
        .map(|(name, why)| json!({ "name": name, "why": why.to_string() }))
        .collect();
    json!({ "records": records, "bad_manifests": bad, "truncated": found.is_truncated }).to_string()
}

fn record_value(found: &FoundFile, told: Option<&(&str, &Manifest, &ManifestFile)>) -> Value {
    let by_name = match found.is_part {
        true => FileState::Recording,
        false => FileState::Finished,
    };
    let mut value = told.map_or_else(|| json!({}), |(.., file)| file_value(file));
    // The folder knows better than a manifest written before.
    let state = told.map(|(.., file)| file.state);
    let state = state.filter(|state| *state != FileState::Recording);
    value["name"] = json!(found.name);
    value["size_bytes"] = json!(found.size_bytes);
    value["modified_unix_us"] = json!(found.modified_unix_us);
    value["state"] = json!(state.unwrap_or(by_name).word());
    value["manifest"] = json!(told.map(|(name, ..)| name));
    if let Some((_, manifest, _)) = told {
        value["room"] = json!(manifest.room);
        value["origin_unix_us"] = json!(manifest.origin_unix_us);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::manifest;

    fn found(name: &str, modified_unix_us: u64, is_part: bool) -> FoundFile {
        FoundFile {
            name: name.to_owned(),
            size_bytes: 7,
            modified_unix_us,
            is_part,
        }
    }

    fn of_room(state: FileState) -> Manifest {
        Manifest {
            room: "stand up".to_owned(),
            origin_unix_us: Some(5),
            files: vec![ManifestFile {
                name: "a.mp4".to_owned(),
                login: "ann".to_owned(),
                stream: "s".to_owned(),
                media_session_id: "1".to_owned(),
                began_unix_us: 5,
                duration_us: 6,
                size_bytes: 1,
                content_from_us: 2,
                content_until_us: 3,
                video: None,
                audio: None,
                gaps: Vec::new(),
                state,
                why: None,
            }],
        }
    }

    fn listed(found: &Found) -> Value {
        serde_json::from_str(&records_json(found)).unwrap()
    }

    #[test]
    fn files_are_told_with_their_manifests_and_newest_first() {
        let files = vec![
            found("old.mp4", 1, false),
            found("a.mp4", 2, true),
            found("b.mp4", 2, false),
        ];
        let value = listed(&Found {
            files,
            manifests: vec![("room-s-1.json".to_owned(), of_room(FileState::Recording))],
            ..Found::default()
        });
        let names: Vec<&str> = [0, 1, 2]
            .iter()
            .map(|at| value["records"][at]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a.mp4", "b.mp4", "old.mp4"]);
        let a = &value["records"][0];
        assert_eq!(a["state"], "recording");
        assert_eq!(a["size_bytes"], 7, "as the folder has it");
        assert_eq!(
            (&a["room"], &a["login"]),
            (&json!("stand up"), &json!("ann"))
        );
        assert_eq!(a["manifest"], "room-s-1.json");
        assert_eq!(
            (&a["origin_unix_us"], &a["duration_us"]),
            (&json!(5), &json!(6))
        );
        let b = &value["records"][1];
        assert_eq!(
            (&b["state"], &b["manifest"]),
            (&json!("finished"), &Value::Null)
        );
        assert_eq!(value["truncated"], false);
    }

    #[test]
    fn the_state_is_what_manifest_and_folder_know_together() {
        let state = |written: FileState, is_part: bool| {
            let found = Found {
                files: vec![found("a.mp4", 1, is_part)],
                manifests: vec![("m".to_owned(), of_room(written))],
                ..Found::default()
            };
            listed(&found)["records"][0]["state"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(state(FileState::Recording, true), "recording");
        assert_eq!(state(FileState::Recording, false), "finished");
        assert_eq!(state(FileState::Failed, true), "failed");
        assert_eq!(state(FileState::Finished, false), "finished");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let why = manifest::parse("[").unwrap_err();
        let value = listed(&Found {
            bad: vec![("room-x-1.json".to_owned(), why)],
            is_truncated: true,
            ..Found::default()
        });
        assert_eq!(value["bad_manifests"][0]["name"], "room-x-1.json");
        assert!(
            value["bad_manifests"][0]["why"]
                .as_str()
                .unwrap()
                .starts_with("not JSON")
        );
        assert_eq!(
            (&value["records"], &value["truncated"]),
            (&json!([]), &json!(true))
        );
    }
}
