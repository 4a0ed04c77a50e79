//! The message streams of one connection (RTMP 1.0 section 7.2.1.3): which the
//! peer created, and what it does with each.

use crate::base::limits::MEMBER_STREAMS_MAX;

#[derive(Default)]
pub struct Streams {
    streams: Vec<Stream>,
}

pub struct Stream {
    pub id: u32,
    pub role: Role,
    /// The name it publishes or plays under, or last did.
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Idle,
    /// Waits for leave to publish.
    PublishAsked,
    Publishing,
    /// Waits for leave to play.
    PlayAsked,
    Playing,
}

impl Role {
    pub fn publishes(self) -> bool {
        matches!(self, Role::PublishAsked | Role::Publishing)
    }

    pub fn plays(self) -> bool {
        matches!(self, Role::PlayAsked | Role::Playing)
    }
}

impl Streams {
    /// A new stream's id, the smallest free one; `None` beyond the cap.
    pub fn create(&mut self) -> Option<u32> {
        if self.streams.len() >= MEMBER_STREAMS_MAX {
            return None;
        }
        let id = (1..).find(|id| self.find(*id).is_none())?;
        self.streams.push(Stream {
            id,
            role: Role::Idle,
            name: String::new(),
        });
        Some(id)
    }

    pub fn find(&self, id: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.id == id)
    }

    pub fn find_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    /// The stream with `role` and `name`.
    pub fn named(&self, name: &str, role: impl Fn(Role) -> bool) -> Option<u32> {
        let found = |stream: &&Stream| role(stream.role) && stream.name == name;
        self.streams.iter().find(found).map(|stream| stream.id)
    }

    pub fn remove(&mut self, id: u32) {
        self.streams.retain(|stream| stream.id != id);
    }

    pub fn is_publishing(&self, id: u32) -> bool {
        self.find(id)
            .is_some_and(|stream| stream.role == Role::Publishing)
    }
}

impl Stream {
    /// Gives the stream a role it waits for under `name`.
    pub fn ask(&mut self, role: Role, name: &str) {
        self.role = role;
        self.name = name.to_owned();
    }

    /// Ends what the stream does; what that was.
    pub fn rest(&mut self) -> Role {
        std::mem::replace(&mut self.role, Role::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_small_and_bounded() {
        let mut streams = Streams::default();
        for id in 1..=MEMBER_STREAMS_MAX as u32 {
            assert_eq!(streams.create(), Some(id));
        }
        assert_eq!(streams.create(), None);
        streams.remove(7);
        assert_eq!(streams.create(), Some(7));
    }

    #[test]
    fn a_stream_is_found_by_what_it_does() {
        let mut streams = Streams::default();
        let id = streams.create().unwrap();
        streams.find_mut(id).unwrap().ask(Role::PublishAsked, "a");
        assert_eq!(streams.named("a", Role::publishes), Some(id));
        assert_eq!(streams.named("a", Role::plays), None);
        assert!(!streams.is_publishing(id));
        assert_eq!(streams.find_mut(id).unwrap().rest(), Role::PublishAsked);
        assert_eq!(streams.named("a", Role::publishes), None);
    }
}
