//! Participants of Janus's videoroom plugin, over its WebSocket API. Janus checks
//! connectivity itself, so this side only answers; a publisher's room is made by
//! whoever comes first.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::base::time::Time;
use crate::load::call::Call;
use crate::load::sdp::{self, Remote};
use crate::load::worker::{Crowd, JOIN_PATIENCE};
use crate::load::ws::WebSocket;
use crate::wire::codec::VideoCodec;

const PROTOCOL: &str = "janus-protocol";
/// Janus ends sessions that are silent for a minute.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(25);
/// Between two looks for a publisher.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The plugin's error of a room that is there already.
const ROOM_EXISTS: u64 = 427;

/// A session with the plugin attached.
struct Handle {
    socket: WebSocket,
    session: u64,
    handle: u64,
    transactions: u64,
}

fn refused(what: &str, said: &Value) -> io::Error {
    io::Error::other(format!("{what}: {said}"))
}

impl Handle {
    async fn open(crowd: &Crowd) -> io::Result<Self> {
        let socket = WebSocket::open(&crowd.url, crowd.trust.as_ref(), Some(PROTOCOL)).await?;
        let mut handle = Handle {
            socket,
            session: 0,
            handle: 0,
            transactions: 0,
        };
        let created = handle.ask(json!({"janus": "create"})).await?;
        handle.session = created["data"]["id"].as_u64().unwrap_or(0);
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.videoroom"});
        let attached = handle.ask(attach).await?;
        handle.handle = attached["data"]["id"].as_u64().unwrap_or(0);
        match handle.handle {
            0 => Err(refused("no handle", &attached)),
            _ => Ok(handle),
        }
    }

    async fn say(&mut self, mut message: Value) -> io::Result<String> {
        self.transactions += 1;
        let transaction = self.transactions.to_string();
        if let Some(fields) = message.as_object_mut() {
            fields.insert("transaction".into(), json!(transaction));
            if self.session != 0 {
                fields.insert("session_id".into(), json!(self.session));
            }
            if self.handle != 0 {
                fields.insert("handle_id".into(), json!(self.handle));
            }
        }
        self.socket.say(&message.to_string()).await?;
        Ok(transaction)
    }

    /// Says something and waits for what comes of it, acknowledgements aside.
    async fn ask(&mut self, message: Value) -> io::Result<Value> {
        let transaction = self.say(message).await?;
        loop {
            let text = self.socket.hear().await?;
            let heard: Value = serde_json::from_str(&text).map_err(io::Error::other)?;
            let is_answer = heard["transaction"].as_str() == Some(&transaction);
            match heard["janus"].as_str() {
                Some("ack") => {}
                Some("error") if is_answer => return Err(refused("error", &heard["error"])),
                _ if is_answer => return Ok(heard),
                _ => {}
            }
        }
    }

    async fn ask_plugin(&mut self, body: Value, jsep: Option<Value>) -> io::Result<Value> {
        let mut message = json!({"janus": "message", "body": body});
        if let (Some(jsep), Some(fields)) = (jsep, message.as_object_mut()) {
            fields.insert("jsep".into(), jsep);
        }
        let heard = self.ask(message).await?;
        let data = &heard["plugindata"]["data"];
        match data["error_code"].as_u64() {
            None | Some(ROOM_EXISTS) => Ok(heard),
            Some(_) => Err(refused("videoroom", data)),
        }
    }

    /// Keeps the session until `stop`.
    async fn stay(&mut self, stop: &mut watch::Receiver<bool>) -> io::Result<()> {
        let mut every = tokio::time::interval(KEEP_ALIVE_EVERY);
        loop {
            tokio::select! {
                _ = stop.changed() => return Ok(()),
                _ = every.tick() => {
                    self.say(json!({"janus": "keepalive"})).await?;
                }
                heard = self.socket.hear() => {
                    let heard: Value = serde_json::from_str(&heard?).map_err(io::Error::other)?;
                    // At the end the call itself may have hung up.
                    if heard["janus"] == "hangup" && !*stop.borrow() {
                        return Err(refused("hangup", &heard["reason"]));
                    }
                }
            }
        }
    }
}

/// Comes, stays until `stop`, and goes.
pub async fn visit(crowd: &Rc<Crowd>, number: u64, stop: watch::Receiver<bool>) {
    let (room, publishes, _) = crowd.plan.role(number);
    // Numbers by default; the seed keeps runs apart.
    let room = crowd.plan.seed % 1_000_000 * 1_000 + room + 1;
    let mut tasks = Vec::new();
    if publishes {
        let me = Rc::clone(crowd);
        let name = format!("p{number}");
        tasks.push(tokio::task::spawn_local(take_part(
            me,
            room,
            Part::Publish(name),
            stop.clone(),
        )));
    }
    if !publishes || crowd.plan.meeting {
        let feeds = match crowd.plan.meeting {
            true => crowd.plan.publishers - u64::from(publishes),
            false => crowd.plan.publishers,
        };
        for feed in 0..feeds {
            let wish = Part::Play {
                own: publishes.then(|| format!("p{number}")),
                place: feed,
            };
            let me = Rc::clone(crowd);
            tasks.push(tokio::task::spawn_local(take_part(
                me,
                room,
                wish,
                stop.clone(),
            )));
        }
    }
    for task in tasks {
        let _ = task.await;
    }
}

