//! Our server's end of DTLS against our client's end: through loss, duplicates,
//! other orders and split messages, and against peers that are not who their
//! offer said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod ends;

use std::cell::Cell;

use ringhall::base::random::Noise;
use ringhall::base::time::{Span, Time};
use ringhall::proto::dtls::{Dtls, DtlsFailure, Established, MaxVersion};
use ringhall::proto::srtp::Profile;

use ends::records::{Fragment, Record, padded_hello, records, split};
use ends::{End, LATENCY, Pair, Sent, VERSIONS, calm, identity};

/// A handshake that met one mishap is complete by then: our first
/// retransmission leaves after 100 ms, the next 200 ms later.
const RECOVERED: Span = Span::from_ms(500);

/// The time a transport has to establish.
const GIVEN_UP: Span = Span::from_secs(15);

fn version_name(version: MaxVersion) -> &'static str {
    match version {
        MaxVersion::Dtls12 => "1.2",
        MaxVersion::Dtls13 => "1.3",
    }
}

#[test]
fn both_ends_export_the_same_keys() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let mut pair = Pair::new(&client, &server);
        let took = pair.run(GIVEN_UP, calm);
        let agreed = pair.assert_agreed();
        assert_eq!(agreed.version, version_name(version));
        if version == MaxVersion::Dtls12 {
            assert_eq!(agreed.profile, Profile::AeadAes256Gcm);
        }
        // No timer was needed: two round trips at most.
        assert!(took <= Span::from_ms(4 * LATENCY.as_ms()), "{took:?}");
        assert!(pair.largest_bytes <= 1_150, "{}", pair.largest_bytes);
    }
}

#[test]
fn the_older_of_two_versions_is_taken() {
    for (client, server) in [
        (MaxVersion::Dtls12, MaxVersion::Dtls13),
        (MaxVersion::Dtls13, MaxVersion::Dtls12),
    ] {
        let mut pair = Pair::new(&identity(client), &identity(server));
        pair.run(GIVEN_UP, calm);
        assert_eq!(pair.assert_agreed().version, "1.2");
    }
}

#[test]
fn every_handshake_has_its_own_keys() {
    let (client, server) = (identity(MaxVersion::Dtls12), identity(MaxVersion::Dtls12));
    let keys = || {
        let mut pair = Pair::new(&client, &server);
        pair.run(GIVEN_UP, calm);
        pair.assert_agreed().keying_material.clone()
    };
    assert_ne!(keys(), keys());
}

#[test]
fn any_one_datagram_may_be_lost() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let mut lost = 0;
        loop {
            let mut pair = Pair::new(&client, &server);
            let took = pair.run(GIVEN_UP, |sent| match sent.number == lost {
                true => Vec::new(),
                false => calm(sent),
            });
            pair.assert_agreed();
            assert!(took <= RECOVERED, "{version:?} without {lost}: {took:?}");
            if pair.sent <= lost {
                break;
            }
            lost += 1;
        }
        assert!(lost >= 4, "{version:?} took only {lost} datagrams");
    }
}

#[test]
fn half_of_everything_may_be_lost() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let mut agreed = 0;
        for seed in 0..30 {
            let mut noise = Noise::new(seed);
            let mut pair = Pair::new(&client, &server);
            pair.run(GIVEN_UP, |sent| match noise.chance_ppm(500_000) {
                true => Vec::new(),
                false => calm(sent),
            });
            if pair.client.keys.is_some() && pair.server.keys.is_some() {
                pair.assert_agreed();
                agreed += 1;
            }
        }
        assert!(agreed >= 24, "{version:?}: {agreed} of 30");
    }
}

#[test]
fn everything_may_come_twice() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        for gap_ms in [0, 1, 15, 60] {
            let mut pair = Pair::new(&client, &server);
            let took = pair.run(GIVEN_UP, |sent| {
                let again = LATENCY + Span::from_ms(gap_ms);
                vec![(LATENCY, sent.bytes.to_vec()), (again, sent.bytes.to_vec())]
            });
            pair.assert_agreed();
            assert!(took <= RECOVERED, "{version:?} {gap_ms}: {took:?}");
            // Duplicates ask for flights again, but not without end.
            assert!(pair.sent <= 40, "{version:?} {gap_ms}: {} sent", pair.sent);
        }
    }
}

