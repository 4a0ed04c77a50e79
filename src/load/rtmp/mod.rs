//! Participants over RTMP: encoders that publish a stream of their own, and
//! players with a connection for each stream they play.

mod line;
mod publish;
mod tags;
mod watch;

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::base::time::Time;
use crate::load::worker::{Crowd, JOIN_PATIENCE};
use crate::proto::rtmp::client::Said;
use crate::wire::amf::Value;

use line::Line;
use publish::Publish;
use watch::Watch;

/// Until a stream that is not there yet is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";

/// Comes, stays until `stop`, and goes.
pub async fn visit(crowd: &Rc<Crowd>, number: u64, stop: Receiver<bool>) {
    let (room, publishes, place) = crowd.plan.role(number);
    // Of this server the first part is the room's name, of others it is all one.
    let name = |place| format!("{}/p{place}", crowd.plan.room(room));
    if publishes {
        return connection(Rc::clone(crowd), name(place), true, stop).await;
    }
    let mut players = Vec::new();
    for publisher in 0..crowd.plan.publishers {
        let played = connection(Rc::clone(crowd), name(publisher), false, stop.clone());
        players.push(spawn_local(played));
    }
    for player in players {
        let _ = player.await;
    }
}

/// Publishes or plays a stream by this name until `stop`.
async fn connection(crowd: Rc<Crowd>, name: String, publishes: bool, mut stop: Receiver<bool>) {
    let (is_slow, ..) = crowd.draw(publishes);
    let name = match crowd.plan.token.as_str() {
        "" => name,
        token => format!("{name}?token={token}"),
    };
    let first = crowd.now();
    let mut joining;
    let (mut line, stream_id) = loop {
        joining = Joining::begin(crowd.now());
        let joined = tokio::select! {
            _ = stop.changed() => return crowd.fail("end", "it was still joining"),
            joined = timeout(JOIN_PATIENCE, joining.join(&crowd, &name, publishes, is_slow)) => joined,
        };
        let why = match joined {
            Ok(Ok(joined)) => break joined,
            Ok(Err(why)) => why,
            Err(_) => "no answer".to_string(),
        };
        let waited_us = crowd.now().since(first).as_us();
        if why != NOT_FOUND || u128::from(waited_us) > JOIN_PATIENCE.as_micros() {
            joining.settle(&crowd);
            return crowd.fail(joining.step, why);
        }
        // The publisher is not there yet.
        sleep(AGAIN_AFTER).await;
    };
    joining.settle(&crowd);
    let ended = match publishes {
        true => publish(&crowd, &mut line, stream_id, stop).await,
        false => play(&crowd, &mut line, joining.began, stop).await,
    };
    if let Err(why) = ended {
        return crowd.fail("session", why);
    }
    let id = Value::Number(f64::from(stream_id));
    line.client.cast(0, "deleteStream", &[id]);
    // The server hears of the end by the connection's, too.
    let _ = line.flush();
}

/// How far a connection has come. Times of one that is tried again are dropped.
struct Joining {
    began: Time,
    /// What it is at.
    step: &'static str,
    reached: Vec<(&'static str, u64)>,
}

impl Joining {
    fn begin(began: Time) -> Self {
        Joining {
            began,
            step: "socket",
            reached: Vec::new(),
        }
    }

    fn reach(&mut self, crowd: &Crowd, next: &'static str) {
        let us = crowd.now().since(self.began).as_us();
        self.reached.push((self.step, us));
        self.step = next;
    }

    /// Gets as far as the server's saying that it began: the line, and the id of
    /// its stream. The error says why not.
    async fn join(
        &mut self,
        crowd: &Crowd,
        name: &str,
        publishes: bool,
        is_slow: bool,
    ) -> Result<(Line, u32), String> {
        let opened = Line::open(crowd, is_slow).await;
        let mut line = opened.map_err(|error| error.to_string())?;
        self.reach(crowd, "handshake");
        line.shake_hands(crowd).await?;
        self.reach(crowd, "connected");
        line.connect(crowd).await?;
        self.reach(crowd, if publishes { "publishing" } else { "playing" });
        let stream_id = line.create_stream(crowd).await?;
        let code = match publishes {
            true => {
                line.client.publish(stream_id, name);
                "NetStream.Publish.Start"
            }
            false => {
                line.client.play(stream_id, name);
                "NetStream.Play.Start"
            }
        };
        line.started(crowd, code).await?;
        self.reach(crowd, "media");
        Ok((line, stream_id))
    }

    fn settle(&self, crowd: &Crowd) {
        let mut tally = crowd.tally.borrow_mut();
        for (step, us) in &self.reached {
            tally.step(step, *us);
        }
    }
}

async fn publish(
    crowd: &Crowd,
    line: &mut Line,
    stream_id: u32,
    mut stop: Receiver<bool>,
) -> Result<(), String> {
    crowd.tally.borrow_mut().add("joins_ok", 1);
    let mut publish = Publish::begin(crowd.now(), crowd.show(), stream_id, &mut line.client);
    loop {
        let now = crowd.now();
        publish.poll(now, &mut line.client, &mut crowd.tally.borrow_mut());
        tokio::select! {
            _ = stop.changed() => return Ok(()),
            turned = line.turn(now, publish.next_due()) => turned?,
        }
        while let Some(said) = line.client.poll() {
            if said.is_error() {
                return Err(said.code().to_string());
            }
        }
    }
}

async fn play(
    crowd: &Crowd,
    line: &mut Line,
    began: Time,
    mut stop: Receiver<bool>,
) -> Result<(), String> {
    let has_video = crowd.plan.video.is_some();
    let mut watch = Watch::new(began, has_video, crowd.plan.counted());
    let ended = loop {
        let turned = tokio::select! {
            _ = stop.changed() => break Ok(()),
            turned = line.turn(crowd.now(), None) => turned,
        };
        if let Err(why) = turned {
            break Err(why);
        }
        let now = crowd.now();
        let tally = &mut crowd.tally.borrow_mut();
        while let Some(said) = line.client.poll() {
            if let Said::Message { header, payload } = said {
                watch.take(now, header.kind, &payload, tally);
            }
        }
        watch.end_run(tally);
    };
    watch.settle(crowd.now(), &mut crowd.tally.borrow_mut());
    ended
}