enum Part {
    /// Under this name.
    Publish(String),
    /// The publisher at this place among all but its own.
    Play { own: Option<String>, place: u64 },
}

async fn take_part(crowd: Rc<Crowd>, room: u64, part: Part, mut stop: watch::Receiver<bool>) {
    let began = crowd.now();
    let mut call = match Call::new(&crowd, matches!(part, Part::Publish(_)), began).await {
        Ok(call) => call,
        Err(error) => return crowd.fail("socket", error),
    };
    let joining = async {
        let mut handle = Handle::open(&crowd).await?;
        crowd.step("socket", began);
        let sdp = match &part {
            Part::Publish(name) => publish(&crowd, &mut handle, room, name, &call).await?,
            Part::Play { own, place } => {
                let found = find(&crowd, &mut handle, room, own.as_deref(), *place).await?;
                let (id, looked) = found;
                // Waiting for a publisher is no part of joining.
                call.began = looked;
                play(&crowd, &mut handle, room, id, &call).await?
            }
        };
        Ok::<_, io::Error>((handle, sdp))
    };
    let (mut handle, sdp) = match timeout(2 * JOIN_PATIENCE, joining).await {
        Ok(Ok(joined)) => joined,
        Ok(Err(error)) => return crowd.fail("answered", error),
        Err(_) => return crowd.fail("answered", "no answer"),
    };
    let Some(remote) = Remote::read(&sdp) else {
        return crowd.fail("answered", "a description that cannot be read");
    };
    crowd.step("answered", call.began);
    let running = call.run(Rc::clone(&crowd), remote, stop.clone());
    let running = tokio::task::spawn_local(running);
    if let Err(error) = handle.stay(&mut stop).await {
        crowd.fail("session", error);
    }
    let _ = handle.say(json!({"janus": "destroy"})).await;
    let _ = running.await;
}

/// Publishes; Janus's answer.
async fn publish(
    crowd: &Crowd,
    handle: &mut Handle,
    room: u64,
    name: &str,
    call: &Call,
) -> io::Result<String> {
    let codec = match crowd.plan.video {
        Some(VideoCodec::H264) => "h264",
        _ => "vp8",
    };
    let create = json!({
        "request": "create", "room": room, "publishers": 1_000, "bitrate": 10_000_000,
        "videocodec": codec, "audiocodec": "opus", "fir_freq": 0,
    });
    handle.ask_plugin(create, None).await?;
    let join = json!({"request": "join", "ptype": "publisher", "room": room, "display": name});
    handle.ask_plugin(join, None).await?;
    crowd.step("joined", call.began);
    let offer = json!({"type": "offer", "sdp": sdp::offer(&call.local(crowd))});
    let configure = json!({
        "request": "configure",
        "audio": crowd.plan.sound,
        "video": crowd.plan.video.is_some(),
    });
    let heard = handle.ask_plugin(configure, Some(offer)).await?;
    let answer = heard["jsep"]["sdp"].as_str();
    Ok(answer
        .ok_or_else(|| refused("no answer", &heard))?
        .to_string())
}

/// The publisher to play, and when it was there.
async fn find(
    crowd: &Crowd,
    handle: &mut Handle,
    room: u64,
    own: Option<&str>,
    place: u64,
) -> io::Result<(u64, Time)> {
    loop {
        let began = crowd.now();
        let list = json!({"request": "listparticipants", "room": room});
        // Before the first publisher there is no room.
        let heard = handle.ask_plugin(list, None).await.unwrap_or_default();
        let participants = heard["plugindata"]["data"]["participants"].as_array();
        let mut publishers: Vec<(&str, u64)> = participants
            .into_iter()
            .flatten()
            .filter(|one| one["publisher"] == true)
            .filter_map(|one| Some((one["display"].as_str()?, one["id"].as_u64()?)))
            .filter(|(name, _)| Some(*name) != own)
            .collect();
        publishers.sort_unstable();
        let all = crowd.plan.publishers - u64::from(own.is_some());
        if publishers.len() as u64 == all
            && let Some((_, id)) = publishers.get(place as usize)
        {
            return Ok((*id, began));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Plays a publisher; Janus's offer, already answered.
async fn play(
    crowd: &Crowd,
    handle: &mut Handle,
    room: u64,
    feed: u64,
    call: &Call,
) -> io::Result<String> {
    let join = json!({
        "request": "join", "ptype": "subscriber", "room": room, "streams": [{"feed": feed}],
    });
    let heard = handle.ask_plugin(join, None).await?;
    crowd.step("joined", call.began);
    let offer = heard["jsep"]["sdp"].as_str();
    let offer = offer
        .ok_or_else(|| refused("no offer", &heard))?
        .to_string();
    let remote = Remote::read(&offer);
    let sections = remote.map(|remote| remote.sections).unwrap_or_default();
    let answer = json!({"type": "answer", "sdp": sdp::answer(&call.local(crowd), &sections)});
    handle
        .ask_plugin(json!({"request": "start", "room": room}), Some(answer))
        .await?;
    Ok(offer)
}
