//! Commands of the peer (RTMP 1.0 section 7.2, and what encoders and players
//! of the field add): those that need no room are answered at once, the others
//! become events.

use super::answer::{PlayCode, PublishCode};
use super::connect;
use super::event::{Event, RtmpError};
use super::streams::{Role, Stream};
use super::{Phase, Session};
use crate::wire::amf::Value;

/// Calls of the room protocol that clients make, handed up.
const ROOM_CALLS: &[&str] = &["sendData", "pong"];

/// A command taken apart.
struct Command {
    name: String,
    /// 0 asks for no answer.
    transaction: f64,
    /// The message stream it came on.
    stream_id: u32,
    /// What follows the command object.
    arguments: Vec<Value>,
}

impl Command {
    fn argument(&self) -> &Value {
        self.arguments.first().unwrap_or(&Value::Undefined)
    }

    fn wants_answer(&self) -> bool {
        self.transaction != 0.0
    }
}

/// Carries out one command message of `stream_id`.
pub fn dispatch(
    session: &mut Session,
    stream_id: u32,
    values: Vec<Value>,
) -> Result<(), RtmpError> {
    let mut values = values.into_iter();
    let Some(Value::String(name)) = values.next() else {
        return Err(RtmpError::Nameless);
    };
    let transaction = values.next().and_then(|value| value.as_number());
    let object = values.next().unwrap_or(Value::Null);
    let command = Command {
        name,
        transaction: transaction.unwrap_or(0.0),
        stream_id,
        arguments: values.collect(),
    };
    match (&session.phase, command.name.as_str()) {
        (Phase::Greeted, "connect") => {
            let transaction = command.transaction;
            let (connect, caps) = connect::read(&object, command.arguments);
            session.phase = Phase::Asked { transaction, caps };
            session.events.push_back(Event::Connect(connect));
            Ok(())
        }
        (Phase::Connected | Phase::Asked { .. }, "connect") => Err(RtmpError::ConnectedTwice),
        (Phase::Connected, _) => {
            session.carry_out(command);
            Ok(())
        }
        _ => Err(RtmpError::NotConnected),
    }
}

impl Session {
    fn carry_out(&mut self, command: Command) {
        match command.name.as_str() {
            "createStream" => self.create_stream(&command),
            "publish" => self.asked_to_publish(&command),
            "play" => self.asked_to_play(&command),
            "closeStream" => self.close_stream(command.stream_id),
            "deleteStream" => self.delete_stream(&command),
            "FCPublish" => self.announce(&command),
            "FCUnpublish" => self.unannounce(&command),
            "releaseStream" | "_checkbw" => self.succeed(&command, Value::Undefined),
            "FCSubscribe" => self.subscribe(&command),
            // Of a live stream nobody knows.
            "getStreamLength" => self.succeed(&command, Value::Number(0.0)),
            "pause" | "receiveAudio" | "receiveVideo" => self.switch(&command),
            "seek" => self.refuse_to_seek(&command),
            // Answers to what we called; we asked for none.
            "_result" | "_error" | "onStatus" => {}
            name if ROOM_CALLS.contains(&name) => {
                self.succeed(&command, Value::Undefined);
                self.events.push_back(Event::Call {
                    name: command.name,
                    arguments: command.arguments,
                });
            }
            _ => self.fail(&command, "No such call."),
        }
    }

    fn succeed(&mut self, command: &Command, value: Value) {
        if command.wants_answer() {
            self.result(command.transaction, [Value::Null, value]);
        }
    }

    fn fail(&mut self, command: &Command, description: &str) {
        if command.wants_answer() {
            let information = connect::status("error", "NetConnection.Call.Failed", description);
            self.error(command.transaction, Value::Object(information));
        }
    }

    fn create_stream(&mut self, command: &Command) {
        match self.streams.create() {
            Some(id) => self.succeed(command, Value::Number(f64::from(id))),
            None => self.fail(command, "Too many streams."),
        }
    }

    /// `publish(name)`; `publish(false)` and `publish(null)` end it.
    fn asked_to_publish(&mut self, command: &Command) {
        let id = command.stream_id;
        let name = match command.argument() {
            Value::String(name) => name.as_str(),
            Value::Boolean(_) | Value::Null | Value::Undefined => {
                self.end(id, Role::publishes);
                return;
            }
            _ => "",
        };
        match self.streams.find_mut(id) {
            None => self.notify(id, "error", "NetStream.Failed", "No such stream."),
            Some(_) if name.is_empty() => {
                self.refuse_publish(id, PublishCode::BadName, "A stream needs a name.");
            }
            Some(stream) if stream.role != Role::Idle => {
                self.refuse_publish(id, PublishCode::BadName, "The stream is in use.");
            }
            Some(stream) => {
                stream.ask(Role::PublishAsked, name);
                let name = name.to_owned();
                self.events.push_back(Event::Publish {
                    stream_id: id,
                    name,
                });
            }
        }
    }

