//! A simulated Flash room client among browsers: it joins, hears of the room,
//! chats both ways, publishes, plays and leaves, over RTMP alone.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::core::CloseCause;
use ringhall::proto::rtmp::client::Said;
use ringhall::signal::client::{self, ServerMessage};
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoder, Encoding};
use ringhall::sim::publisher::Media;
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::world::{Options, World};
use ringhall::wire::amf::Value;

use sim::{everybody_leaves, ms, secs, sound};

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

fn object(properties: &[(&str, Value)]) -> Value {
    let properties = properties.iter();
    Value::Object(
        properties
            .map(|(key, value)| (key.to_string(), value.clone()))
            .collect(),
    )
}

fn connect(world: &mut World, login: &str) -> RtmpSeat {
    let hello = object(&[("appKey", text("flashRoomApp")), ("login", text(login))]);
    let encoding = [("objectEncoding", Value::Number(3.0))];
    world.rtmp_connect("", &encoding, &[hello])
}

fn command(world: &mut World, seat: RtmpSeat, name: &str, options: Value) {
    let payload = object(&[("command", text(name)), ("options", options)]);
    let call = object(&[("operationId", text(name)), ("payload", payload)]);
    world.rtmp_do(seat, |peer| {
        peer.client.call("sendData", &[call]);
    });
}

fn join(world: &mut World, seat: RtmpSeat, room: &str) {
    command(world, seat, "join", object(&[("name", text(room))]));
}

fn chat(world: &mut World, seat: RtmpSeat, room: &str, to: &str, words: &str) {
    let config = object(&[("name", text(room))]);
    let options = object(&[
        ("roomConfig", config),
        ("to", text(to)),
        ("text", text(words)),
    ]);
    command(world, seat, "sendMessage", options);
}

/// What a client was told by invokes, a few words each.
fn story(world: &World, seat: RtmpSeat) -> Vec<String> {
    let said = world.rtmp(seat).said.iter();
    said.filter_map(|(_, said)| match said {
        Said::Command { name, values, .. } => tale(name, values),
        _ => None,
    })
    .collect()
}

fn tale(name: &str, values: &[Value]) -> Option<String> {
    let first = values.iter().find(|value| **value != Value::Null)?;
    let word = |value: &Value, key: &str| {
        let found = value.property(key).and_then(Value::as_str);
        found.unwrap_or_default().to_string()
    };
    if name == "DataStatusEvent" {
        return Some(format!(
            "{} {}",
            word(first, "operationId"),
            word(first, "status")
        ));
    }
    if name != "OnDataEvent" {
        return None;
    }
    let payload = first.property("payload")?;
    let info = payload.property("info")?;
    Some(match word(payload, "name").as_str() {
        "STATE" => {
            let Value::StrictArray(members) = info else {
                return None;
            };
            let logins = members.iter().map(|member| match member.as_str() {
                Some(login) => login.to_string(),
                None => format!("{}:{}", word(member, "login"), word(member, "name")),
            });
            format!("STATE {}", logins.collect::<Vec<_>>().join(","))
        }
        event @ ("JOINED" | "LEFT") => format!("{event} {}", info.as_str().unwrap_or_default()),
        event @ ("PUBLISHED" | "UNPUBLISHED") => format!("{event} {}", word(info, "name")),
        event => format!("{event} {} {}", word(info, "from"), word(info, "text")),
    })
}

/// Publishes and plays H.264; its sound is real.
fn caller() -> Plan {
    let media = Media {
        sound: Some(sound::opus()),
        ..Media::H264
    };
    Plan {
        media,
        ..Plan::CALL
    }
}

