//! One RTMP connection at the core that accepted it: what its client asks is
//! judged here (token, rates, congestion) and passed to the rooms, and their
//! answers go back in RTMP's words.

use crate::base::limits::PLAYER_STREAMS_MAX;
use crate::base::time::Time;
use crate::core::border::{ConnectionId, Outbox};
use crate::core::connection::Stage;
use crate::core::machine::Core;
use crate::core::mail::{Mail, SessionRef};
use crate::core::rtmp::line::{Line, RtmpEnd, State, Target, Viewing, split_query, token_of};
use crate::core::rtmp::{Play, Publish, Request, Upstream};
use crate::ops::access::Denial;
use crate::ops::event::Event;
use crate::proto::rtmp::{self, Connect, PlayCode, PublishCode};
use crate::room::notice::info;
use crate::signal::flash::{self, Hello};
use crate::signal::message;
use crate::signal::session::Session;
use crate::wire::amf;

impl Core {
    pub(in crate::core) fn read_rtmp(
        &mut self,
        now: Time,
        id: ConnectionId,
        bytes: &[u8],
        out: &mut Outbox,
    ) {
        self.feed_rtmp(now, id, bytes, out);
        if self.rtmp_mut(id).is_some_and(|end| end.rtmp.holds_input()) {
            // What came behind `connect`, answered by now.
            self.feed_rtmp(now, id, &[], out);
        }
        self.flush_session(id, out);
        self.rearm_connection(id);
    }

    fn feed_rtmp(&mut self, now: Time, id: ConnectionId, bytes: &[u8], out: &mut Outbox) {
        let Some(end) = self.rtmp_mut(id) else {
            return;
        };
        let outcome = end.rtmp.handle(now, bytes);
        while let Some(event) = self.rtmp_mut(id).and_then(|end| end.rtmp.poll_event()) {
            self.rtmp_event(now, id, event, out);
        }
        if let Err(error) = outcome {
            let why = error.to_string();
            self.event(Event::RtmpRefused { why }, out);
            self.hang_up_rtmp(id, out);
        }
    }

    pub(in crate::core) fn wake_rtmp(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        let outcome = match self.rtmp_mut(id) {
            Some(end) => end.rtmp.handle_deadline(now),
            None => return,
        };
        if outcome.is_err() {
            return self.hang_up_rtmp(id, out);
        }
        self.wake_session(now, id, out);
    }

    /// Ends the connection; its streams are lost, not ended.
    fn hang_up_rtmp(&mut self, id: ConnectionId, out: &mut Outbox) {
        self.flush_session(id, out);
        self.end_session(id, out);
        self.close(id, out);
    }

    pub(super) fn rtmp_mut(&mut self, id: ConnectionId) -> Option<&mut RtmpEnd> {
        match &mut self.connections.get_mut(&id)?.stage {
            Stage::Rtmp(end) => Some(end),
            _ => None,
        }
    }

    fn rtmp_event(&mut self, now: Time, id: ConnectionId, event: rtmp::Event, out: &mut Outbox) {
        use rtmp::Event as Said;
        match event {
            Said::Media {
                stream_id,
                kind,
                timestamp,
                body,
            } => {
                let Some(line) = self.rtmp_mut(id).and_then(|e| e.lines.get(&stream_id)) else {
                    return;
                };
                if let State::Publishing(Some(ingest)) = line.state {
                    let media = Upstream {
                        ingest,
                        from: SessionRef {
                            core: self.setup.core,
                            connection: id,
                        },
                        kind,
                        timestamp,
                        body,
                    };
                    self.post(ingest.core, Mail::RtmpMedia(media), out);
                }
            }
            Said::Connect(connect) => self.rtmp_connect(now, id, &connect, out),
            Said::Publish { stream_id, name } => self.rtmp_publish(now, id, stream_id, name, out),
            Said::Play { stream_id, name } => self.rtmp_play(now, id, stream_id, name, out),
            Said::Unpublish { stream_id } | Said::Stop { stream_id } => {
                self.rtmp_stop(id, stream_id, out)
            }
            Said::Pause { stream_id, paused } => {
                self.change_viewing(id, stream_id, out, |viewing| {
                    let resumes = viewing.paused && !paused;
                    viewing.paused = paused;
                    resumes
                });
            }
            Said::ReceiveAudio { stream_id, on } => {
                self.change_viewing(id, stream_id, out, |viewing| {
                    viewing.wants_audio = on;
                    false
                });
            }
            Said::ReceiveVideo { stream_id, on } => {
                self.change_viewing(id, stream_id, out, |viewing| {
                    let resumes = on && !viewing.wants_video;
                    viewing.wants_video = on;
                    resumes
                });
            }
            Said::Call { name, arguments } => self.rtmp_call(now, id, &name, &arguments, out),
        }
    }

