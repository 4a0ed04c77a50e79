//! The server's side of ICE: a lite agent (RFC 8445 sections 2.5 and 7.3). It
//! sends no checks; it answers authenticated ones, remembers which paths they
//! came over, and follows the client's nomination.
//!
//! Refuses everything unauthenticated in silence, and DTLS or media from a
//! path no check has validated.

use crate::base::limits::{ICE_PATHS_MAX, TRANSPORT_IDLE_MAX};
use crate::base::time::Time;
use crate::base::trains::Path;
use crate::wire::stun::{self, Scanned, StunError};

/// One transport's agent.
pub struct IceLite {
    pub local_ufrag: String,
    pub local_password: String,
    pub remote_ufrag: String,
    /// Paths an authenticated check came over, oldest first.
    validated: Vec<Path>,
    selected: Option<Path>,
    /// When anything authenticated last arrived: check, SRTP or SRTCP.
    heard: Time,
}

/// What a check led to.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The answer, for the path the check came over.
    pub response: Vec<u8>,
    /// The path became valid with this check.
    pub validated: bool,
    /// The client nominated this path and it was not selected before.
    pub moved: bool,
    /// A path given up to make room for the new one.
    pub forgotten: Option<Path>,
}

impl IceLite {
    pub fn new(
        now: Time,
        local_ufrag: String,
        local_password: String,
        remote_ufrag: String,
    ) -> Self {
        IceLite {
            local_ufrag,
            local_password,
            remote_ufrag,
            validated: Vec::new(),
            selected: None,
            heard: now,
        }
    }

    /// Takes new credentials (RFC 8445 section 9): checks under the old ones are
    /// strangers from now on, the paths they validated stay.
    pub fn restart(&mut self, local_ufrag: String, local_password: String, remote_ufrag: String) {
        self.local_ufrag = local_ufrag;
        self.local_password = local_password;
        self.remote_ufrag = remote_ufrag;
    }

    /// Answers a check (RFC 8445 section 7.3). Both fragments must be those of
    /// the offer and answer, and the integrity tag ours.
    pub fn handle_check(
        &mut self,
        now: Time,
        path: Path,
        scanned: &Scanned<'_>,
    ) -> Result<Checked, StunError> {
        if scanned.local_ufrag != self.local_ufrag || scanned.remote_ufrag != self.remote_ufrag {
            return Err(StunError::Unauthenticated);
        }
        let request = scanned.authenticate(&self.local_password)?;
        self.heard = now;
        let mut checked = Checked {
            response: Vec::new(),
            validated: false,
            moved: false,
            forgotten: None,
        };
        let response = if !request.unknown_required.is_empty() {
            stun::error(&request, 420, &self.local_password)
        } else if request.controlled {
            // A lite agent is always controlled, so the peer must switch
            // (RFC 8445 sections 6.1.1 and 7.3.1.1).
            stun::error(&request, 487, &self.local_password)
        } else {
            self.validate(path, &mut checked);
            if request.use_candidate && self.selected != Some(path) {
                self.selected = Some(path);
                checked.moved = true;
            }
            stun::success(&request, path.remote, &self.local_password)
        };
        checked.response = response.ok_or(StunError::Malformed)?;
        Ok(checked)
    }

    fn validate(&mut self, path: Path, checked: &mut Checked) {
        if self.validated.contains(&path) {
            return;
        }
        if self.validated.len() >= ICE_PATHS_MAX {
            let selected = self.selected;
            let spare = self.validated.iter().position(|p| Some(*p) != selected);
            checked.forgotten = spare.map(|at| self.validated.remove(at));
        }
        self.validated.push(path);
        checked.validated = true;
    }

    /// Something authenticated by SRTP arrived: consent goes on (RFC 7675 in
    /// the passive form a lite agent can do).
    pub fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    pub fn is_validated(&self, path: Path) -> bool {
        self.validated.contains(&path)
    }

    /// Where to send: the nominated path, before that the latest validated one.
    pub fn path(&self) -> Option<Path> {
        self.selected.or_else(|| self.validated.last().copied())
    }

    pub fn paths(&self) -> &[Path] {
        &self.validated
    }

