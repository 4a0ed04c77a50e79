//! What a room tells an RTMP connection of its streams, at the core that
//! accepted it, in RTMP's words.

use crate::base::time::Time;
use crate::core::border::{ConnectionId, Outbox};
use crate::core::machine::Core;
use crate::core::rtmp::line::{State, Viewing};
use crate::core::rtmp::{Advice, FeedRef, IngestRef, Reply, Request, Tag};
use crate::proto::rtmp::{PlayCode, PublishCode};

impl Core {
    /// A room's answer, or its news of a stream.
    pub(in crate::core) fn rtmp_reply(
        &mut self,
        now: Time,
        id: ConnectionId,
        media_session_id: &str,
        reply: Reply,
        out: &mut Outbox,
    ) {
        let end = self.rtmp_mut(id);
        let Some(stream_id) = end.and_then(|end| end.stream_of(media_session_id)) else {
            return self.answer_nobody(id, reply, out);
        };
        match reply {
            Reply::Publishing {
                ingest,
                room,
                media_session_id,
            } => self.publishing(id, stream_id, ingest, room, media_session_id, out),
            Reply::PublishRefused { why, is_taken } => {
                let code = match is_taken {
                    true => PublishCode::BadName,
                    false => PublishCode::Denied,
                };
                if let Some(end) = self.rtmp_mut(id) {
                    end.lines.remove(&stream_id);
                    end.rtmp.publish_refused(stream_id, code, why);
                }
            }
            Reply::Unpublished { why } => {
                if let Some(end) = self.rtmp_mut(id) {
                    end.lines.remove(&stream_id);
                    end.rtmp.unpublished(stream_id);
                    end.rtmp.notify(stream_id, "error", "NetStream.Failed", why);
                }
            }
            Reply::Playing { feed, start } => self.playing(now, id, stream_id, feed, &start, out),
            Reply::PlayRefused { why, is_absent } => {
                let code = match is_absent {
                    true => PlayCode::StreamNotFound,
                    false => PlayCode::Failed,
                };
                if let Some(end) = self.rtmp_mut(id) {
                    end.lines.remove(&stream_id);
                    end.rtmp.play_refused(stream_id, code, why);
                }
            }
            Reply::PlayEnded => self.play_ended(id, stream_id),
            Reply::Advice(advice) => self.advise(id, stream_id, advice),
        }
        self.flush_session(id, out);
    }

    /// The stream was ended before the answer came. The room heard of that
    /// under the name it was asked under; a stream taken over has another.
    fn answer_nobody(&mut self, id: ConnectionId, reply: Reply, out: &mut Outbox) {
        if let Reply::Publishing {
            room,
            media_session_id,
            ..
        } = reply
        {
            let request = Request::End {
                room,
                media_session_id,
            };
            self.ask_rtmp(id, request, out);
        }
    }

    fn publishing(
        &mut self,
        id: ConnectionId,
        stream_id: u32,
        ingest: IngestRef,
        room: String,
        media_session_id: String,
        out: &mut Outbox,
    ) {
        let Some(end) = self.rtmp_mut(id) else {
            return;
        };
        let Some(line) = end.lines.get_mut(&stream_id) else {
            return;
        };
        line.state = State::Publishing(Some(ingest));
        line.room = room;
        line.media_session_id = media_session_id;
        if !end.rtmp.publish_started(stream_id, &line.name) {
            // It gave up waiting.
            self.close_line(id, stream_id, false, out);
        }
    }

    fn playing(
        &mut self,
        now: Time,
        id: ConnectionId,
        stream_id: u32,
        feed: FeedRef,
        start: &[Tag],
        out: &mut Outbox,
    ) {
        let Some(end) = self.rtmp_mut(id) else {
            return;
        };
        let Some(line) = end.lines.get_mut(&stream_id) else {
            return;
        };
        if let State::Playing(viewing) = &mut line.state {
            viewing.feed = Some(feed);
            viewing.awaits_key = !start.iter().any(Tag::is_key);
        }
        let starts = end.rtmp.play_started(stream_id, &line.name);
        // First: writing may end the connection, which then forgets it.
        self.seats.add_player(feed, id, stream_id);
        self.flush_session(id, out);
        if !starts {
            // It gave up waiting.
            self.close_line(id, stream_id, false, out);
            return;
        }
        for tag in start {
            if !self.send_tag(now, id, stream_id, tag, out) {
                break;
            }
        }
    }

    fn play_ended(&mut self, id: ConnectionId, stream_id: u32) {
        let Some(end) = self.rtmp_mut(id) else {
            return;
        };
        let Some(line) = end.lines.remove(&stream_id) else {
            return;
        };
        end.rtmp.play_unpublished(stream_id, &line.name);
        if let State::Playing(Viewing {
            feed: Some(feed), ..
        }) = line.state
        {
            self.seats.forget_player(feed, id, stream_id);
        }
    }

    /// The words of RTMP come nearest; what is meant stands in the description.
    fn advise(&mut self, id: ConnectionId, stream_id: u32, advice: Advice) {
        let Some(end) = self.rtmp_mut(id) else {
            return;
        };
        let Some(line) = end.lines.get(&stream_id) else {
            return;
        };
        let code = match line.state {
            State::Publishing(_) => "NetStream.Publish.Notify",
            State::Playing(_) => "NetStream.Play.Notify",
        };
        let level = match advice {
            Advice::BFramesEnded => "status",
            _ => "warning",
        };
        end.rtmp.notify(stream_id, level, code, &advice.info());
    }
}