    /// Does `change`, which says whether pictures that were left out go on.
    fn change_viewing(
        &mut self,
        id: ConnectionId,
        stream_id: u32,
        out: &mut Outbox,
        change: impl FnOnce(&mut Viewing) -> bool,
    ) {
        let Some(viewing) = self.rtmp_mut(id).and_then(|end| end.viewing(stream_id)) else {
            return;
        };
        let resumes = change(viewing);
        viewing.awaits_key |= resumes;
        if let Some(feed) = viewing.feed.filter(|_| resumes) {
            self.post(feed.core, Mail::RtmpWantsKey(feed), out);
        }
    }

    fn rtmp_connect(&mut self, now: Time, id: ConnectionId, connect: &Connect, out: &mut Outbox) {
        let session_token = self.secret.token();
        let keep_alive = self.setup.keep_alive;
        let Some(end) = self.rtmp_mut(id) else {
            return;
        };
        let (app, query) = split_query(&connect.app);
        end.app = app.trim_matches('/').to_string();
        end.token = token_of(query).or_else(|| token_of(split_query(&connect.tc_url).1));
        end.accepts_opus = connect.accepts_opus;
        let hello = Hello::read(&connect.arguments);
        match hello.map(|hello| (hello.login, hello.access_token)) {
            None => end.rtmp.accept_connect(),
            Some((Ok(login), shown)) => {
                let shown = shown.map(str::to_string).or_else(|| end.token.clone());
                let login = login.to_string();
                let talk = Session::established(now, session_token, keep_alive, login, shown);
                end.talk = Some(talk);
                end.rtmp.accept_connect();
            }
            Some((Err(why), _)) => {
                end.rtmp.reject_connect(&why);
                self.hang_up_rtmp(id, out);
            }
        }
    }

    fn rtmp_call(
        &mut self,
        now: Time,
        id: ConnectionId,
        name: &str,
        arguments: &[amf::Value],
        out: &mut Outbox,
    ) {
        let mut actions = Vec::new();
        if let Some(session) = self.session_mut(id) {
            session.take(flash::read_call(name, arguments), &mut actions);
        }
        self.perform(now, id, actions, out);
    }

    fn rtmp_publish(
        &mut self,
        now: Time,
        id: ConnectionId,
        stream_id: u32,
        name: String,
        out: &mut Outbox,
    ) {
        // Whoever knew it beforehand could claim it.
        let media_session_id = format!("rtmp-{}", self.secret.token());
        let judged = self.judge_publish(now, id, stream_id, &name, media_session_id);
        match judged {
            Ok(publish) => {
                let line = Line {
                    room: publish.room.clone(),
                    name,
                    media_session_id: publish.media_session_id.clone(),
                    state: State::Publishing(None),
                };
                self.open_line(id, stream_id, line, Request::Publish(publish), out);
            }
            Err(why) => {
                if let Some(end) = self.rtmp_mut(id) {
                    let code = PublishCode::Denied;
                    end.rtmp.publish_refused(stream_id, code, &why);
                }
            }
        }
    }

    fn judge_publish(
        &mut self,
        now: Time,
        id: ConnectionId,
        stream_id: u32,
        name: &str,
        media_session_id: String,
    ) -> Result<Publish, String> {
        self.judge_line(now, id)?;
        let end = self.rtmp_mut(id).ok_or("no such connection")?;
        if let Some(talk) = end.room_client() {
            let (room, stream) = stream_of_member(talk, name)?;
            let publish = Publish {
                room,
                stream,
                joins_as: None,
                token: String::new(),
                media_session_id,
                stream_id,
            };
            let (login, shown) = (talk.login().unwrap_or_default(), talk.access_token());
            let (login, shown) = (login.to_string(), shown.map(str::to_string));
            self.judge_publisher(now, shown.as_deref(), &publish.room, &login)?;
            return Ok(publish);
        }
        let target = Target::read(end, name)?;
        let has_publication = |line: &Line| matches!(line.state, State::Publishing(_));
        if end.lines.values().any(has_publication) {
            return Err("one encoder's connection publishes one stream".to_string());
        }
        self.judge_publisher(now, target.token.as_deref(), &target.room, &target.name)?;
        Ok(Publish {
            stream: format!("{}-{}", target.room, target.name),
            room: target.room,
            joins_as: Some(target.name),
            token: target.token.unwrap_or_default(),
            media_session_id,
            stream_id,
        })
    }

    /// What holds for whatever is asked of a room.
    fn judge_line(&mut self, now: Time, id: ConnectionId) -> Result<(), String> {
        let peer = self.connections.get(&id).ok_or("no such connection")?.peer;
        if !self.rates.joins.allow(now, peer.ip()) {
            return Err(info::TOO_MANY_JOINS.to_string());
        }
        if self.is_congested() {
            return Err(info::SERVER_FULL.to_string());
        }
        Ok(())
    }

    fn judge_publisher(
        &self,
        now: Time,
        token: Option<&str>,
        room: &str,
        login: &str,
    ) -> Result<(), String> {
        let access = &self.setup.rules.access;
        let grant = access.judge(token, room, login, self.unix_s(now));
        match grant.map_err(Denial::info)?.publish {
            true => Ok(()),
            false => Err(info::RESTRICTED.to_string()),
        }
    }