    /// When silence ends the transport, if nothing authenticated comes before.
    pub fn expires(&self) -> Time {
        self.heard + TRANSPORT_IDLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;

    fn path(port: u16) -> Path {
        Path {
            local: [127, 0, 0, 1].into(),
            remote: ([192, 0, 2, 1], port).into(),
        }
    }

    fn agent() -> IceLite {
        IceLite::new(
            Time::ZERO,
            "server".into(),
            "password".into(),
            "client".into(),
        )
    }

    fn check(agent: &mut IceLite, port: u16, nominate: bool) -> Result<Checked, StunError> {
        let user = "server:client";
        let bytes = stun::request([port as u8; 12], user, "password", true, nominate).unwrap();
        agent.handle_check(Time::from_us(1), path(port), &stun::scan(&bytes).unwrap())
    }

    #[test]
    fn only_nomination_moves_the_selected_path() {
        let mut agent = agent();
        assert_eq!(agent.path(), None);
        let first = check(&mut agent, 1, true).unwrap();
        assert!(first.validated && first.moved);
        let second = check(&mut agent, 2, false).unwrap();
        assert!(second.validated && !second.moved);
        assert_eq!(agent.path(), Some(path(1)));
        assert!(check(&mut agent, 2, true).unwrap().moved);
        assert_eq!(agent.path(), Some(path(2)));
        assert!(!check(&mut agent, 2, true).unwrap().moved);
    }

    #[test]
    fn strangers_change_nothing() {
        let mut agent = agent();
        for (user, password) in [
            ("server:client", "wrong"),
            ("server:other", "password"),
            ("other:client", "password"),
        ] {
            let bytes = stun::request([1; 12], user, password, true, true).unwrap();
            let scanned = stun::scan(&bytes).unwrap();
            let later = Time::from_us(9);
            assert!(agent.handle_check(later, path(1), &scanned).is_err());
        }
        assert_eq!(agent.path(), None);
        assert_eq!(agent.expires(), Time::ZERO + TRANSPORT_IDLE_MAX);
    }

    #[test]
    fn a_restart_keeps_the_path_until_another_is_nominated() {
        let mut agent = agent();
        check(&mut agent, 1, true).unwrap();
        agent.restart("server2".into(), "password2".into(), "client2".into());
        assert_eq!(agent.path(), Some(path(1)));
        assert!(check(&mut agent, 2, true).is_err());
        let renewed = |agent: &mut IceLite, user: &str, password: &str| {
            let bytes = stun::request([2; 12], user, password, true, true).unwrap();
            agent.handle_check(Time::from_us(1), path(2), &stun::scan(&bytes).unwrap())
        };
        assert!(renewed(&mut agent, "server2:client", "password2").is_err());
        assert!(renewed(&mut agent, "server2:client2", "password").is_err());
        assert!(
            renewed(&mut agent, "server2:client2", "password2")
                .unwrap()
                .moved
        );
        assert_eq!(agent.path(), Some(path(2)));
        assert!(agent.is_validated(path(1)));
    }

    #[test]
    fn a_controlled_peer_is_told_to_switch() {
        let mut agent = agent();
        let bytes = stun::request([1; 12], "server:client", "password", false, true).unwrap();
        let scanned = stun::scan(&bytes).unwrap();
        let checked = agent.handle_check(Time::ZERO, path(1), &scanned).unwrap();
        assert_eq!(checked.response[..2], [0x01, 0x11]);
        assert!(!checked.validated && agent.path().is_none());
    }

    #[test]
    fn paths_are_bounded_and_the_selected_one_stays() {
        let mut agent = agent();
        check(&mut agent, 1, true).unwrap();
        for port in 2..50 {
            let checked = check(&mut agent, port, false).unwrap();
            assert_ne!(checked.forgotten, Some(path(1)));
        }
        assert_eq!(agent.paths().len(), ICE_PATHS_MAX);
        assert!(agent.is_validated(path(1)));
    }

    #[test]
    fn silence_expires_and_media_postpones_it() {
        let mut agent = agent();
        agent.heard(Time::ZERO + Span::from_secs(10));
        assert_eq!(agent.expires(), Time::ZERO + Span::from_secs(40));
    }
}
