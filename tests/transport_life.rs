//! One transport from answer to end: what it takes from which path at what
//! time, how long it waits, and what can end it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod ends;

use ringhall::base::random::Noise;
use ringhall::base::time::{Span, Time};
use ringhall::base::trains::{Path, Trains};
use ringhall::proto::dtls::{self, Dtls, Identity, MaxVersion};
use ringhall::proto::ice_lite::IceLite;
use ringhall::proto::srtp::{self, Profile, split_keying_material};
use ringhall::proto::transport::{Change, Failure, PathChange, Transport};
use ringhall::wire::rtp::Header;
use ringhall::wire::stun;

use ends::records::{ALERT, Record, records};
use ends::{End, VERSIONS, identity};

const ESTABLISH: Span = Span::from_secs(15);
const IDLE: Span = Span::from_secs(30);

/// One RTP packet's head: version 2, type 96, sequence 7, SSRC 9.
const RTP: [u8; 12] = [0x80, 96, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9];

fn path(port: u16) -> Path {
    Path {
        local: [192, 0, 2, 1].into(),
        remote: ([192, 0, 2, 77], port).into(),
    }
}

/// A transport, its browser, and the time between them.
struct Call {
    transport: Transport,
    client: End,
    trains: Trains,
    now: Time,
    /// Every client datagram so far.
    heard: Vec<Vec<u8>>,
}

impl Call {
    fn new(client: &Identity, server: &Identity) -> Self {
        Self::expecting(client, server, client.fingerprint)
    }

    fn expecting(client: &Identity, server: &Identity, named: [u8; 32]) -> Self {
        let start = Time::ZERO + Span::from_secs(100);
        let ice = IceLite::new(start, "server".into(), "password".into(), "client".into());
        let browser = Dtls::client(client, start, vec![server.fingerprint]);
        Call {
            transport: Transport::new(start, server, ice, dtls::End::Server, vec![named]),
            client: End::new(browser),
            trains: Trains::with_slots(64),
            now: start,
            heard: Vec::new(),
        }
    }

    /// A peer that waits for the server to open the handshake.
    fn waiting(version: MaxVersion, named: Option<[u8; 32]>) -> Self {
        let (client, server) = (identity(version), identity(version));
        let named = named.unwrap_or(client.fingerprint);
        let start = Time::ZERO + Span::from_secs(100);
        let ice = IceLite::new(start, "server".into(), "password".into(), "client".into());
        let peer = Dtls::server(&client, start, vec![server.fingerprint]);
        Call {
            transport: Transport::new(start, &server, ice, dtls::End::Client, vec![named]),
            client: End::new(peer),
            trains: Trains::with_slots(64),
            now: start,
            heard: Vec::new(),
        }
    }

    fn of(version: MaxVersion) -> Self {
        Call::new(&identity(version), &identity(version))
    }

    fn connected(version: MaxVersion) -> Self {
        let mut call = Call::of(version);
        call.check(1);
        assert_eq!(call.shake(1), Change::Connected);
        call
    }

