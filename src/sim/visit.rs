//! A participant without a WebSocket: one HTTP request begins its stream, by
//! WHIP or WHEP, and one ends it.

use crate::base::time::Time;
use crate::sim::browser::{Browser, Plan, Workshop};
use crate::sim::peer_connection::Status;
use crate::sim::trace::{Kind, Trace};
use crate::sim::world::{Seat, World};

/// What such a participant knows.
#[derive(Default)]
pub struct Visit {
    /// The statuses of its requests, in order.
    pub answers: Vec<u16>,
    /// Its session's address and entity tag, once it has one.
    pub session: Option<(String, String)>,
}

impl World {
    /// Somebody publishes as `name`, or plays what is called so, over HTTP; the
    /// plan says which of the two.
    pub fn visit(&mut self, name: &str, room: &str, plan: Plan) -> Seat {
        let number = self.browsers.len();
        let seed = self.noise.next_u64();
        let mut browser = Browser::new(number, name, room, plan, seed);
        browser.visit = Some(Visit::default());
        self.browsers.push(browser);
        self.dial(Seat(number));
        let (now, trace) = (self.now, &mut self.trace);
        self.browsers[number].knock(now, &mut self.shop, trace);
        self.flush_browser(number);
        Seat(number)
    }
}

impl Browser {
    /// Asks for its stream.
    fn knock(&mut self, now: Time, shop: &mut Workshop, trace: &mut Trace) {
        let (room, name, publishes) = (self.room.clone(), self.login.clone(), self.plan.publishes);
        let peer = self.make(&format!("{room}-{name}"), publishes, shop);
        let offer = peer.offer();
        self.peers.push(peer);
        let word = if publishes { "whip" } else { "whep" };
        let head = format!(
            "POST /{word}/{room}/{name} HTTP/1.1\r\nHost: ringhall.test\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
            offer.len()
        );
        self.request(now, &(head + &offer), trace);
    }

    /// Ends its session, if it has one.
    pub(super) fn say_farewell(&mut self, now: Time, trace: &mut Trace) {
        let session = self.visit.as_mut().and_then(|visit| visit.session.take());
        if let Some((location, _)) = session {
            let head = format!("DELETE {location} HTTP/1.1\r\nHost: ringhall.test\r\n\r\n");
            self.request(now, &head, trace);
        }
    }

    fn request(&mut self, now: Time, text: &str, trace: &mut Trace) {
        trace.note(now, self.number, Kind::Said, text.as_bytes());
        self.output.extend(text.as_bytes());
    }

    /// Takes bytes of a response; acts on it when it is whole.
    pub(super) fn read_response(&mut self, now: Time, bytes: &[u8], trace: &mut Trace) {
        self.input.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(&self.input).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return;
        };
        let len_bytes = header(head, "Content-Length").map_or(0, |len| len.parse().unwrap_or(0));
        if body.len() < len_bytes {
            return;
        }
        self.input.clear();
        trace.note(now, self.number, Kind::Heard, text.as_bytes());
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status: u16 = status.unwrap_or(0);
        let Some(visit) = &mut self.visit else {
            return;
        };
        visit.answers.push(status);
        if status != 201 {
            return;
        }
        visit.session = header(head, "Location").zip(header(head, "ETag"));
        let begun = if self.plan.publishes {
            "PUBLISHING"
        } else {
            "PLAYING"
        };
        let taken = self.peers.last_mut().is_some_and(|peer| {
            peer.statuses.push(Status {
                at: now,
                name: begun.to_string(),
                info: None,
            });
            peer.take_answer(now, body)
        });
        if !taken {
            self.puzzles.push(body.to_string());
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_string())
}
