//! People over RTMP who come, ask, change their minds and vanish at any
//! instant, simulated from seeds: what players are given stays legal, and in
//! the end nothing is left.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::random::Noise;
use ringhall::base::time::Span;
use ringhall::core::CloseCause;
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoder, Encoding};
use ringhall::sim::publisher::Media;
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::world::{Options, Seat, World};
use ringhall::wire::amf::Value;

use sim::{WATCHES, everybody_leaves, ms, secs, sound};

/// A twin that shows the holder's token and is gone before it has an answer.
#[test]
fn who_takes_a_name_over_and_vanishes_leaves_it_free() {
    for cores in [1, 4] {
        for cause in [CloseCause::Ended, CloseCause::Failed] {
            let mut world = World::new(Options {
                cores,
                ..Options::clean(91)
            });
            world.enter("bob", "room", WATCHES);
            world.rtmp_encoder("room", "cam?token=mine", Encoding::USUAL);
            world.run_for(secs(2));
            for _ in 0..3 {
                let twin = world.rtmp_connect("room", &[], &[]);
                world.run_for(ms(500));
                world.rtmp_do(twin, |peer| {
                    peer.client.call("createStream", &[]);
                });
                world.run_for(ms(500));
                world.rtmp_do(twin, |peer| peer.client.publish(1, "cam?token=mine"));
                world.rtmp_hang_up(twin, cause);
                world.run_for(ms(500));
            }
            world.run_for(secs(10));
            let members = world.snapshots().into_iter().flat_map(|core| core.rooms);
            let members = members.flat_map(|room| room.participants);
            let logins: Vec<String> = members.map(|member| member.login).collect();
            assert_eq!(logins, ["bob"], "on {cores} cores");
            everybody_leaves(&mut world);
        }
    }
}

/// Everybody of one run.
struct Crowd {
    world: World,
    noise: Noise,
    stations: Vec<RtmpSeat>,
    browsers: Vec<Seat>,
}

const NAMES: [&str; 3] = ["cam", "cam?token=mine", "dan"];

impl Crowd {
    fn new(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let cores = if noise.below(2) == 0 { 1 } else { 4 };
        Crowd {
            world: World::new(Options {
                cores,
                ..Options::clean(seed)
            }),
            noise,
            stations: Vec::new(),
            browsers: Vec::new(),
        }
    }

    fn any(&mut self) -> Option<RtmpSeat> {
        let count = self.stations.len() as u64;
        let at = self.noise.below(count.max(1)) as usize;
        self.stations.get(at).copied()
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.noise.below(3) as usize]
    }

    fn encoding(&mut self) -> Encoding {
        let usual = match self.noise.below(4) {
            0 => Encoding::USUAL,
            1 => sound::aac().encoding(),
            2 => sound::speex().encoding(),
            _ => Encoding {
                b_frames: true,
                ..Encoding::USUAL
            },
        };
        Encoding {
            clock_ms: self.noise.next_u32(),
            picture_interval: ms(100),
            picture_bytes: 1_500,
            ..usual
        }
    }

    fn act(&mut self) {
        let what = self.noise.below(12);
        match what {
            0 | 1 => self.arrive(),
            2 | 3 => {
                let (name, takes_opus) = (self.name(), self.noise.below(2) == 0);
                let seat = self.world.rtmp_player("room", name, takes_opus);
                self.stations.push(seat);
            }
            4 | 5 => {
                let cause = match self.noise.below(2) {
                    0 => CloseCause::Ended,
                    _ => CloseCause::Failed,
                };
                if let Some(seat) = self.any() {
                    self.world.rtmp_hang_up(seat, cause);
                }
            }
            6 => self.say("closeStream", &[]),
            7 => self.call("deleteStream", &[Value::Number(1.0)]),
            8 => {
                let name = Value::String(self.name().to_string());
                self.call("FCUnpublish", &[name]);
            }
            9 => {
                let name = self.name();
                if let Some(seat) = self.any() {
                    self.world.rtmp_do(seat, |peer| peer.client.play(1, name));
                }
            }
            10 => self.browser(),
            _ => {
                let count = self.browsers.len() as u64;
                let at = self.noise.below(count.max(1)) as usize;
                if let Some(seat) = self.browsers.get(at) {
                    self.world.leave(*seat);
                }
            }
        }
    }

    fn arrive(&mut self) {
        let encoding = self.encoding();
        let name = self.name();
        let seat = self.world.rtmp_connect("room", &[], &[]);
        let encoder = Encoder::new(encoding).beginning_at(seat.0 as u32 * 10_000);
        self.world.rtmp_publish(seat, name, encoder);
        self.stations.push(seat);
    }

    fn browser(&mut self) {
        // At most this many: handshakes cost time.
        if self.browsers.len() >= 5 {
            return;
        }
        let login = format!("b{}", self.browsers.len());
        let media = Media {
            sound: Some(sound::opus()),
            picture_interval: ms(100),
            ..Media::H264
        };
        let plan = match self.noise.below(2) {
            0 => Plan::CALL,
            _ => Plan::AUDIENCE,
        };
        let seat = self.world.enter(&login, "room", Plan { media, ..plan });
        self.browsers.push(seat);
    }

    fn say(&mut self, name: &str, arguments: &[Value]) {
        if let Some(seat) = self.any() {
            let name = name.to_string();
            self.world
                .rtmp_do(seat, |peer| peer.client.cast(1, &name, arguments));
        }
    }

    fn call(&mut self, name: &str, arguments: &[Value]) {
        if let Some(seat) = self.any() {
            self.world.rtmp_do(seat, |peer| {
                peer.client.call(name, arguments);
            });
        }
    }
}

#[test]
fn nothing_is_left_of_whatever_they_do() {
    for seed in sim::seeds(1..13) {
        let mut crowd = Crowd::new(seed);
        for _ in 0..120 {
            crowd.act();
            // Often at the same instant, or within a mail's way.
            let pause = match crowd.noise.below(4) {
                0 => Span::default(),
                1 => Span::from_us(crowd.noise.below(100)),
                2 => ms(crowd.noise.below(80)),
                _ => ms(crowd.noise.below(700)),
            };
            crowd.world.run_for(pause);
        }
        println!("seed {seed}: {} us", crowd.world.now.as_us());
        everybody_leaves(&mut crowd.world);
    }
}