    /// A nominating check over `port`.
    fn check(&mut self, port: u16) -> PathChange {
        let transaction = [port as u8; 12];
        let bytes = stun::request(transaction, "server:client", "password", true, true).unwrap();
        let scanned = stun::scan(&bytes).unwrap();
        let checked = self
            .transport
            .handle_check(self.now, path(port), &scanned, &mut self.trains)
            .unwrap();
        let answers = self.said();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, path(port));
        let mapped = stun::read_success(&answers[0].1, transaction, "password");
        assert_eq!(mapped, Some(path(port).remote));
        checked
    }

    /// What the transport sent since last asked.
    fn said(&mut self) -> Vec<(Path, Vec<u8>)> {
        let mut taken = Vec::new();
        self.trains.take(&mut taken);
        let mut said = Vec::new();
        for train in taken {
            for bytes in self.trains.bytes(&train).chunks(train.segment_bytes) {
                said.push((train.path, bytes.to_vec()));
            }
            self.trains.release(train);
        }
        said
    }

    fn handle(&mut self, port: u16, bytes: &[u8]) -> Option<Change> {
        self.transport
            .handle_dtls(self.now, path(port), bytes, &mut self.trains)
    }

    fn browser_says(&mut self) -> Vec<Vec<u8>> {
        let said = self.client.drain();
        self.heard.extend(said.iter().cloned());
        said
    }

    /// Exchanges datagrams over `port` until both are silent; the last change.
    fn shake(&mut self, port: u16) -> Change {
        let _ = self.client.dtls.handle_deadline(self.now);
        let mut last = Change::Nothing;
        for _ in 0..10 {
            for bytes in self.browser_says() {
                match self.handle(port, &bytes) {
                    Some(Change::Nothing) | None => {}
                    Some(change) => last = change,
                }
            }
            for (_, bytes) in self.said() {
                self.client.handle(self.now, &bytes);
            }
            self.now = self.now + Span::from_ms(1);
        }
        last
    }

    /// Lets time pass to `until`, doing what is due; the first change but
    /// nothing and when, and the datagrams sent meanwhile.
    fn pass(&mut self, until: Time) -> (Option<(Time, Change)>, usize) {
        let mut sent = 0;
        for _ in 0..10_000 {
            let Some(due) = self.transport.deadline().filter(|due| *due <= until) else {
                self.now = until;
                return (None, sent);
            };
            self.now = self.now.max(due);
            let change = self.transport.handle_deadline(self.now, &mut self.trains);
            sent += self.said().len();
            if change != Change::Nothing {
                return (Some((self.now, change)), sent);
            }
        }
        panic!("deadlines without end at {:?}", self.now);
    }

    fn media(&self, sequence: u16) -> Vec<u8> {
        self.media_of(dtls::End::Client, sequence)
    }

    /// A packet of the peer that was this end of the handshake.
    fn media_of(&self, end: dtls::End, sequence: u16) -> Vec<u8> {
        let keys = self.client.keys.as_ref().unwrap();
        let (client, server) = split_keying_material(keys.profile, &keys.keying_material).unwrap();
        let own = match end {
            dtls::End::Client => client,
            dtls::End::Server => server,
        };
        let mut sender = srtp::Sender::new(keys.profile, own.key(), own.salt()).unwrap();
        let mut packet = RTP.to_vec();
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet.extend([0x5a; 40]);
        let len = packet.len();
        packet.resize(len + sender.tag_len(), 0);
        let sealed = sender.protect_rtp(9, u64::from(sequence), &mut packet, RTP.len(), len);
        assert_eq!(sealed, Ok(packet.len()));
        packet
    }

    fn open(&mut self, packet: &[u8]) -> Option<bool> {
        let mut packet = packet.to_vec();
        let header = Header::parse(&packet).unwrap();
        let opened = self.transport.open_rtp(self.now, &header, &mut packet)?;
        Some(opened.is_ok())
    }
}

#[test]
fn dtls_over_a_path_without_check_is_ignored() {
    for version in VERSIONS {
        let mut call = Call::of(version);
        let before = call.transport.deadline();
        call.client.dtls.handle_deadline(call.now).unwrap();
        let hello = call.browser_says().remove(0);
        for bytes in [&hello[..], &[22], &[]] {
            assert_eq!(call.handle(1, bytes), None);
        }
        call.check(1);
        // Another port of the same address is another path.
        assert_eq!(call.handle(2, &hello), None);
        assert!(call.said().is_empty());
        assert!(call.transport.deadline() <= before);
        assert_eq!(call.transport.rtt(), None);
        // The handshake begins as if nothing had been.
        assert_eq!(call.handle(1, &hello), Some(Change::Nothing));
        let answers = call.said();
        assert!(!answers.is_empty());
        assert!(answers.iter().all(|(to, _)| *to == path(1)));
        for (_, bytes) in answers {
            call.client.handle(call.now, &bytes);
        }
        assert_eq!(call.shake(1), Change::Connected);
    }
}