#[test]
fn datagrams_may_overtake_each_other() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        for late in 0..8 {
            let mut pair = Pair::new(&client, &server);
            let took = pair.run(GIVEN_UP, |sent| {
                let delay = if sent.number == late { 25 } else { 10 };
                vec![(Span::from_ms(delay), sent.bytes.to_vec())]
            });
            pair.assert_agreed();
            assert!(took <= RECOVERED, "{version:?} {late} late: {took:?}");
        }
        for seed in 0..30 {
            let mut noise = Noise::new(seed);
            let mut pair = Pair::new(&client, &server);
            let took = pair.run(GIVEN_UP, |sent| {
                vec![(Span::from_ms(1 + noise.below(60)), sent.bytes.to_vec())]
            });
            pair.assert_agreed();
            assert!(took <= RECOVERED, "{version:?} seed {seed}: {took:?}");
        }
    }
}

/// Splits what the client says into pieces and sends each batch in another order.
fn splitting(size_bytes: usize, backwards: bool) -> impl FnMut(Sent<'_>) -> ends::Arrivals {
    move |sent| {
        if !sent.from_client {
            return calm(sent);
        }
        let mut pieces = split(sent.bytes, size_bytes);
        if backwards {
            pieces.reverse();
        }
        pieces.into_iter().map(|piece| (LATENCY, piece)).collect()
    }
}

#[test]
fn messages_may_come_in_pieces_and_backwards() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        for size_bytes in [200, 120, 64] {
            for backwards in [false, true] {
                let mut pair = Pair::new(&client, &server);
                let mut weather = splitting(size_bytes, backwards);
                let hello_pieces = Cell::new(0);
                let took = pair.run(GIVEN_UP, |sent| {
                    let first = sent.number == 0;
                    let arrivals = weather(sent);
                    if first {
                        hello_pieces.set(arrivals.len());
                    }
                    arrivals
                });
                assert!(
                    hello_pieces.get() >= 2 || size_bytes > 64,
                    "{} {size_bytes}",
                    hello_pieces.get()
                );
                pair.assert_agreed();
                let what = format!("{version:?}, {size_bytes} bytes, backwards {backwards}");
                assert!(took <= RECOVERED, "{what}: {took:?}");
            }
        }
    }
}

/// A waiting server and the first datagram of a client it expects.
fn server_and_hello(version: MaxVersion) -> (End, Vec<u8>) {
    let (client, server) = (identity(version), identity(version));
    let mut pair = Pair::new(&client, &server);
    pair.client.dtls.handle_deadline(Time::ZERO).unwrap();
    let hello = pair.client.drain().remove(0);
    (pair.server, hello)
}

#[test]
fn a_hello_of_a_browsers_size_is_answered_in_any_order() {
    for version in VERSIONS {
        for backwards in [false, true] {
            let (mut server, hello) = server_and_hello(version);
            // As Chromium sends it: 1,200 bytes and the rest.
            let mut pieces = padded_hello(&hello, 1_438).split(1_175);
            assert_eq!(pieces.len(), 2, "of {} bytes", hello.len());
            if backwards {
                pieces.reverse();
            }
            let mut answers = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                assert!(answers.is_empty(), "answered half a hello");
                server.handle(Time::from_us(at as u64), &piece.record(at as u64).write());
                answers = server.drain();
            }
            assert_eq!(server.failure, None);
            let (answer, _) = records(&answers[0]);
            assert_eq!(answer[0].fragments()[0].kind, 2, "no ServerHello");
        }
    }
}

