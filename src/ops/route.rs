//! Which request goes where on the web port. Owns the paths of the REST
//! interface, of WHIP and of WHEP, and their methods; decides nothing about who
//! may ask.

use crate::base::limits::NAME_MAX_CHARS;
use crate::ops::record_name::is_safe_name;
use crate::ops::{manifest, record_name};

/// What a request asks for. Names are decoded and hold no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /healthz`
    Health,
    /// `GET /metrics`
    Metrics,
    /// `GET /api/rooms`
    Rooms,
    /// `DELETE /api/rooms/{room}`
    CloseRoom { room: String },
    /// `DELETE /api/rooms/{room}/participants/{login}`
    Remove { room: String, login: String },
    /// `POST /api/rooms/{room}/participants/{login}/mute`
    Mute { room: String, login: String },
    /// `POST /whip/{room}/{name}` and `/whep/…`
    Open {
        protocol: Protocol,
        room: String,
        name: String,
    },
    /// `DELETE /whip/session/{token}` and `/whep/…`
    EndSession { protocol: Protocol, token: String },
    /// `PATCH /whip/session/{token}` and `/whep/…`
    PatchSession { protocol: Protocol, token: String },
    /// `OPTIONS` of the paths of WHIP and WHEP: what browsers ask before they
    /// send anything to another origin (the Fetch standard's preflight).
    Options { allow: &'static str },
    /// `GET /client2/…`: a file below the mounted folder, each segment a plain
    /// name, so that none leads out of it.
    File { path: String },
    /// `GET /api/records`
    Records,
    /// `GET /client/records/{name}` of a recording: whoever knows its name may
    /// have it. Safe, as [`is_safe_name`] says.
    Record { name: String },
    /// The same of a manifest, which names all recordings of a room.
    Manifest { name: String },
    /// `GET` of anything else: a page, or nothing.
    Page,
    /// Nothing is there: answer 404.
    NotFound,
    /// Answer 400 with this text.
    BadRequest(&'static str),
    /// Answer 405 with `Allow` (RFC 9110 section 15.5.6).
    MethodNotAllowed { allow: &'static str },
}

/// HTTP's two doors to rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Publishes (RFC 9725).
    Whip,
    /// Plays (draft-ietf-wish-whep).
    Whep,
}

impl Protocol {
    /// The first word of its paths.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Whip => "whip",
            Protocol::Whep => "whep",
        }
    }

    /// The protocol a path belongs to, if one.
    pub fn of(path: &str) -> Option<Protocol> {
        let word = path.strip_prefix('/')?.split('/').next()?;
        [Protocol::Whip, Protocol::Whep]
            .into_iter()
            .find(|protocol| protocol.word() == word)
    }
}

impl Route {
    /// Whether only the operator may ask this.
    pub fn is_operators(&self) -> bool {
        matches!(
            self,
            Route::Metrics
                | Route::Rooms
                | Route::Records
                | Route::Manifest { .. }
                | Route::CloseRoom { .. }
                | Route::Remove { .. }
                | Route::Mute { .. }
        )
    }
}

const READ: &str = "GET, HEAD";
const ENDPOINT: &str = "POST, OPTIONS";
const SESSION: &str = "DELETE, PATCH, OPTIONS";