#[test]
fn a_flash_client_walks_the_room_with_a_browser() {
    for cores in [1, 4] {
        let mut world = World::new(Options {
            cores,
            ..Options::clean(71)
        });
        let ann = world.enter("ann", "room", caller());
        world.run_for(secs(2));
        let ben = connect(&mut world, "ben");
        world.run_for(ms(500));
        join(&mut world, ben, "room");
        world.run_for(ms(500));
        assert_eq!(
            story(&world, ben),
            ["join ACCEPTED", "STATE ann:room-ann-1"]
        );

        chat(&mut world, ben, "room", "ann", "hello from Flash");
        let hello = client::send_message("chat", "room", "ben", "hello from a browser");
        world.say(ann, &hello);
        world.run_for(ms(500));
        let told = story(&world, ben);
        assert!(
            told.contains(&"MESSAGE ann hello from a browser".to_string()),
            "{told:?}"
        );
        let heard = world.browser(ann).heard.iter();
        let heard = heard.filter(|(_, message)| {
            let ServerMessage::Message { from, text } = message else {
                return false;
            };
            from == "ben" && text == "hello from Flash"
        });
        assert_eq!(heard.count(), 1);

        let bursts = sound::speex();
        world.rtmp_publish(ben, "room-ben", Encoder::new(bursts.encoding()));
        world.rtmp_play(ben, "room-ann-1");
        world.run_for(secs(6));
        let peer = world.rtmp(ben);
        assert!(
            peer.told("NetStream.Publish.Start").is_some(),
            "{:?}",
            peer.codes()
        );
        let given = peer.player().unwrap();
        assert!(given.pictures.len() > 120 && given.sounds.len() > 200);
        assert!(given.longest_gap(world.now) < ms(100));
        let story_of_ann = world.browser(ann).story();
        let expected = [
            "STATE",
            "PUBLISHING",
            "JOINED ben",
            "PUBLISHED ben",
            "PLAYING",
        ];
        assert_eq!(story_of_ann, expected);
        let watching = world.browser(ann).peers[1].viewer().unwrap();
        assert!(watching.pictures.len() > 100 && watching.sounds.len() > 200);
        assert!(watching.longest_gap(world.now) < ms(150));

        command(&mut world, ben, "leave", object(&[("name", text("room"))]));
        world.run_for(secs(1));
        let story_of_ann = world.browser(ann).story();
        assert_eq!(
            story_of_ann[5..],
            ["STOPPED", "UNPUBLISHED ben", "LEFT ben"]
        );
        let codes = world.rtmp(ben).codes();
        assert!(
            codes.contains(&"NetStream.Play.UnpublishNotify"),
            "{codes:?}"
        );
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_flash_client_hears_of_those_who_come_and_go() {
    let mut world = World::new(Options::clean(72));
    let ben = connect(&mut world, "ben");
    world.run_for(ms(500));
    join(&mut world, ben, "room");
    world.run_for(ms(500));
    let ann = world.enter("ann", "room", caller());
    world.run_for(secs(2));
    let cam = world.rtmp_encoder("room", "cam", sound::aac().encoding());
    world.run_for(secs(2));
    world.rtmp_do(cam, |peer| peer.client.cast(1, "closeStream", &[]));
    world.run_for(secs(1));
    world.leave(ann);
    world.run_for(secs(1));
    assert_eq!(
        story(&world, ben),
        [
            "join ACCEPTED",
            "STATE ",
            "JOINED ann",
            "PUBLISHED room-ann-1",
            "JOINED cam",
            "PUBLISHED room-cam",
            "UNPUBLISHED room-cam",
            "LEFT cam",
            "UNPUBLISHED room-ann-1",
            "LEFT ann",
        ]
    );
    everybody_leaves(&mut world);
}

#[test]
fn a_flash_client_whose_connection_is_lost_has_left() {
    for cause in [CloseCause::Ended, CloseCause::Failed] {
        let mut world = World::new(Options::clean(73));
        let ann = world.enter("ann", "room", caller());
        let ben = connect(&mut world, "ben");
        world.run_for(secs(1));
        join(&mut world, ben, "room");
        world.rtmp_publish(ben, "room-ben", Encoder::new(sound::speex().encoding()));
        world.run_for(secs(3));
        world.rtmp_hang_up(ben, cause);
        world.run_for(secs(30));
        let story = world.browser(ann).story();
        assert_eq!(
            story[5..],
            ["STOPPED", "UNPUBLISHED ben", "LEFT ben"],
            "{story:?}"
        );
        everybody_leaves(&mut world);
    }
}

#[test]
fn nobody_publishes_or_plays_in_a_room_it_is_no_member_of() {
    let mut world = World::new(Options::clean(74));
    world.enter("ann", "room", caller());
    let ben = connect(&mut world, "ben");
    world.run_for(secs(1));
    world.rtmp_publish(ben, "room-ben", Encoder::new(sound::speex().encoding()));
    world.rtmp_play(ben, "room-ann-1");
    world.run_for(secs(1));
    let codes = world.rtmp(ben).codes();
    for refused in ["NetStream.Publish.Denied", "NetStream.Play.Failed"] {
        assert!(codes.contains(&refused), "{codes:?}");
    }
    everybody_leaves(&mut world);
}

#[test]
fn one_connection_is_one_member_and_leaves_as_such() {
    // A room client that named an application may publish as encoders do.
    let mut world = World::new(Options::clean(78));
    let hello = object(&[("appKey", text("flashRoomApp")), ("login", text("Zed"))]);
    let seat = world.rtmp_connect("room", &[], &[hello]);
    world.run_for(ms(200));
    join(&mut world, seat, "room");
    world.run_for(ms(200));
    world.rtmp_publish(seat, "Alice", Encoder::new(Encoding::USUAL));
    world.run_for(secs(2));
    assert!(world.rtmp(seat).told("NetStream.Publish.BadName").is_some());
    world.rtmp_hang_up(seat, CloseCause::Failed);
    everybody_leaves(&mut world);
}