#[test]
fn fragments_without_end_or_bytes_are_refused_or_ignored() {
    for version in VERSIONS {
        // A message of 16 MB in crumbs: given up before it costs memory.
        let (mut server, hello) = server_and_hello(version);
        let whole = records(&hello).0[0].fragments().remove(0);
        let mut taken = 0;
        for at in 0..10_000 {
            let crumb = Fragment {
                message_bytes: 0xff_ffff,
                offset: at * 2,
                body: vec![1],
                ..whole.clone()
            };
            server.handle(Time::from_us(at as u64), &crumb.record(at as u64).write());
            assert!(server.drain().is_empty());
            if server.failure.is_some() {
                break;
            }
            taken = at;
        }
        assert_eq!(server.failure, Some(DtlsFailure::Protocol));
        assert!(taken <= 100, "{version:?} kept {taken} fragments");

        // Empty pieces neither loop nor count as progress.
        let (mut server, hello) = server_and_hello(version);
        for at in 0..20 {
            let empty = Fragment {
                offset: 0,
                body: Vec::new(),
                ..whole.clone()
            };
            server.handle(Time::from_us(at), &empty.record(at).write());
            assert!(server.drain().is_empty());
        }
        // It may have given up, but it did not hang; if it lives, it listens.
        server.handle(Time::from_us(30), &hello);
        assert!(server.failure.is_some() || !server.drain().is_empty());
        assert!(server.keys.is_none());
    }
}

#[test]
fn overlapping_pieces_that_disagree_give_no_other_keys() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let mut pair = Pair::new(&client, &server);
        pair.run(Span::from_secs(2), |sent| {
            if !sent.from_client || sent.number > 0 {
                return calm(sent);
            }
            // A forged piece over the first bytes comes before the real ones.
            let pieces = split(sent.bytes, 100);
            let mut forged: Record = records(&pieces[0]).0.remove(0);
            let mut lie = forged.fragments().remove(0);
            lie.body.truncate(60);
            lie.body[40..].fill(0xee);
            forged = lie.record(7_000);
            let all = [vec![forged.write()], pieces].concat();
            all.into_iter().map(|piece| (LATENCY, piece)).collect()
        });
        if pair.server.keys.is_some() {
            pair.assert_agreed();
        }
    }
}

#[test]
fn a_certificate_the_offer_did_not_name_gets_no_keys() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let stranger = identity(version).fingerprint;
        for expected in [vec![], vec![stranger], vec![stranger, [0; 32]]] {
            let named = vec![server.fingerprint];
            let mut pair = Pair::expecting(&client, named, &server, expected);
            pair.run(GIVEN_UP, calm);
            assert_eq!(pair.server.failure, Some(DtlsFailure::Fingerprint));
            // Nor later, whatever is still fed to it.
            for at in 0..20 {
                let later = pair.now + Span::from_secs(at);
                let _ = pair.server.dtls.handle_deadline(later);
                for bytes in pair.client.drain() {
                    let _ = pair.server.dtls.handle(later, &bytes);
                }
                let _ = pair.client.dtls.handle_deadline(later);
                let drained = pair.server.dtls.drain(|_| {});
                assert!(!matches!(drained, Ok(Some(_))));
            }
            assert!(pair.server.keys.is_none());
        }
    }
}

#[test]
fn one_of_several_named_certificates_suffices() {
    let (client, server) = (identity(MaxVersion::Dtls12), identity(MaxVersion::Dtls12));
    let named = vec![[1; 32], client.fingerprint, [2; 32]];
    let mut pair = Pair::expecting(&client, vec![server.fingerprint], &server, named);
    pair.run(GIVEN_UP, calm);
    pair.assert_agreed();
}

#[test]
fn the_active_role_checks_the_certificate_too() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let named = vec![client.fingerprint];
        let mut pair = Pair::expecting(&client, vec![[9; 32]], &server, named);
        pair.run(GIVEN_UP, calm);
        assert_eq!(pair.client.failure, Some(DtlsFailure::Fingerprint));
        assert!(pair.client.keys.is_none() && pair.server.keys.is_none());
    }
}