    fn rtmp_play(
        &mut self,
        now: Time,
        id: ConnectionId,
        stream_id: u32,
        name: String,
        out: &mut Outbox,
    ) {
        // Whoever knew it beforehand could claim it.
        let media_session_id = format!("rtmp-{}", self.secret.token());
        match self.judge_play(now, id, stream_id, &name, media_session_id) {
            Ok(play) => {
                let viewing = Viewing {
                    feed: None,
                    wants_audio: true,
                    wants_video: true,
                    paused: false,
                    awaits_key: true,
                };
                let line = Line {
                    room: play.room.clone(),
                    name,
                    media_session_id: play.media_session_id.clone(),
                    state: State::Playing(viewing),
                };
                self.open_line(id, stream_id, line, Request::Play(play), out);
            }
            Err(why) => {
                if let Some(end) = self.rtmp_mut(id) {
                    end.rtmp.play_refused(stream_id, PlayCode::Failed, &why);
                }
            }
        }
    }

    fn judge_play(
        &mut self,
        now: Time,
        id: ConnectionId,
        stream_id: u32,
        name: &str,
        media_session_id: String,
    ) -> Result<Play, String> {
        self.judge_line(now, id)?;
        let end = self.rtmp_mut(id).ok_or("no such connection")?;
        let accepts_opus = end.accepts_opus;
        let (room, name, token) = match end.room_client() {
            Some(talk) => {
                let (room, stream) = stream_of_member(talk, name)?;
                (room, stream, talk.access_token().map(str::to_string))
            }
            None => {
                if end.plays() >= PLAYER_STREAMS_MAX {
                    return Err(info::TOO_MANY_STREAMS.to_string());
                }
                let target = Target::read(end, name)?;
                (target.room, target.name, target.token)
            }
        };
        let access = &self.setup.rules.access;
        access
            .judge_player(token.as_deref(), &room, self.unix_s(now))
            .map_err(Denial::info)?;
        Ok(Play {
            room,
            name,
            media_session_id,
            stream_id,
            accepts_opus,
        })
    }

    /// What was on the message stream before ends.
    fn open_line(
        &mut self,
        id: ConnectionId,
        stream_id: u32,
        line: Line,
        request: Request,
        out: &mut Outbox,
    ) {
        self.close_line(id, stream_id, false, out);
        if let Some(end) = self.rtmp_mut(id) {
            end.lines.insert(stream_id, line);
        }
        self.ask_rtmp(id, request, out);
    }

    pub(super) fn ask_rtmp(&mut self, id: ConnectionId, request: Request, out: &mut Outbox) {
        let home = self.home_of(request.room());
        let from = self.session_ref(id);
        self.post(home, Mail::Rtmp { from, request }, out);
    }

    /// The client ended what it did on a message stream.
    fn rtmp_stop(&mut self, id: ConnectionId, stream_id: u32, out: &mut Outbox) {
        let was_publishing = self.close_line(id, stream_id, false, out);
        if was_publishing && let Some(end) = self.rtmp_mut(id) {
            end.rtmp.unpublished(stream_id);
        }
    }

    /// Frees a message stream and tells the room; `true` if it was published on.
    pub(super) fn close_line(
        &mut self,
        id: ConnectionId,
        stream_id: u32,
        is_lost: bool,
        out: &mut Outbox,
    ) -> bool {
        let end = self.rtmp_mut(id);
        let Some(line) = end.and_then(|end| end.lines.remove(&stream_id)) else {
            return false;
        };
        let Line {
            room,
            media_session_id,
            state,
            ..
        } = line;
        let was_publishing = matches!(state, State::Publishing(_));
        if let State::Playing(Viewing {
            feed: Some(feed), ..
        }) = state
        {
            self.seats.forget_player(feed, id, stream_id);
        }
        let request = match is_lost && was_publishing {
            true => Request::Lost {
                room,
                media_session_id,
            },
            false => Request::End {
                room,
                media_session_id,
            },
        };
        self.ask_rtmp(id, request, out);
        was_publishing
    }

    /// The connection is gone.
    pub(in crate::core) fn end_rtmp_streams(&mut self, id: ConnectionId, out: &mut Outbox) {
        let lines: Vec<u32> = match self.rtmp_mut(id) {
            Some(end) => end.lines.keys().copied().collect(),
            None => return,
        };
        for stream_id in lines {
            self.close_line(id, stream_id, true, out);
        }
    }
}

/// The room and the stream that a member of rooms means by `name`.
fn stream_of_member(talk: &Session, name: &str) -> Result<(String, String), String> {
    let (stream, _) = split_query(name);
    message::check_name(Some(stream), "the stream's name")?;
    let room = talk.room_of_stream(stream).ok_or(info::NOT_A_MEMBER)?;
    Ok((room.to_string(), stream.to_string()))
}
