//! The landing page, the three applications, the page of recordings and the JavaScript client library,
//! compiled into the binary: data only. It owns the files' bytes and content types and knows
//! nothing of HTTP; a path that names no file here is somebody else's to answer.

/// What the pages need of a `Content-Security-Policy` header: everything from
/// this server, and WebSockets to any, because the media server's port may
/// differ from the page's.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    /// Absolute path in the URL, without query.
    pub path: &'static str,
    /// Value of the `Content-Type` header.
    pub content_type: &'static str,
    /// The file, to be served as it is.
    pub body: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The page of every application: its scripts tell them apart by their address.
const ROOM_PAGE: &[u8] = include_bytes!("room.html");

/// A page.
const fn page(path: &'static str, body: &'static [u8]) -> Asset {
    Asset {
        path,
        content_type: HTML,
        body,
    }
}

/// A script.
const fn script(path: &'static str, body: &'static [u8]) -> Asset {
    Asset {
        path,
        content_type: SCRIPT,
        body,
    }
}

const ASSETS: &[Asset] = &[
    page("/", include_bytes!("index.html")),
    page("/index.html", include_bytes!("index.html")),
    page("/conference.html", ROOM_PAGE),
    page("/two-way.html", ROOM_PAGE),
    page("/two-way-screen.html", ROOM_PAGE),
    page("/records", include_bytes!("records.html")),
    script("/administration.js", include_bytes!("administration.js")),
    script("/applications.js", include_bytes!("applications.js")),
    script("/camera.js", include_bytes!("camera.js")),
    script("/chat.js", include_bytes!("chat.js")),
    script("/devices.js", include_bytes!("devices.js")),
    script("/dom.js", include_bytes!("dom.js")),
    script("/door.js", include_bytes!("door.js")),
    script("/gate.js", include_bytes!("gate.js")),
    script("/invite.js", include_bytes!("invite.js")),
    script("/keyboard.js", include_bytes!("keyboard.js")),
    script("/landing.js", include_bytes!("landing.js")),
    script("/level.js", include_bytes!("level.js")),
    script("/quality.js", include_bytes!("quality.js")),
    script("/recording.js", include_bytes!("recording.js")),
    script("/records.js", include_bytes!("records.js")),
    script("/rejoin.js", include_bytes!("rejoin.js")),
    script("/rooms.js", include_bytes!("rooms.js")),
    script("/rows.js", include_bytes!("rows.js")),
    script("/screen.js", include_bytes!("screen.js")),
    script("/stage.js", include_bytes!("stage.js")),
    script("/theatre.js", include_bytes!("theatre.js")),
    script("/tile.js", include_bytes!("tile.js")),
    script("/token.js", include_bytes!("token.js")),
    script("/visit.js", include_bytes!("visit.js")),
    script("/words.js", include_bytes!("words.js")),
    Asset {
        path: "/ringhall.js",
        content_type: SCRIPT,
        body: CLIENT_LIBRARY.as_bytes(),
    },
    Asset {
        path: "/style.css",
        content_type: STYLE,
        body: STYLE_SHEET.as_bytes(),
    },
    Asset {
        path: "/favicon.svg",
        content_type: IMAGE,
        body: include_bytes!("favicon.svg"),
    },
];

/// The client library: its parts in the order in which they need each other,
/// inside one function, so that of their names only those that the last part
/// exports reach a page. Each part is a script of its own to the type checker.
const CLIENT_LIBRARY: &str = concat!(
    "(() => {\n",
    include_str!("ringhall/words.js"),
    include_str!("ringhall/media.js"),
    include_str!("ringhall/devices.js"),
    include_str!("ringhall/wire.js"),
    include_str!("ringhall/statistics.js"),
    include_str!("ringhall/level.js"),
    include_str!("ringhall/stream.js"),
    include_str!("ringhall/published.js"),
    include_str!("ringhall/played.js"),
    include_str!("ringhall/room.js"),
    include_str!("ringhall/session.js"),
    include_str!("ringhall/exports.js"),
    "})();\n",
);

/// The style sheet of every page: its parts, of which later ones may overrule
/// earlier ones.
const STYLE_SHEET: &str = concat!(
    include_str!("style/base.css"),
    include_str!("style/door.css"),
    include_str!("style/tiles.css"),
    include_str!("style/pair.css"),
    include_str!("style/quality.css"),
    include_str!("style/talk.css"),
    include_str!("style/landing.css"),
    include_str!("style/records.css"),
    include_str!("style/phone.css"),
);

