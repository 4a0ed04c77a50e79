//! Access tokens at the RTMP door, simulated: without a right one nothing is
//! published or played, and nothing is said to begin.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::hash::hmac_sha256;
use ringhall::sim::encoder::{Encoder, Encoding};
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::world::{Options, World};
use ringhall::wire::amf::Value;

use sim::{everybody_leaves, secs};

const SECRET: &[u8] = b"of the house, and long enough to be one";
/// When the world begins.
const NOW: u64 = 1_700_000_000;

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(word);
        for place in 0..=group.len() {
            let sextet = bits >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    text
}

fn token(secret: &[u8], claims: &str) -> String {
    let head = base64url(br#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", base64url(claims.as_bytes()));
    let tag = base64url(&hmac_sha256(secret, signed.as_bytes()));
    format!("{signed}.{tag}")
}

fn claims(room: &str, login: &str, publish: bool, exp: u64) -> String {
    format!(r#"{{"room":"{room}","login":"{login}","publish":{publish},"exp":{exp}}}"#)
}

fn good() -> String {
    token(SECRET, &claims("room", "cam", true, NOW + 3_600))
}

fn guarded() -> World {
    World::new(Options {
        secret: Some(SECRET),
        ..Options::clean(61)
    })
}

fn bad_tokens() -> Vec<String> {
    vec![
        String::new(),
        "?token=".to_string(),
        "?token=nonsense".to_string(),
        format!(
            "?token={}",
            token(
                b"of another house",
                &claims("room", "cam", true, NOW + 3_600)
            )
        ),
        format!(
            "?token={}",
            token(SECRET, &claims("room", "cam", true, NOW - 1))
        ),
        format!(
            "?token={}",
            token(SECRET, &claims("cellar", "cam", true, NOW + 3_600))
        ),
    ]
}

fn expect_refused(world: &World, seat: RtmpSeat, code: &str, begun: &str, what: &str) {
    let codes = world.rtmp(seat).codes();
    assert!(codes.contains(&code), "{what}: {codes:?}");
    assert!(!codes.contains(&begun), "{what}: {codes:?}");
}

#[test]
fn nothing_is_published_without_a_right_token() {
    let mut bad = bad_tokens();
    let other_login = claims("room", "ann", true, NOW + 3_600);
    let only_plays = claims("room", "cam", false, NOW + 3_600);
    for claims in [other_login, only_plays] {
        bad.push(format!("?token={}", token(SECRET, &claims)));
    }
    for query in bad {
        let mut world = guarded();
        let cam = world.rtmp_encoder("room", &format!("cam{query}"), Encoding::USUAL);
        world.run_for(secs(2));
        let (refused, begun) = ("NetStream.Publish.Denied", "NetStream.Publish.Start");
        expect_refused(&world, cam, refused, begun, &query);
        assert!(world.snapshots()[0].rooms.is_empty());
        everybody_leaves(&mut world);
    }
}

#[test]
fn nothing_is_played_without_a_right_token() {
    let mut world = guarded();
    let query = format!("?token={}", good());
    let cam = world.rtmp_encoder("room", &format!("cam{query}"), Encoding::USUAL);
    world.run_for(secs(2));
    assert!(world.rtmp(cam).told("NetStream.Publish.Start").is_some());
    for query in bad_tokens() {
        let seat = world.rtmp_player("room", &format!("cam{query}"), true);
        world.run_for(secs(1));
        let (refused, begun) = ("NetStream.Play.Failed", "NetStream.Play.Start");
        expect_refused(&world, seat, refused, begun, &query);
        assert!(world.rtmp(seat).player().unwrap().pictures.is_empty());
    }
    let seat = world.rtmp_player("room", &format!("cam{query}"), true);
    world.run_for(secs(1));
    assert!(world.rtmp(seat).player().unwrap().pictures.len() > 20);
    everybody_leaves(&mut world);
}

#[test]
fn a_token_may_stand_behind_the_application_or_in_the_clients_hello() {
    let mut world = guarded();
    let app = format!("room?token={}", good());
    let cam = world.rtmp_encoder(&app, "cam", Encoding::USUAL);
    world.run_for(secs(1));
    assert!(world.rtmp(cam).told("NetStream.Publish.Start").is_some());

    let text = |text: &str| Value::String(text.to_string());
    let property = |key: &str, value: Value| (key.to_string(), value);
    for (shown, begins) in [(good(), false), (String::new(), false)] {
        // A room client's login is not the token's.
        let hello = Value::Object(vec![
            property("appKey", text("flashRoomApp")),
            property("login", text("ben")),
            property("token", text(&shown)),
        ]);
        let ben = world.rtmp_connect("", &[], &[hello]);
        world.rtmp_publish(ben, "room-ben", Encoder::new(Encoding::USUAL));
        world.run_for(secs(1));
        let begun = world.rtmp(ben).told("NetStream.Publish.Start");
        assert_eq!(begun.is_some(), begins);
    }
    everybody_leaves(&mut world);
}
