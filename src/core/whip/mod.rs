//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): rooms reached by one HTTP
//! request. What the core that accepted the request does with it is in
//! [`request`], what the room's home core does in [`home`].
//!
//! A session lives as long as its transport, at the room's home core. Its
//! address holds a token: the core and the transport it belongs to, and a secret.

mod home;
mod request;

use crate::base::hash::{Map, same_secret};
use crate::base::slab::Key;
use crate::core::border::CoreId;
use crate::core::media::{owner_of, ufrag_of};
use crate::ops::route::Protocol;
use crate::room::peer::Peer;
use crate::wire::sdp::Fragment;

/// What a client asks of a room, or of a session it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Open {
        protocol: Protocol,
        room: String,
        /// The participant who publishes; the stream or participant to play.
        name: String,
        offer: String,
    },
    End {
        session: SessionName,
    },
    /// Candidates, or new ICE credentials.
    Patch {
        session: SessionName,
        if_match: Option<String>,
        fragment: Fragment,
    },
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    fn text(status: u16, text: &str) -> Self {
        Reply {
            status,
            kind: "text/plain; charset=utf-8",
            body: format!("{text}\n"),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What the last segment of a session's address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName {
    pub protocol: Protocol,
    pub core: CoreId,
    peer: Key<Peer>,
    secret: String,
}

impl SessionName {
    /// `None`: it can be none of ours.
    pub fn parse(protocol: Protocol, token: &str) -> Option<Self> {
        let (core, peer) = owner_of(token)?;
        // What the owner's name takes.
        let secret = token.get(16..)?.to_owned();
        Some(SessionName {
            protocol,
            core,
            peer,
            secret,
        })
    }

    fn path(&self) -> String {
        let token = ufrag_of(self.core, self.peer, &self.secret);
        format!("/{}/session/{token}", self.protocol.word())
    }
}

/// The sessions of a core, by their peers.
#[derive(Default)]
pub(super) struct Sessions {
    by_peer: Map<u64, Entry>,
    /// How many there ever were.
    opened: u64,
}

struct Entry {
    protocol: Protocol,
    secret: String,
    /// Names the ICE session in use (RFC 9725 section 4.3.1).
    etag: String,
}

impl Sessions {
    /// The session a client names, if it knows its secret. Takes as long
    /// whatever secret is shown.
    fn find(&mut self, name: &SessionName) -> Option<&mut Entry> {
        let entry = self.by_peer.get_mut(&name.peer.to_bits())?;
        let known = same_secret(entry.secret.as_bytes(), name.secret.as_bytes());
        (known && entry.protocol == name.protocol).then_some(entry)
    }

    pub fn remove(&mut self, peer: Key<Peer>) {
        self.by_peer.remove(&peer.to_bits());
    }

    pub fn len(&self) -> usize {
        self.by_peer.len()
    }
}

/// Whether `If-Match` allows what has this entity tag (RFC 9110 section
/// 13.1.1). The star may stand in quotes: RFC 9725 section 4.3.3 writes it so.
fn allows(if_match: &str, etag: &str) -> bool {
    let mut tags = if_match.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag == "\"*\"" || tag == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_owner_and_a_secret() {
        let name = SessionName {
            protocol: Protocol::Whep,
            core: CoreId(3),
            peer: Key::from_bits(7 << 32 | 5),
            secret: "5ecre7".into(),
        };
        let path = name.path();
        assert_eq!(path, "/whep/session/00300005000000075ecre7");
        let token = path.rsplit('/').next().unwrap();
        assert_eq!(SessionName::parse(Protocol::Whep, token), Some(name));
        for token in ["", "short", "zzzzzzzzzzzzzzzzzzzz", "ééééééééééé"] {
            assert_eq!(SessionName::parse(Protocol::Whip, token), None, "{token}");
        }
    }

    #[test]
    fn a_session_opens_to_its_secret_alone() {
        let mut sessions = Sessions::default();
        let entry = Entry {
            protocol: Protocol::Whip,
            secret: "secret".into(),
            etag: "\"1\"".into(),
        };
        sessions.by_peer.insert(5, entry);
        let name = |protocol, peer, secret: &str| SessionName {
            protocol,
            core: CoreId(0),
            peer: Key::from_bits(peer),
            secret: secret.into(),
        };
        assert!(sessions.find(&name(Protocol::Whip, 5, "secret")).is_some());
        assert!(sessions.find(&name(Protocol::Whep, 5, "secret")).is_none());
        assert!(sessions.find(&name(Protocol::Whip, 6, "secret")).is_none());
        for secret in ["", "secre", "secret1", "Secret"] {
            assert!(sessions.find(&name(Protocol::Whip, 5, secret)).is_none());
        }
        sessions.remove(Key::from_bits(5));
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn tags_match_whole_or_by_star() {
        for (if_match, allowed) in [
            ("\"a\"", true),
            ("*", true),
            ("\"*\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(allows(if_match, "\"a\""), allowed, "{if_match}");
        }
    }
}