#[test]
fn a_waiting_peer_is_called_over_a_checked_path_only() {
    for version in VERSIONS {
        let mut call = Call::waiting(version, None);
        let later = call.now + Span::from_secs(5);
        assert_eq!(call.pass(later), (None, 0), "called before any check");
        // A hello of its own over an unchecked path moves nothing.
        assert_eq!(call.handle(1, &[22, 254, 253, 0]), None);
        call.check(1);
        assert!(call.transport.deadline().is_some_and(|due| due <= call.now));
        // The first call is lost, and repeated: to that path, and not for ever.
        let later = call.now + Span::from_ms(1_000);
        let mut hellos = 0;
        while let Some(due) = call.transport.deadline().filter(|due| *due <= later) {
            call.now = call.now.max(due);
            let change = call.transport.handle_deadline(call.now, &mut call.trains);
            assert_eq!(change, Change::Nothing);
            let said = call.said();
            assert!(
                said.iter()
                    .all(|(to, bytes)| *to == path(1) && bytes[0] == 22)
            );
            hellos += said.len();
        }
        assert!((2..=8).contains(&hellos), "{hellos} hellos in a second");
    }
}

#[test]
fn a_waiting_peers_media_opens_with_the_keys_the_other_way_round() {
    for version in VERSIONS {
        let mut call = Call::waiting(version, None);
        call.check(1);
        assert_eq!(
            call.transport.handle_deadline(call.now, &mut call.trains),
            Change::Nothing
        );
        for (_, bytes) in call.said() {
            call.client.handle(call.now, &bytes);
        }
        assert_eq!(call.shake(1), Change::Connected);
        let (media, wrong) = (
            call.media_of(dtls::End::Server, 7),
            call.media_of(dtls::End::Client, 8),
        );
        assert_eq!(call.open(&wrong), Some(false), "our own keys opened it");
        assert_eq!(call.open(&media), Some(true));
        let keys = call.client.keys.as_ref().unwrap();
        let (client, _) = split_keying_material(keys.profile, &keys.keying_material).unwrap();
        let (profile, key, salt) = (keys.profile, client.key(), client.salt());
        let mut receiver = srtp::Receiver::new(profile, key, salt).unwrap();
        let mut rtcp = vec![0x80, 200, 0, 6];
        rtcp.resize(28, 0);
        assert!(call.transport.send_rtcp(&mut rtcp, &mut call.trains));
        let (to, mut sealed) = call.said().remove(0);
        assert_eq!(to, path(1));
        assert_eq!(receiver.unprotect_rtcp(&mut sealed), Ok(28));
    }
}

#[test]
fn a_called_peer_with_another_certificate_gets_no_keys() {
    for version in VERSIONS {
        let mut call = Call::waiting(version, Some([7; 32]));
        call.check(1);
        assert_eq!(
            call.transport.handle_deadline(call.now, &mut call.trains),
            Change::Nothing
        );
        for (_, bytes) in call.said() {
            call.client.handle(call.now, &bytes);
        }
        assert_eq!(call.shake(1), Change::Failed(Failure::Fingerprint));
        assert_eq!(call.transport.secured(), None);
        assert_eq!(call.open(&RTP), None);
    }
}

#[test]
fn a_bad_hello_from_elsewhere_does_not_win_the_race() {
    let mut call = Call::of(MaxVersion::Dtls12);
    call.check(1);
    // A stranger offers what can only be refused, before the browser speaks.
    let mut stranger = Call::of(MaxVersion::Dtls12);
    stranger.client.dtls.handle_deadline(stranger.now).unwrap();
    let mut bad = stranger.browser_says().remove(0);
    let end = bad.len();
    bad[60..end].fill(0);
    for port in 2..50 {
        assert_eq!(call.handle(port, &bad), None);
    }
    assert_eq!(call.shake(1), Change::Connected);
}

