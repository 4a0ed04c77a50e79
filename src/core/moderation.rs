//! What moderators do to rooms, at the rooms' home core.

use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::mail::{Mail, Moderation, SessionRef};
use crate::ops::event::{Event, LeaveCause};
use crate::room::notice::{Notice, info};
use crate::room::roster::StreamRole;

impl Core {
    pub(super) fn moderate(
        &mut self,
        room: &str,
        from: SessionRef,
        action: Moderation,
        out: &mut Outbox,
    ) {
        let found = match action {
            Moderation::Close => self.close_room(room, out),
            Moderation::Remove { login } => {
                self.put_out(room, &login, LeaveCause::Removed, info::REMOVED, out)
            }
            Moderation::Mute {
                login,
                audio,
                video,
            } => self.ask_to_mute(room, &login, audio, video, out),
        };
        let connection = from.connection;
        self.post(from.core, Mail::Moderated { connection, found }, out);
    }

    fn close_room(&mut self, room: &str, out: &mut Outbox) -> bool {
        let Some(entry) = self.rooms.get(room) else {
            return false;
        };
        let logins: Vec<String> = entry.roster.logins().map(str::to_string).collect();
        for login in &logins {
            self.put_out(room, login, LeaveCause::RoomClosed, info::ROOM_CLOSED, out);
        }
        true
    }

    /// Ends a membership and the socket behind it, saying why: in this dialect
    /// there is no other way to put a client out of a room for good.
    fn put_out(
        &mut self,
        room: &str,
        login: &str,
        cause: LeaveCause,
        why: &'static str,
        out: &mut Outbox,
    ) -> bool {
        let session = self
            .rooms
            .get(room)
            .and_then(|r| r.roster.session_of(login));
        let Some(session) = session else {
            return self.put_player_out(room, login, out);
        };
        self.leave(room, login, cause, out);
        self.hang_up(session, why, out);
        true
    }

    /// Ends a WHEP player's session; REST names it by its play.
    fn put_player_out(&mut self, room: &str, media_session_id: &str, out: &mut Outbox) -> bool {
        let entry = self.rooms.get(room);
        let stream = entry.and_then(|entry| entry.roster.stream(media_session_id));
        let found = stream.is_some_and(|stream| stream.is_player());
        if found {
            self.end_stream(room, media_session_id, out);
        }
        found
    }

    fn ask_to_mute(
        &mut self,
        room: &str,
        login: &str,
        audio: bool,
        video: bool,
        out: &mut Outbox,
    ) -> bool {
        let Some(roster) = self.rooms.get(room).map(|room| &room.roster) else {
            return false;
        };
        // Who has no socket cannot be asked, nor can an encoder.
        let asked = roster.session_of(login).filter(|s| s.has_socket());
        let asked = asked.filter(|_| !self.is_held_by_encoder(room, login));
        let Some(session) = asked else {
            return false;
        };
        let published: Vec<String> = roster
            .streams_of(login)
            .filter(|stream| stream.role == StreamRole::Publish)
            .map(|stream| stream.media_session_id.clone())
            .collect();
        for media_session_id in published {
            let notice = Notice::MuteRequested {
                media_session_id,
                audio,
                video,
            };
            self.tell(session, notice, out);
        }
        let event = Event::MuteRequested {
            room: room.to_string(),
            login: login.to_string(),
            audio,
            video,
        };
        self.event(event, out);
        true
    }
}
