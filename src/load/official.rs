//! Participants as the official Web SDK makes them: one WebSocket, in which they
//! join a room, publish, and play.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::base::time::Time;
use crate::load::call::{Call, End};
use crate::load::sdp::{self, Remote};
use crate::load::worker::{Crowd, JOIN_PATIENCE};
use crate::load::ws::WebSocket;
use crate::signal::client::{self, ServerMessage};

struct Participant {
    crowd: Rc<Crowd>,
    socket: WebSocket,
    room: String,
    login: String,
    publishes: bool,
    /// Plays what others publish: all of it, or the first only.
    plays: bool,
    began: Time,
    stop: watch::Receiver<bool>,
    /// Calls waiting for an answer, by media session id.
    waiting: BTreeMap<String, Call>,
    calls: Vec<tokio::task::JoinHandle<End>>,
    streams: u64,
}

/// Comes, stays until `stop`, and goes.
pub async fn visit(crowd: &Rc<Crowd>, number: u64, visit: u64, stop: watch::Receiver<bool>) {
    let (room, publishes, _) = crowd.plan.role(number);
    let began = crowd.now();
    let opening = WebSocket::open(&crowd.url, crowd.trust.as_ref(), None);
    let socket = match timeout(JOIN_PATIENCE, opening).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return crowd.fail("socket", error),
        Err(_) => return crowd.fail("socket", "no answer"),
    };
    crowd.step("socket", began);
    let participant = Participant {
        crowd: Rc::clone(crowd),
        socket,
        room: crowd.plan.room(room),
        login: format!("p{number}-{visit}"),
        publishes,
        plays: !publishes || crowd.plan.meeting,
        began,
        stop,
        waiting: BTreeMap::new(),
        calls: Vec::new(),
        streams: 0,
    };
    participant.take_part().await;
}

impl Participant {
    async fn take_part(mut self) {
        let token = &self.crowd.plan.token;
        let greeting = client::connection_with(&self.login, token);
        if let Err(error) = self.socket.say(&greeting).await {
            return self.crowd.fail("joined", error);
        }
        let mut stop = self.stop.clone();
        let end = loop {
            let text = tokio::select! {
                _ = stop.changed() => break Ok(()),
                text = self.socket.hear() => text,
            };
            let handled = match text {
                Ok(text) => self.handle(&text).await,
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = handled {
                break Err(why);
            }
        };
        if let Err(why) = end {
            self.crowd.fail("session", why);
        }
        for (_, _call) in std::mem::take(&mut self.waiting) {
            self.crowd.fail("answered", "nobody answered the offer");
        }
        // Said in vain where the socket is gone.
        let _ = self.socket.say(&client::leave("leave", &self.room)).await;
        for call in self.calls {
            let _ = call.await;
        }
    }

    async fn handle(&mut self, text: &str) -> Result<(), String> {
        let said = |result: io::Result<()>| result.map_err(|error| error.to_string());
        match client::read(text) {
            Some(ServerMessage::UserData { .. }) => {
                said(self.socket.say(&client::join("join", &self.room)).await)
            }
            Some(ServerMessage::Ping) => said(self.socket.say(&client::pong()).await),
            Some(ServerMessage::Settled {
                operation_id,
                accepted,
                info,
            }) if operation_id == "join" => {
                if !accepted {
                    return Err(format!("join refused: {}", info.unwrap_or_default()));
                }
                self.crowd.step("joined", self.began);
                match self.publishes {
                    true => {
                        let stream = format!("{}-{}", self.room, self.login);
                        self.open(&stream, true).await
                    }
                    false => Ok(()),
                }
            }
            Some(ServerMessage::State { members, .. }) => {
                for stream in members.into_iter().filter_map(|(_, stream)| stream) {
                    self.play(&stream).await?;
                }
                Ok(())
            }
            Some(ServerMessage::Published { stream, .. }) => self.play(&stream).await,
            Some(ServerMessage::RemoteSdp {
                media_session_id,
                sdp,
            }) => self.answered(&media_session_id, &sdp),
            Some(ServerMessage::StreamStatus {
                media_session_id,
                status,
                info,
            }) if status == "FAILED" => {
                if self.waiting.remove(&media_session_id).is_some() {
                    self.crowd.fail("answered", info.unwrap_or(status));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn play(&mut self, stream: &str) -> Result<(), String> {
        match self.plays {
            true => self.open(stream, false).await,
            false => Ok(()),
        }
    }

    async fn open(&mut self, stream: &str, publishes: bool) -> Result<(), String> {
        let call = Call::new(&self.crowd, publishes, self.crowd.now()).await;
        let mut call = call.map_err(|error| error.to_string())?;
        if self.streams == 0 {
            call.began = self.began;
        }
        self.streams += 1;
        let id = format!("{}-{}-{}", self.login, self.streams, self.crowd.token());
        let offer = sdp::offer(&call.local(&self.crowd));
        let text = match publishes {
            true => client::publish(&id, stream, &self.room, &offer),
            false => client::play(&id, stream, &self.room, &offer),
        };
        self.waiting.insert(id, call);
        self.socket
            .say(&text)
            .await
            .map_err(|error| error.to_string())
    }

    fn answered(&mut self, id: &str, sdp: &str) -> Result<(), String> {
        let Some(call) = self.waiting.remove(id) else {
            return Ok(());
        };
        let remote = Remote::read(sdp).ok_or("an answer that cannot be read")?;
        self.crowd.step("answered", call.began);
        let running = call.run(Rc::clone(&self.crowd), remote, self.stop.clone());
        self.calls.push(spawn_local(running));
        Ok(())
    }
}