#[test]
fn media_opens_with_the_handshake_and_not_before() {
    for version in VERSIONS {
        let mut call = Call::of(version);
        assert_eq!(call.open(&RTP), None);
        call.check(1);
        let mut rtcp = vec![0x80, 200, 0, 6];
        rtcp.resize(28, 0);
        assert!(
            call.transport
                .open_rtcp(call.now, &mut rtcp.clone())
                .is_none()
        );
        assert!(
            !call
                .transport
                .send_rtcp(&mut rtcp.clone(), &mut call.trains)
        );
        assert!(call.transport.egress().is_none());
        assert_eq!(call.transport.secured(), None);
        assert!(call.said().is_empty());

        assert_eq!(call.shake(1), Change::Connected);
        let packet = call.media(7);
        assert_eq!(call.open(&packet), Some(true));
        assert_eq!(call.open(&packet), Some(false), "a replay opened");
        let secured = call.transport.secured().unwrap();
        let keys = call.client.keys.as_ref().unwrap();
        assert_eq!(secured.profile, keys.profile);
        assert_eq!(secured.dtls_version, keys.version);
        if version == MaxVersion::Dtls12 {
            assert_eq!(secured.profile, Profile::AeadAes256Gcm);
        }
        assert!(
            call.transport
                .rtt()
                .is_some_and(|rtt| rtt <= Span::from_ms(2))
        );

        // And the other way, with the server's keys.
        let (_, server) = split_keying_material(keys.profile, &keys.keying_material).unwrap();
        let (profile, key, salt) = (keys.profile, server.key(), server.salt());
        let mut receiver = srtp::Receiver::new(profile, key, salt).unwrap();
        assert!(call.transport.send_rtcp(&mut rtcp, &mut call.trains));
        let (to, mut sealed) = call.said().remove(0);
        assert_eq!(to, path(1));
        assert_eq!(receiver.unprotect_rtcp(&mut sealed), Ok(28));
    }
}

#[test]
fn without_checks_it_fails_after_fifteen_seconds() {
    let mut call = Call::of(MaxVersion::Dtls12);
    let due = call.now + ESTABLISH;
    let (change, sent) = call.pass(due + IDLE);
    assert_eq!(change, Some((due, Change::Failed(Failure::IceTimeout))));
    assert_eq!(sent, 0);
    assert_eq!(call.transport.deadline(), None);
    let again = call.transport.handle_deadline(due + IDLE, &mut call.trains);
    assert_eq!(again, Change::Nothing);
}

#[test]
fn with_checks_and_no_dtls_it_fails_after_fifteen_seconds() {
    let mut call = Call::of(MaxVersion::Dtls12);
    let due = call.now + ESTABLISH;
    for _ in 0..5 {
        call.check(1);
        let next = call.now + Span::from_ms(2_500);
        assert_eq!(call.pass(next).0, None);
    }
    let (change, sent) = call.pass(due + IDLE);
    assert_eq!(change, Some((due, Change::Failed(Failure::Dtls))));
    assert_eq!(sent, 0);
}

#[test]
fn a_handshake_never_finished_ends_and_does_not_flood() {
    for version in VERSIONS {
        let mut call = Call::of(version);
        let due = call.now + ESTABLISH;
        call.check(1);
        call.client.dtls.handle_deadline(call.now).unwrap();
        let hello = call.browser_says().remove(0);
        assert_eq!(call.handle(1, &hello), Some(Change::Nothing));
        let flight = call.said().len();
        let (change, sent) = call.pass(due + IDLE);
        let Some((at, Change::Failed(Failure::Dtls))) = change else {
            panic!("{version:?}: {change:?}");
        };
        assert!(at <= due && at >= due - Span::from_secs(5), "{at:?}");
        assert!(sent <= 8 * flight, "{sent} datagrams, {flight} a flight");
    }
}

#[test]
fn thirty_silent_seconds_end_it() {
    for version in VERSIONS {
        let mut call = Call::connected(version);
        for _ in 0..10 {
            let next = call.now + Span::from_secs(29);
            assert_eq!(call.pass(next).0, None);
            call.check(1);
        }
        // Media counts; forged media and DTLS do not.
        let media = call.media(8);
        let next = call.now + Span::from_secs(29);
        assert_eq!(call.pass(next).0, None);
        assert_eq!(call.open(&media), Some(true));
        let last = call.now;
        call.now = call.now + Span::from_secs(20);
        let mut forged = call.media(9);
        forged[20] ^= 1;
        assert_eq!(call.open(&forged), Some(false));
        assert_eq!(call.handle(1, &[22, 0xfe, 0xfd, 0]), Some(Change::Nothing));
        let (change, _) = call.pass(last + IDLE + IDLE);
        let expected = (last + IDLE, Change::Failed(Failure::Silence));
        assert_eq!(change, Some(expected));
        assert_eq!(call.transport.deadline(), None);
    }
}

