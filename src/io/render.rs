//! What the render thread answers with: text made of snapshots, and files of
//! the mounted folder and of that of recordings.

use crate::core::border::{Render, RenderForm, Rendered};
use crate::io::records::Records;
use crate::io::shelf::{Asked, Shelf};
use crate::ops::{metrics, rest};

/// Answers every kind of [`Render`].
pub struct Renderer {
    /// What is mounted at `/client2/`, if anything is.
    pub shelf: Option<Shelf>,
    pub records: Records,
}

impl Renderer {
    pub fn answer(&self, render: &Render) -> Rendered {
        let connection = match render.keep_alive {
            true => rest::Connection::KeepAlive,
            false => rest::Connection::Close,
        };
        let (status, kind, body) = match &render.form {
            RenderForm::RoomsJson => (
                200,
                rest::JSON_CONTENT_TYPE,
                rest::rooms_json(&render.snapshots),
            ),
            RenderForm::Metrics => (
                200,
                metrics::CONTENT_TYPE,
                metrics::metrics_text(&render.snapshots),
            ),
            RenderForm::File {
                path,
                if_none_match,
            } => match &self.shelf {
                Some(shelf) => {
                    return shelf.answer(&Asked {
                        path,
                        if_none_match: if_none_match.as_deref(),
                        connection,
                        head_only: render.head_only,
                    });
                }
                None => (404, "text/plain", "not found".to_string()),
            },
            RenderForm::Record(asked) => {
                return self.records.answer(asked, connection, render.head_only);
            }
            RenderForm::RecordPiece(piece) => return self.records.piece(piece),
            RenderForm::RecordsJson => (200, rest::JSON_CONTENT_TYPE, self.records.json()),
        };
        let head = rest::http_response_head(status, kind, body.len(), connection, &[]);
        let body = if render.head_only {
            String::new()
        } else {
            body
        };
        Rendered {
            head: head.into(),
            body: body.into(),
            rest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::core::border::{ConnectionId, RecordAsked};
    use crate::io::test_folder::Folder;

    fn answer(renderer: &Renderer, form: RenderForm, keep_alive: bool, head_only: bool) -> String {
        let rendered = renderer.answer(&Render {
            connection: ConnectionId(1),
            form,
            snapshots: Vec::new(),
            keep_alive,
            head_only,
        });
        String::from_utf8([rendered.head, rendered.body].concat()).unwrap()
    }

    #[test]
    fn every_form_obeys_the_request() {
        let folder = Folder::new();
        std::fs::write(folder.path().join("a.txt"), "a file").unwrap();
        let renderer = Renderer {
            shelf: Some(Shelf::open(folder.path()).unwrap()),
            records: Records::of(folder.path()),
        };
        std::fs::write(folder.path().join("a.mp4"), "a film").unwrap();
        let film = RenderForm::Record(RecordAsked {
            name: "a.mp4".to_string(),
            ..RecordAsked::default()
        });
        let file = RenderForm::File {
            path: "a.txt".to_string(),
            if_none_match: None,
        };
        for (form, end) in [
            (RenderForm::RoomsJson, "{\"rooms\":[]}"),
            (RenderForm::Metrics, "\n"),
            (file, "a file"),
            (film, "a film"),
            (RenderForm::RecordsJson, "\"truncated\":false}"),
        ] {
            let whole = answer(&renderer, form.clone(), true, false);
            assert!(whole.starts_with("HTTP/1.1 200 OK\r\n"), "{whole}");
            assert!(whole.contains("Connection: keep-alive\r\n"), "{whole}");
            assert!(whole.ends_with(end), "{whole}");
            let brief = answer(&renderer, form, false, true);
            assert!(brief.contains("Connection: close\r\n"), "{brief}");
            assert!(brief.ends_with("\r\n\r\n"), "{brief}");
            let length = |text: &str| {
                text.lines()
                    .find(|l| l.contains("Length"))
                    .map(str::to_owned)
            };
            assert_eq!(length(&brief), length(&whole));
        }
    }

    #[test]
    fn without_a_folder_there_is_no_file() {
        let form = RenderForm::File {
            path: String::new(),
            if_none_match: None,
        };
        let renderer = Renderer {
            shelf: None,
            records: Records::of(Path::new("no such folder")),
        };
        let text = answer(&renderer, form, true, false);
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
    }
}