    /// `play(name, ..)`; `play(false)` ends it. Start, length and reset mean
    /// nothing for live streams. Another name takes the place of the first.
    fn asked_to_play(&mut self, command: &Command) {
        let id = command.stream_id;
        let name = match command.argument() {
            Value::String(name) => name.as_str(),
            Value::Boolean(_) => {
                self.end(id, Role::plays);
                return;
            }
            _ => "",
        };
        self.end(id, Role::plays);
        match self.streams.find_mut(id) {
            None => self.notify(id, "error", "NetStream.Failed", "No such stream."),
            Some(_) if name.is_empty() => {
                self.refuse_play(id, PlayCode::StreamNotFound, "A stream needs a name.");
            }
            Some(stream) if stream.role != Role::Idle => {
                self.refuse_play(id, PlayCode::Failed, "The stream is in use.");
            }
            Some(stream) => {
                stream.ask(Role::PlayAsked, name);
                let name = name.to_owned();
                self.events.push_back(Event::Play {
                    stream_id: id,
                    name,
                });
            }
        }
    }

    /// Ends what a stream does, if it does what `role` says.
    fn end(&mut self, id: u32, role: impl Fn(Role) -> bool) {
        let Some(stream) = self.streams.find_mut(id) else {
            return;
        };
        if !role(stream.role) {
            return;
        }
        let ended = stream.rest();
        if ended.publishes() {
            self.events.push_back(Event::Unpublish { stream_id: id });
        } else if ended.plays() {
            self.events.push_back(Event::Stop { stream_id: id });
        }
    }

    fn close_stream(&mut self, id: u32) {
        self.end(id, |_| true);
    }

    /// `deleteStream(id)`; GStreamer says a text instead of the number.
    fn delete_stream(&mut self, command: &Command) {
        let id = match command.argument() {
            Value::Number(id) => Some(*id as u32),
            Value::String(text) => text
                .parse()
                .ok()
                .or_else(|| self.streams.named(text, |_| true)),
            _ => None,
        };
        if let Some(id) = id {
            self.close_stream(id);
            self.streams.remove(id);
        }
    }

    /// `FCPublish(name)` before `publish(name)`: Flash Media Encoder's way to
    /// ask for a name. Whether it may have it is said when it publishes.
    fn announce(&mut self, command: &Command) {
        self.announces = true;
        self.succeed(command, Value::Undefined);
    }

    /// `FCUnpublish(name)` ends what is published under the name.
    fn unannounce(&mut self, command: &Command) {
        self.succeed(command, Value::Undefined);
        let name = command.argument().as_str().unwrap_or_default();
        if let Some(id) = self.streams.named(name, Role::publishes) {
            self.close_stream(id);
        }
    }

    /// `FCSubscribe(name)` before `play(name)`: players of content networks
    /// wait for `onFCSubscribe`. Whether the stream is there is said on `play`.
    fn subscribe(&mut self, command: &Command) {
        self.succeed(command, Value::Undefined);
        let name = command.argument().as_str().unwrap_or_default().to_owned();
        self.call_with_status("onFCSubscribe", "NetStream.Play.Start", &name);
    }

    fn switch(&mut self, command: &Command) {
        let stream_id = command.stream_id;
        let plays = |stream: &Stream| stream.role.plays();
        let Some(on) = command.argument().as_bool() else {
            return;
        };
        if !self.streams.find(stream_id).is_some_and(plays) {
            return;
        }
        let event = match command.name.as_str() {
            "receiveAudio" => Event::ReceiveAudio { stream_id, on },
            "receiveVideo" => Event::ReceiveVideo { stream_id, on },
            _ => {
                let (code, description) = match on {
                    true => ("NetStream.Pause.Notify", "Paused."),
                    false => ("NetStream.Unpause.Notify", "Unpaused."),
                };
                self.notify(stream_id, "status", code, description);
                Event::Pause {
                    stream_id,
                    paused: on,
                }
            }
        };
        self.events.push_back(event);
    }

    fn refuse_to_seek(&mut self, command: &Command) {
        let code = "NetStream.Seek.Failed";
        self.notify(command.stream_id, "error", code, "The stream is live.");
    }
}