#[test]
fn two_waiting_or_two_calling_ends_never_agree() {
    for version in VERSIONS {
        let (one, other) = (identity(version), identity(version));
        let end = |calling: bool| {
            let expected = vec![one.fingerprint, other.fingerprint];
            End::new(match calling {
                true => Dtls::client(&one, Time::ZERO, expected),
                false => Dtls::server(&other, Time::ZERO, expected),
            })
        };
        for calling in [false, true] {
            let mut pair = Pair::new(&one, &other);
            (pair.client, pair.server) = (end(calling), end(calling));
            pair.run(GIVEN_UP, calm);
            assert!(pair.client.keys.is_none() && pair.server.keys.is_none());
            assert!(calling || pair.sent == 0, "a waiting end spoke first");
        }
    }
}

/// Runs a handshake in which the client's datagram `number` arrives changed;
/// later ones, retransmissions too, arrive as sent.
fn with_mutation(pair: &mut Pair, number: usize, noise: &mut Noise) {
    let mut spoken = 0;
    pair.run(Span::from_secs(1), |sent| {
        if !sent.from_client {
            return calm(sent);
        }
        spoken += 1;
        match spoken == number + 1 {
            true => vec![(LATENCY, mutated(sent.bytes, noise))],
            false => calm(sent),
        }
    });
}

fn mutated(datagram: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    for _ in 0..=noise.below(3) {
        // Half of them where the fields are: the end of a large hello is padding.
        let reach = [bytes.len(), bytes.len().min(160)][noise.below(2) as usize];
        let at = noise.below(reach as u64) as usize;
        match noise.below(7) {
            0 => bytes[at] ^= 1 << noise.below(8),
            1 => bytes[at] = noise.next_u32() as u8,
            2 => bytes.truncate(at.max(1)),
            3 => bytes.insert(at, noise.next_u32() as u8),
            // The head holds the lengths and offsets.
            4 => {
                let at = at % 26.min(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0xff][noise.below(4) as usize];
            }
            5 => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece);
                bytes.truncate(4_000);
            }
            _ => {
                let end = (at + 8).min(bytes.len());
                bytes[at..end].fill_with(|| noise.next_u32() as u8);
            }
        }
    }
    bytes
}

#[test]
fn garbage_for_a_hello_never_gives_keys() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let (_, hello) = server_and_hello(version);
        let mut noise = Noise::new(0x9a12);
        for case in 0..2_100 {
            let expected = vec![client.fingerprint];
            let mut end = End::new(Dtls::server(&server, Time::ZERO, expected));
            let garbage = match case % 20 {
                0 => (0..noise.below(1_400))
                    .map(|_| noise.next_u32() as u8)
                    .collect(),
                _ => mutated(&hello, &mut noise),
            };
            end.handle(Time::from_us(1), &garbage);
            end.drain();
            if end.failure.is_none() {
                end.handle(
                    Time::from_us(2),
                    &mutated(garbage_or(&garbage, &hello), &mut noise),
                );
                end.drain();
            }
            assert!(end.keys.is_none(), "{version:?} case {case}");
        }
    }
}

fn garbage_or<'a>(garbage: &'a [u8], hello: &'a [u8]) -> &'a [u8] {
    if garbage.is_empty() { hello } else { garbage }
}

#[test]
fn garbage_within_a_handshake_gives_the_peers_keys_or_none() {
    for version in VERSIONS {
        let (client, server) = (identity(version), identity(version));
        let mut noise = Noise::new(0x51de);
        let mut agreed = 0;
        for case in 0..400 {
            let mut pair = Pair::new(&client, &server);
            with_mutation(&mut pair, case % 3, &mut noise);
            match (&pair.client.keys, &pair.server.keys) {
                (Some(_), Some(_)) => {
                    pair.assert_agreed();
                    agreed += 1;
                }
                // The server is done when the client's Finished is verified.
                (None, Some(server)) => assert_plausible(server),
                _ => {}
            }
        }
        // Retransmission heals what damage did not end.
        assert!(agreed >= 100, "{version:?}: {agreed} of 400");
    }
}

fn assert_plausible(established: &Established) {
    let material = &established.keying_material;
    assert_eq!(material.len(), established.profile.material_len());
    assert!(material.iter().any(|byte| *byte != 0));
}
