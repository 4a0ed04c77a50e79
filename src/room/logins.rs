//! Which logins a session is a member under: what a member's pong and request
//! are looked up by, without a walk over a room of thousands. Owns no
//! membership; [`super::roster`] keeps it in step with its own.

use std::hash::Hash;

use crate::base::hash::Map;

/// By session. Nearly always one login: only an encoder that takes streams of
/// others over has more.
pub struct Logins<S>(Map<S, Vec<String>>);

impl<S: Copy + Eq + Hash> Logins<S> {
    /// Of a session, in order.
    pub fn of(&self, session: S) -> &[String] {
        self.0.get(&session).map_or(&[], Vec::as_slice)
    }

    pub fn insert(&mut self, session: S, login: &str) {
        let logins = self.0.entry(session).or_default();
        if let Err(at) = logins.binary_search_by(|held| held.as_str().cmp(login)) {
            // Room for one: a session with more is rare, thousands with one are not.
            logins.reserve_exact(1);
            logins.insert(at, login.to_string());
        }
    }

    /// The session holds the login no more, if it did.
    pub fn remove(&mut self, session: S, login: &str) {
        let Some(logins) = self.0.get_mut(&session) else {
            return;
        };
        logins.retain(|held| held != login);
        if logins.is_empty() {
            self.0.remove(&session);
        }
    }
}

impl<S> Default for Logins<S> {
    fn default() -> Self {
        Logins(Map::default())
    }
}