/// Where a request of `method` goes. `segments` are its path's, decoded; `None`
/// if they could not be. HEAD goes where GET does. A known path tells which
/// methods it has before it looks at names.
pub fn route(method: &str, segments: Option<Vec<String>>) -> Route {
    let Some(mut segments) = segments else {
        return Route::BadRequest("the path is not percent-encoded UTF-8");
    };
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["healthz"] => read(method, Route::Health),
        ["metrics"] => read(method, Route::Metrics),
        ["api", "rooms"] => read(method, Route::Rooms),
        ["api", "records"] => read(method, Route::Records),
        ["client", "records", name] => read(method, record(name)),
        ["api", "rooms", room] => change(method, "DELETE", &[room], || Route::CloseRoom {
            room: (*room).to_owned(),
        }),
        ["api", "rooms", room, "participants", login] => {
            change(method, "DELETE", &[room, login], || Route::Remove {
                room: (*room).to_owned(),
                login: (*login).to_owned(),
            })
        }
        ["api", "rooms", room, "participants", login, "mute"] => {
            change(method, "POST", &[room, login], || Route::Mute {
                room: (*room).to_owned(),
                login: (*login).to_owned(),
            })
        }
        ["api", ..] => Route::NotFound,
        ["whip", "session", token] => session(method, Protocol::Whip, token),
        ["whep", "session", token] => session(method, Protocol::Whep, token),
        ["whip", room, name] => endpoint(method, Protocol::Whip, room, name),
        ["whep", room, name] => endpoint(method, Protocol::Whep, room, name),
        ["whip" | "whep", ..] => Route::NotFound,
        ["client2", _, ..] => {
            segments.remove(0);
            read(method, file(&segments))
        }
        _ => read(method, Route::Page),
    }
}

fn read(method: &str, route: Route) -> Route {
    match method {
        "GET" | "HEAD" => route,
        _ => Route::MethodNotAllowed { allow: READ },
    }
}

fn change(
    method: &str,
    allow: &'static str,
    names: &[&str],
    route: impl FnOnce() -> Route,
) -> Route {
    if method != allow {
        return Route::MethodNotAllowed { allow };
    }
    if !names.iter().all(|name| is_name(name)) {
        return Route::BadRequest("a name in the path is empty or holds a control character");
    }
    route()
}

/// Where sessions begin. A room called `session` is not reached this way.
fn endpoint(method: &str, protocol: Protocol, room: &str, name: &str) -> Route {
    match method {
        "OPTIONS" => Route::Options { allow: ENDPOINT },
        "POST" if ![room, name].iter().all(|name| is_new_name(name)) => {
            Route::BadRequest("a name in the path is empty, too long, or holds a control character")
        }
        "POST" => Route::Open {
            protocol,
            room: room.to_owned(),
            name: name.to_owned(),
        },
        _ => Route::MethodNotAllowed { allow: ENDPOINT },
    }
}

fn session(method: &str, protocol: Protocol, token: &str) -> Route {
    let token = token.to_owned();
    match method {
        "OPTIONS" => Route::Options { allow: SESSION },
        "DELETE" => Route::EndSession { protocol, token },
        "PATCH" => Route::PatchSession { protocol, token },
        _ => Route::MethodNotAllowed { allow: SESSION },
    }
}

/// What somebody may call a room or itself from now on.
fn is_new_name(text: &str) -> bool {
    is_name(text) && text.chars().count() <= NAME_MAX_CHARS
}

/// What a room or a login can be called at all.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// A file of the folder of recordings, which has no folders in it.
fn record(name: &str) -> Route {
    let name = name.to_owned();
    match is_safe_name(&name) {
        true if name.ends_with(record_name::EXTENSION) => Route::Record { name },
        true if name.ends_with(manifest::EXTENSION) => Route::Manifest { name },
        _ => Route::NotFound,
    }
}

