//! The Conference page and the JavaScript client library, compiled into the
//! binary: data only. It owns the files' bytes and content types and knows
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

const ASSETS: &[Asset] = &[
    Asset {
        path: "/",
        content_type: HTML,
        body: include_bytes!("index.html"),
    },
    Asset {
        path: "/index.html",
        content_type: HTML,
        body: include_bytes!("index.html"),
    },
    Asset {
        path: "/conference.js",
        content_type: SCRIPT,
        body: include_bytes!("conference.js"),
    },
    Asset {
        path: "/view.js",
        content_type: SCRIPT,
        body: include_bytes!("view.js"),
    },
    Asset {
        path: "/ringhall.js",
        content_type: SCRIPT,
        body: include_bytes!("ringhall.js"),
    },
    Asset {
        path: "/style.css",
        content_type: STYLE,
        body: include_bytes!("style.css"),
    },
    Asset {
        path: "/favicon.svg",
        content_type: IMAGE,
        body: include_bytes!("favicon.svg"),
    },
];

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

    #[test]
    fn root_is_the_conference_page() {
        let root = find("/").unwrap();
        assert_eq!(root.content_type, HTML);
        assert!(text("/").contains("id=\"joinBtn\""));
        assert_eq!(root.body, find("/index.html").unwrap().body);
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
    fn the_page_refers_only_to_files_that_are_embedded() {
        let page = text("/");
        let found = references(page);
        assert!(found.len() >= 6, "{found:?}");
        for name in found {
            assert!(find(&format!("/{name}")).is_some(), "{name}");
        }
    }

    #[test]
    fn the_page_obeys_its_own_policy() {
        let page = text("/");
        for forbidden in ["<style", "style=", "onclick", "<script>", "http://"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        for path in ["/ringhall.js", "/view.js", "/conference.js"] {
            for forbidden in ["innerHTML", "eval(", "insertAdjacentHTML", "https://"] {
                assert!(!text(path).contains(forbidden), "{path}: {forbidden}");
            }
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