#[test]
fn a_close_is_heard_both_ways() {
    for version in VERSIONS {
        let mut call = Call::connected(version);
        call.client.dtls.close();
        let closed = Change::Failed(Failure::ClosedByPeer);
        assert_eq!(call.shake(1), closed);
        assert_eq!(call.transport.deadline(), None);

        let mut call = Call::connected(version);
        call.transport.close(&mut call.trains);
        let said = call.said();
        assert!(!said.is_empty());
        for (to, bytes) in said {
            assert_eq!(to, path(1));
            call.client.handle(call.now, &bytes);
        }
        call.client.drain();
        assert!(call.client.dtls.closed_by_peer());
        // Closing again says nothing.
        call.transport.close(&mut call.trains);
        assert!(call.said().is_empty());
    }
}

#[test]
fn a_certificate_not_named_opens_nothing() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let mut call = Call::expecting(&client, &server, [7; 32]);
        call.check(1);
        assert_eq!(call.shake(1), Change::Failed(Failure::Fingerprint));
        assert_eq!(call.transport.secured(), None);
        assert!(call.transport.egress().is_none());
        assert_eq!(call.open(&RTP), None);
    }
}

#[test]
fn what_ended_does_not_begin_again() {
    for version in VERSIONS {
        let mut call = Call::of(version);
        let (change, _) = call.pass(call.now + IDLE);
        assert!(matches!(change, Some((_, Change::Failed(_)))));
        // A browser that comes late.
        call.check(1);
        assert_eq!(call.shake(1), Change::Nothing);
        assert_eq!(call.transport.secured(), None);
        assert!(call.transport.egress().is_none());
    }
}

/// Alerts and a close no peer made: in the clear, and sealed with nothing.
fn forged_records() -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    for (epoch, sequence) in [
        (0, 0),
        (0, 90),
        (1, 0),
        (1, 1),
        (1, 90),
        (2, 3),
        (3, 1),
        (9, 9),
    ] {
        for alert in [[1, 0], [2, 40], [2, 10], [2, 80]] {
            let mut body = alert.to_vec();
            for len in [2, 26, 40] {
                body.resize(len, 0x11);
                let record = Record {
                    kind: ALERT,
                    epoch,
                    sequence,
                    body: body.clone(),
                };
                forged.push(record.write());
            }
        }
    }
    // Unified headers of DTLS 1.3.
    forged.extend((0x20..0x40).map(|first| [vec![first], vec![0x33; 40]].concat()));
    forged
}

#[test]
fn replays_and_forgeries_after_the_handshake_change_nothing() {
    for version in VERSIONS {
        let mut call = Call::connected(version);
        let mut noise = Noise::new(0xf0e);
        let mut fakes = forged_records();
        for genuine in call.heard.clone() {
            for _ in 0..20 {
                let mut changed = genuine.clone();
                let at = noise.below(changed.len() as u64) as usize;
                changed[at] ^= 1 << noise.below(8);
                fakes.push(changed);
            }
            fakes.push(genuine);
        }
        // A hello that would begin again, with a later number.
        let mut stranger = Call::of(version);
        stranger.client.dtls.handle_deadline(stranger.now).unwrap();
        let hello = stranger.browser_says().remove(0);
        for message in 0..6 {
            let mut again = records(&hello).0[0].fragments().remove(0);
            again.message = message;
            fakes.push(again.record(50).write());
        }
        let mut answered = 0;
        for (at, fake) in fakes.iter().enumerate() {
            call.now = call.now + Span::from_ms(1);
            assert_eq!(
                call.handle(1, fake),
                Some(Change::Nothing),
                "{version:?} {at}"
            );
            answered += call.said().len();
        }
        // Until the client is known to be done its hello asks for our flight again.
        assert!(answered <= fakes.len(), "{answered} of {}", fakes.len());
        assert_eq!(call.open(&call.media(11)), Some(true));
        call.client.dtls.close();
        let closed = Change::Failed(Failure::ClosedByPeer);
        assert_eq!(call.shake(1), closed, "{version:?}");
    }
}