/// The file at `path`, which starts with a slash and carries no query. Paths
/// match byte for byte: there is nothing to decode, and no directory to escape.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        std::str::from_utf8(find(path).unwrap().body).unwrap()
    }

    /// Values of `src` and `href` attributes in a page.
    fn references(page: &str) -> Vec<&str> {
        ["src=\"", "href=\""]
            .iter()
            .flat_map(|attribute| page.split(attribute).skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect()
    }

    /// Every page, at every address it has.
    fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS
            .iter()
            .filter(|asset| asset.content_type == HTML)
            .map(|asset| (asset.path, text(asset.path)))
    }

    /// Every script, the client library too.
    fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS
            .iter()
            .filter(|asset| asset.content_type == SCRIPT)
            .map(|asset| (asset.path, text(asset.path)))
    }

    /// What a page loads, and what that imports, and so on.
    fn loaded_by(page: &str) -> Vec<String> {
        let mut found: Vec<String> = references(page)
            .iter()
            .filter(|name| name.ends_with(".js"))
            .map(|name| format!("/{name}"))
            .collect();
        let mut at = 0;
        while at < found.len() {
            for name in imports(text(&found[at])) {
                let path = format!("/{name}");
                if !found.contains(&path) {
                    found.push(path);
                }
            }
            at += 1;
        }
        found
    }

    /// Files that a script imports, without the leading `./`.
    fn imports(script: &str) -> Vec<&str> {
        script
            .lines()
            .filter(|line| line.starts_with("import ") || line.starts_with("} from "))
            .filter_map(|line| line.split("\"./").nth(1)?.split('"').next())
            .collect()
    }

    #[test]
    fn root_leads_to_every_application() {
        assert_eq!(find("/").unwrap().body, find("/index.html").unwrap().body);
        let found = references(text("/"));
        for name in ["conference.html", "two-way.html", "two-way-screen.html"] {
            assert!(found.contains(&name), "{name}");
            assert!(text("/applications.js").contains(&format!("\"{name}\"")));
            assert!(text(&format!("/{name}")).contains("id=\"joinBtn\""));
        }
    }

    #[test]
    fn every_script_is_loaded_by_a_page() {
        let loaded: Vec<String> = pages().flat_map(|(_, page)| loaded_by(page)).collect();
        for (path, _) in scripts() {
            assert!(loaded.iter().any(|name| name == path), "{path}");
        }
    }

    #[test]
    fn imports_name_only_files_that_are_embedded() {
        for (path, script) in scripts() {
            for name in imports(script) {
                assert!(find(&format!("/{name}")).is_some(), "{path}: {name}");
            }
        }
        assert!(imports(text("/visit.js")).len() >= 10);
    }

    #[test]
    fn elements_that_scripts_ask_for_are_on_their_pages() {
        for (path, page) in pages() {
            for script in loaded_by(page) {
                for call in ["element(\"", "button(\"", "copyTemplate(\""] {
                    let ids = text(&script).split(call).skip(1);
                    for id in ids.filter_map(|rest| rest.split('"').next()) {
                        assert!(page.contains(&format!("id=\"{id}\"")), "{path}: {id}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_path_is_listed_once_and_has_a_body() {
        for asset in ASSETS {
            assert!(asset.path.starts_with('/'));
            assert!(!asset.body.is_empty(), "{}", asset.path);
            let same = ASSETS.iter().filter(|other| other.path == asset.path);
            assert_eq!(same.count(), 1, "{}", asset.path);
        }
    }

    #[test]
    fn content_types_follow_the_suffix() {
        for asset in ASSETS {
            let expected = match asset.path.rsplit('.').next() {
                Some("js") => SCRIPT,
                Some("css") => STYLE,
                Some("svg") => IMAGE,
                _ => HTML,
            };
            assert_eq!(asset.content_type, expected, "{}", asset.path);
        }
    }

    #[test]
    fn pages_refer_only_to_files_that_are_embedded() {
        for (path, page) in pages() {
            let found = references(page);
            assert!(found.len() >= 4, "{path}: {found:?}");
            for name in found {
                assert!(find(&format!("/{name}")).is_some(), "{path}: {name}");
            }
        }
    }

    /// Names of attributes that carry script: `on` and an event.
    fn handlers(page: &str) -> Vec<&str> {
        page.split(" on")
            .skip(1)
            .filter_map(|rest| rest.split_once('=').map(|(name, _)| name))
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase()))
            .collect()
    }

    #[test]
    fn pages_obey_their_own_policy() {
        assert_eq!(handlers("<a onclick=\"\"> on a = b"), ["click"]);
        for (path, page) in pages() {
            assert!(handlers(page).is_empty(), "{path}: {:?}", handlers(page));
            for forbidden in ["<style", "style=", "<script>", "http://", "https://"] {
                assert!(!page.contains(forbidden), "{path}: {forbidden}");
            }
        }
        for (path, script) in scripts() {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "eval(",
                "insertAdjacentHTML",
                "document.write",
                "https://",
            ] {
                assert!(!script.contains(forbidden), "{path}: {forbidden}");
            }
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // The folder itself is the claim.
    fn the_client_library_has_all_its_parts_and_keeps_their_names_to_itself() {
        let library = text("/ringhall.js");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/ringhall");
        for entry in std::fs::read_dir(folder).unwrap() {
            let part = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            assert_eq!(library.matches(part.as_str()).count(), 1, "{part}");
        }
        assert!(library.starts_with("(() => {\n") && library.ends_with("})();\n"));
        for name in ["Ringhall,", "Flashphoner:", "RoomApi:", "ROOM_EVENT:"] {
            let exports = library.rsplit("Object.assign(globalThis, {").next();
            assert!(exports.unwrap().contains(name), "{name}");
        }
    }

    #[test]
    fn unknown_and_crafted_paths_find_nothing() {
        for path in [
            "",
            "//",
            "/..",
            "/../Cargo.toml",
            "/mod.rs",
            "/Index.html",
            "/?roomName=x",
            "/%2e",
            "style.css",
            "/style.css\0",
        ] {
            assert!(find(path).is_none(), "{path:?}");
        }
    }
}