/// A decoded segment may hold what separates segments, or mean a folder above.
fn file(segments: &[String]) -> Route {
    let is_plain = |segment: &String| {
        is_name(segment) && !segment.contains(['/', '\\']) && segment != "." && segment != ".."
    };
    if segments.last().is_some_and(String::is_empty) {
        // Folders are not listed.
        return Route::NotFound;
    }
    if !segments.iter().all(is_plain) {
        return Route::BadRequest("the path names no file");
    }
    Route::File {
        path: segments.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(method: &str, path: &str) -> Route {
        let segments = path.strip_prefix('/').unwrap().split('/');
        route(method, Some(segments.map(str::to_owned).collect()))
    }

    #[test]
    fn every_path_has_its_route() {
        for method in ["GET", "HEAD"] {
            assert_eq!(to(method, "/healthz"), Route::Health);
            assert_eq!(to(method, "/metrics"), Route::Metrics);
            assert_eq!(to(method, "/api/rooms"), Route::Rooms);
            assert_eq!(to(method, "/api/records"), Route::Records);
            for page in [
                "/",
                "/conference.html",
                "/healthz/",
                "//api/rooms",
                "/client2",
                "/API",
            ] {
                assert_eq!(to(method, page), Route::Page, "{page}");
            }
            let path = "examples/a b.js".to_owned();
            assert_eq!(to(method, "/client2/examples/a b.js"), Route::File { path });
        }
        let (room, login) = ("r".to_owned(), "ann".to_owned());
        assert_eq!(
            to("DELETE", "/api/rooms/r"),
            Route::CloseRoom { room: room.clone() }
        );
        assert_eq!(
            to("DELETE", "/api/rooms/r/participants/ann"),
            Route::Remove {
                room: room.clone(),
                login: login.clone()
            }
        );
        assert_eq!(
            to("POST", "/api/rooms/r/participants/ann/mute"),
            Route::Mute { room, login }
        );
    }

    #[test]
    fn names_are_those_of_rooms_and_people_not_of_paths() {
        let segments = ["api", "rooms", "a/b ü", "participants", "mute"];
        let segments = segments.map(str::to_owned).to_vec();
        assert_eq!(
            route("DELETE", Some(segments)),
            Route::Remove {
                room: "a/b ü".to_owned(),
                login: "mute".to_owned()
            }
        );
        let room = "participants".to_owned();
        assert_eq!(
            to("DELETE", "/api/rooms/participants"),
            Route::CloseRoom { room }
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for (method, path) in [
            ("DELETE", "/api/rooms/"),
            ("DELETE", "/api/rooms/a\nb"),
            ("DELETE", "/api/rooms/a\0"),
            ("DELETE", "/api/rooms/\u{85}"),
            ("DELETE", "/api/rooms//participants/ann"),
            ("DELETE", "/api/rooms/r/participants/"),
            ("POST", "/api/rooms/r/participants//mute"),
        ] {
            let found = to(method, path);
            assert!(matches!(found, Route::BadRequest(_)), "{path:?}: {found:?}");
        }
        assert!(matches!(route("GET", None), Route::BadRequest(_)));
    }

    #[test]
    fn files_lie_below_their_folder() {
        for segments in [
            vec![".."],
            vec!["."],
            vec!["", "etc", "passwd"],
            vec!["a", "..", "b"],
            vec!["a/../../b"],
            vec!["..\\b"],
            vec!["a", "", "b"],
            vec!["a\0.js"],
        ] {
            let all = ["client2"].iter().chain(&segments);
            let found = route("GET", Some(all.map(|s| (*s).to_owned()).collect()));
            assert!(matches!(found, Route::BadRequest(_)), "{segments:?}");
        }
        for folder in ["/client2/", "/client2/a/", "/client2//"] {
            assert_eq!(to("GET", folder), Route::NotFound);
        }
        for name in ["...", "..a", "a..b", ".hidden", "~"] {
            let found = to("GET", &format!("/client2/{name}"));
            assert_eq!(
                found,
                Route::File {
                    path: name.to_owned()
                }
            );
        }
    }

    #[test]
    fn recordings_are_single_files() {
        let name = "stream-1-Ann.mp4".to_owned();
        let found = to("GET", "/client/records/stream-1-Ann.mp4");
        assert_eq!(found, Route::Record { name });
        assert!(!found.is_operators());
        let name = "room-r-1.json".to_owned();
        let found = to("HEAD", "/client/records/room-r-1.json");
        assert_eq!(found, Route::Manifest { name });
        assert!(found.is_operators());
        for name in [
            "",
            ".mp4",
            "..",
            "a.mp4.part",
            "a",
            "a.txt",
            "a b.mp4",
            "..mp4",
            "a\0.mp4",
            "a/b.mp4",
            "a\\b.mp4",
            "a..mp4",
            ".json",
        ] {
            let segments = ["client", "records", name].map(str::to_owned);
            let found = route("GET", Some(segments.to_vec()));
            assert_eq!(found, Route::NotFound, "{name:?}");
        }
        assert_eq!(to("GET", "/client/records"), Route::Page);
        assert_eq!(to("GET", "/client/records/a/b.mp4"), Route::Page);
    }

    #[test]
    fn known_paths_tell_their_methods() {
        let allowed = |method: &str, path: &str| match to(method, path) {
            Route::MethodNotAllowed { allow } => allow,
            other => panic!("{method} {path}: {other:?}"),
        };
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", ""] {
            for path in [
                "/",
                "/healthz",
                "/metrics",
                "/api/rooms",
                "/api/records",
                "/client/records/a.mp4",
                "/client2/a.js",
            ] {
                assert_eq!(allowed(method, path), "GET, HEAD");
            }
        }
        for method in ["GET", "HEAD", "POST", "OPTIONS", "delete"] {
            assert_eq!(allowed(method, "/api/rooms/r"), "DELETE");
            assert_eq!(allowed(method, "/api/rooms//participants/"), "DELETE");
        }
        for method in ["GET", "DELETE", "PUT"] {
            assert_eq!(allowed(method, "/api/rooms/r/participants/a/mute"), "POST");
        }
    }

    #[test]
    fn the_rest_interface_has_nothing_else() {
        for method in ["GET", "POST", "DELETE"] {
            for path in [
                "/api",
                "/api/",
                "/api/room",
                "/api/rooms/r/participants",
                "/api/rooms/r/people/ann",
                "/api/rooms/r/participants/ann/unmute",
                "/api/rooms/r/participants/ann/mute/",
            ] {
                assert_eq!(to(method, path), Route::NotFound, "{method} {path}");
            }
        }
    }

    #[test]
    fn whip_and_whep_begin_at_a_room_and_end_at_a_token() {
        let (room, name) = ("r".to_owned(), "ann".to_owned());
        for (protocol, word) in [(Protocol::Whip, "whip"), (Protocol::Whep, "whep")] {
            let open = Route::Open {
                protocol,
                room: room.clone(),
                name: name.clone(),
            };
            assert_eq!(to("POST", &format!("/{word}/r/ann")), open);
            let path = format!("/{word}/session/t0k3n");
            let token = "t0k3n".to_owned();
            let end = Route::EndSession {
                protocol,
                token: token.clone(),
            };
            assert_eq!(to("DELETE", &path), end);
            assert_eq!(to("PATCH", &path), Route::PatchSession { protocol, token });
            for method in ["GET", "HEAD", "POST", "PUT", "patch"] {
                let allow = "DELETE, PATCH, OPTIONS";
                assert_eq!(to(method, &path), Route::MethodNotAllowed { allow });
            }
            for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "post"] {
                let allow = "POST, OPTIONS";
                let found = to(method, &format!("/{word}/r/ann"));
                assert_eq!(found, Route::MethodNotAllowed { allow });
            }
            for path in [
                format!("/{word}"),
                format!("/{word}/r"),
                format!("/{word}/r/a/b"),
            ] {
                assert_eq!(to("POST", &path), Route::NotFound, "{path}");
            }
            assert_eq!(Protocol::of(&path), Some(protocol));
        }
        let long = "x".repeat(NAME_MAX_CHARS + 1);
        for path in [
            "/whip//a",
            "/whip/r/",
            "/whip/r\n/a",
            &format!("/whep/r/{long}"),
        ] {
            assert!(matches!(to("POST", path), Route::BadRequest(_)), "{path:?}");
        }
        assert_eq!(Protocol::of("/whips/r/a"), None);
        assert_eq!(Protocol::of("whip/r/a"), None);
    }

    #[test]
    fn what_operators_ask() {
        assert!(to("GET", "/metrics").is_operators());
        assert!(to("GET", "/api/records").is_operators());
        assert!(to("DELETE", "/api/rooms/r").is_operators());
        assert!(!to("GET", "/healthz").is_operators());
        assert!(!to("GET", "/client2/a").is_operators() && !to("GET", "/").is_operators());
    }
}
