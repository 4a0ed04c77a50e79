use super::*;
use crate::base::limits::{RTCP_NACK_PAIRS_MAX, RTCP_PACKET_MAX_BYTES};
use crate::base::time::Ntp;

const REPORT: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 0x55,
    cumulative_lost: -2,
    highest_sequence: 0x0001_ffff,
    jitter: 77,
    last_sender_report: 0x1234_5678,
    delay_since: 65_536,
};

const INFO: SenderInfo = SenderInfo {
    ssrc: 9,
    ntp: Ntp::from_bits(0x0102_0304_0506_0708),
    rtp_timestamp: 0xffff_0000,
    packet_count: 3,
    octet_count: 4_000,
};

const HEAD: TransportFeedbackHead = TransportFeedbackHead {
    sender_ssrc: 1,
    media_ssrc: 2,
    base_sequence: 65_530,
    reference_time: -3,
    feedback_count: 255,
};

/// The only packet of `compound`.
fn only(compound: &[u8]) -> Packet<'_> {
    let mut all = packets(compound);
    let packet = all.next().expect("a packet").expect("well-formed");
    assert!(all.next().is_none(), "one packet");
    assert_eq!(compound.len() % 4, 0);
    packet
}

fn fault(compound: &[u8]) -> Fault {
    let last = packets(compound).last().expect("an error");
    last.expect_err("an error").fault
}

/// One of everything, each a packet of its own.
fn one_of_each() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        all.push(out);
    };
    add(&|out| sender_report(out, &INFO, &[REPORT]).unwrap());
    add(&|out| receiver_report(out, 5, &[REPORT, REPORT]).unwrap());
    add(&|out| sdes_cname(out, 5, b"ringhall").unwrap());
    add(&|out| bye(out, &[5, 6]).unwrap());
    add(&|out| assert_eq!(nack(out, 1, 2, &[65_535, 0, 40]), 3));
    add(&|out| pli(out, 1, 2));
    add(&|out| fir(out, 1, &[(2, 7), (3, 8)]).unwrap());
    add(&|out| remb(out, 1, 2_500_000, &[2, 3]).unwrap());
    add(&|out| transport_feedback(out, &HEAD, &[Some(4), None, Some(-1)]).unwrap());
    add(&|out| receiver_reference_time(out, 1, INFO.ntp));
    add(&|out| {
        dlrr(
            out,
            1,
            &[Dlrr {
                ssrc: 2,
                last_reference: 3,
                delay_since: 4,
            }],
        )
        .unwrap()
    });
    all
}

#[test]
fn reports_read_back() {
    let mut out = Vec::new();
    sender_report(&mut out, &INFO, &[REPORT, REPORT]).unwrap();
    let Packet::SenderReport(report) = only(&out) else {
        panic!("not a sender report");
    };
    assert_eq!((report.ssrc, report.ntp), (INFO.ssrc, INFO.ntp));
    assert_eq!(report.rtp_timestamp, INFO.rtp_timestamp);
    assert_eq!(report.packet_count, INFO.packet_count);
    assert_eq!(report.octet_count, INFO.octet_count);
    assert_eq!(report.reports.collect::<Vec<_>>(), [REPORT, REPORT]);
    out.clear();
    receiver_report(&mut out, 5, &[]).unwrap();
    assert_eq!(out, [0x80, 201, 0, 1, 0, 0, 0, 5]);
}

#[test]
fn cumulative_loss_stops_at_24_bits() {
    for (lost, read) in [
        (i32::MAX, 0x7f_ffff),
        (i32::MIN, -0x80_0000),
        (-1, -1),
        (0x7f_ffff, 0x7f_ffff),
    ] {
        let mut out = Vec::new();
        let report = ReportBlock {
            cumulative_lost: lost,
            ..REPORT
        };
        receiver_report(&mut out, 5, &[report]).unwrap();
        let Packet::ReceiverReport(mut report) = only(&out) else {
            panic!("not a receiver report");
        };
        assert_eq!(report.reports.next().unwrap().cumulative_lost, read);
    }
}

#[test]
fn names_of_every_length() {
    for len in 0..=255 {
        let name = vec![b'n'; len];
        let mut out = Vec::new();
        sdes_cname(&mut out, 5, &name).unwrap();
        let Packet::Sdes(mut sdes) = only(&out) else {
            panic!("not a description");
        };
        let chunk = sdes.chunks.next().unwrap();
        assert_eq!((chunk.ssrc, chunk.cname), (5, Some(&name[..])));
        assert_eq!(sdes.chunks.next(), None);
    }
    assert_eq!(
        sdes_cname(&mut Vec::new(), 5, &[0; 256]),
        Err(WriteError::TooMany)
    );
}

#[test]
fn descriptions_with_other_items_and_without_an_end() {
    // Two chunks: a tool item then the name; a name only.
    let mut two = vec![0x82, 202, 0, 6];
    two.extend([0, 0, 0, 1, 6, 1, b't', 1, 2, b'a', b'b', 0]);
    two.extend([0, 0, 0, 2, 1, 3, b'c', b'd', b'e', 0, 0, 0]);
    let Packet::Sdes(sdes) = only(&two) else {
        panic!("not a description");
    };
    let names: Vec<_> = sdes.chunks.map(|c| (c.ssrc, c.cname.unwrap())).collect();
    assert_eq!(names, [(1, &b"ab"[..]), (2, &b"cde"[..])]);
    // A name that ends on a word still has its end mark, a word of its own.
    let mut aligned = vec![0x82, 202, 0, 6];
    aligned.extend([0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0]);
    aligned.extend([0, 0, 0, 2, 1, 2, b'c', b'd', 0, 0, 0, 0]);
    let Packet::Sdes(sdes) = only(&aligned) else {
        panic!("not a description");
    };
    let names: Vec<_> = sdes.chunks.map(|c| (c.ssrc, c.cname.unwrap())).collect();
    assert_eq!(names, [(1, &b"ab"[..]), (2, &b"cd"[..])]);
    // Fewer chunks than counted, an item past the end, no end mark.
    two[0] = 0x83;
    assert_eq!(fault(&two), Fault::Truncated);
    assert_eq!(
        fault(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 3, b'a', b'b']),
        Fault::Truncated
    );
    assert_eq!(
        fault(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b']),
        Fault::Truncated
    );
}

#[test]
fn goodbye_lists_streams_and_ignores_the_reason() {
    let long_reason = [0x81, 203, 0, 2, 0, 0, 0, 5, 255, b'b', b'y', b'e'];
    let Packet::Bye(bye) = only(&long_reason) else {
        panic!("not a goodbye");
    };
    assert_eq!(bye.ssrcs.collect::<Vec<_>>(), [5]);
    assert_eq!(fault(&[0x9f, 203, 0, 1, 0, 0, 0, 5]), Fault::Truncated);
}

#[test]
fn nack_pairs_follow_the_wrap() {
    let lost = [65_530, 65_535, 0, 9, 10, 27, 200];
    let mut out = Vec::new();
    assert_eq!(nack(&mut out, 1, 2, &lost), lost.len());
    let Packet::Nack(read) = only(&out) else {
        panic!("not a NACK");
    };
    assert_eq!((read.sender_ssrc, read.media_ssrc), (1, 2));
    assert_eq!(read.lost.collect::<Vec<_>>(), lost);
    // 65530 names 5, 6, 15 and 16 ahead of it; 27 and 200 stand alone.
    assert_eq!(out.len(), 12 + 3 * 4);
    assert_eq!(out[12..16], [0xff, 0xfa, 0xc0, 0x30]);
}

#[test]
fn a_nack_of_everything_is_bounded() {
    let everything: Vec<u16> = (0..=u16::MAX).collect();
    let mut out = Vec::new();
    let taken = nack(&mut out, 1, 2, &everything);
    assert_eq!(taken, RTCP_NACK_PAIRS_MAX * 17);
    let Packet::Nack(read) = only(&out) else {
        panic!("not a NACK");
    };
    assert_eq!(read.lost.collect::<Vec<_>>(), &everything[..taken]);
    out.clear();
    assert_eq!(nack(&mut out, 1, 2, &[]), 0);
    assert!(out.is_empty());
}

#[test]
fn key_frame_requests() {
    let mut out = Vec::new();
    pli(&mut out, 1, 2);
    assert_eq!(out, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(
        only(&out),
        Packet::Pli(Pli {
            sender_ssrc: 1,
            media_ssrc: 2
        })
    );
    out.clear();
    fir(&mut out, 1, &[(2, 7), (3, 255)]).unwrap();
    let Packet::Fir(read) = only(&out) else {
        panic!("not a FIR");
    };
    assert_eq!(read.sender_ssrc, 1);
    assert_eq!(read.entries.collect::<Vec<_>>(), [(2, 7), (3, 255)]);
    assert_eq!(fir(&mut out, 1, &[]), Err(WriteError::Empty));
    assert_eq!(
        fault(&[0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]),
        Fault::Truncated
    );
}

#[test]
fn bandwidth_estimates_round_down_and_saturate() {
    for (asked, read) in [
        (0, 0),
        (1, 1),
        (0x3_ffff, 0x3_ffff),
        (0x4_0001, 0x4_0000),
        (2_500_000, 2_500_000 & !0xf),
        (u64::MAX, 0x3_ffff << 46),
    ] {
        let mut out = Vec::new();
        remb(&mut out, 1, asked, &[2]).unwrap();
        let Packet::Remb(remb) = only(&out) else {
            panic!("not a REMB");
        };
        assert_eq!(remb.bitrate_bps, read, "{asked}");
        assert_eq!(remb.ssrcs.collect::<Vec<_>>(), [2]);
    }
    let mut out = Vec::new();
    remb(&mut out, 1, 1, &[]).unwrap();
    for (packed, read) in [
        ([0xff, 0xff, 0xff], u64::MAX),
        // 2^47 still fits a mantissa of one bit at exponent 63.
        ([0xfc, 0x00, 0x01], 1 << 63),
        ([0xfc, 0x00, 0x02], u64::MAX),
        ([0xfc, 0x00, 0x00], 0),
    ] {
        out[17..20].copy_from_slice(&packed);
        let Packet::Remb(remb) = only(&out) else {
            panic!("not a REMB");
        };
        assert_eq!(remb.bitrate_bps, read);
    }
    out[16] = 1;
    assert_eq!(fault(&out), Fault::Truncated);
    out[12] = b'X';
    assert!(matches!(
        only(&out),
        Packet::Other {
            packet_type: 206,
            format: 15,
            ..
        }
    ));
}

#[test]
fn extended_reports_hold_several_blocks() {
    let mut out = Vec::new();
    receiver_reference_time(&mut out, 1, INFO.ntp);
    let entry = Dlrr {
        ssrc: 2,
        last_reference: 3,
        delay_since: 4,
    };
    let mut second = Vec::new();
    dlrr(&mut second, 1, &[entry, entry]).unwrap();
    // The second report's block joins the first one's.
    out.extend(&second[8..]);
    out.extend([99, 0, 0, 0]);
    let words = (out.len() / 4 - 1) as u8;
    out[3] = words;
    let Packet::ExtendedReport(report) = only(&out) else {
        panic!("not an extended report");
    };
    let blocks: Vec<_> = report.blocks.collect();
    assert_eq!(blocks[0], ExtendedBlock::ReferenceTime(INFO.ntp));
    let ExtendedBlock::Dlrr(entries) = &blocks[1] else {
        panic!("not a DLRR block");
    };
    assert_eq!(entries.clone().collect::<Vec<_>>(), [entry, entry]);
    assert_eq!(blocks[2], ExtendedBlock::Other { block_type: 99 });
    assert_eq!(blocks.len(), 3);
    let last = out.len() - 1;
    out[last] = 1;
    assert_eq!(fault(&out), Fault::Truncated);
    assert_eq!(dlrr(&mut out, 1, &[]), Err(WriteError::Empty));
}

#[test]
fn arrivals_read_back_from_every_kind_of_chunk() {
    let small = Some(7);
    let large = Some(-300);
    let scripts: [Vec<Option<i32>>; 8] = [
        vec![small],
        vec![None; 9_000],
        vec![small; 300],
        [vec![small; 13], vec![None; 13]].concat(),
        [vec![small, None, large], vec![None; 20], vec![large; 8]].concat(),
        vec![
            Some(0),
            Some(255),
            Some(256),
            Some(-1),
            Some(32_767),
            Some(-32_768),
        ],
        [vec![large; 7], vec![small; 6], vec![None; 30], vec![large]].concat(),
        (0..200).map(|n| (n % 3 != 0).then_some(n * 5)).collect(),
    ];
    for statuses in scripts {
        let mut out = vec![0xaa; 3];
        transport_feedback(&mut out, &HEAD, &statuses).unwrap();
        let Packet::TransportFeedback(read) = only(&out[3..]) else {
            panic!("not transport feedback");
        };
        assert_eq!(read.head, HEAD);
        assert_eq!(read.reference_time_us(), -192_000);
        let expected: Vec<_> = (0u16..)
            .zip(&statuses)
            .map(|(n, status)| {
                let delta_us = status.map(|units| units * 250);
                (HEAD.base_sequence.wrapping_add(n), delta_us)
            })
            .collect();
        assert_eq!(read.arrivals().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn chunks_are_the_short_ones() {
    let len = |statuses: &[Option<i32>]| {
        let mut out = Vec::new();
        transport_feedback(&mut out, &HEAD, statuses).unwrap();
        out.len()
    };
    // Head, count and one chunk for a long loss, padded.
    assert_eq!(len(&[None; 8_191]), 20 + 4);
    // One bit a packet: one chunk for 14 mixed statuses.
    let mixed: Vec<_> = (0..14).map(|n| (n % 2 == 0).then_some(1)).collect();
    assert_eq!(len(&mixed), (20usize + 2 + 7).next_multiple_of(4));
    // Two bits where large deltas are mixed in: one chunk for 7.
    let large: Vec<_> = (0..7).map(|n| (n % 2 == 0).then_some(n * 300)).collect();
    assert_eq!(len(&large), (20usize + 2 + 7).next_multiple_of(4));
    // A run of 13 before other statuses takes one chunk, not two vectors.
    let run = [vec![None; 13], vec![Some(-1); 20]].concat();
    assert_eq!(len(&run), 20 + 4 + 40);
}

#[test]
fn feedback_that_cannot_be_written_leaves_the_buffer() {
    let mut out = vec![1, 2, 3, 4];
    let far = TransportFeedbackHead {
        reference_time: 0x80_0000,
        ..HEAD
    };
    for (head, statuses, error) in [
        (&HEAD, vec![], WriteError::Empty),
        (&HEAD, vec![Some(40_000)], WriteError::OutOfRange),
        (&HEAD, vec![Some(i32::MIN)], WriteError::OutOfRange),
        (&HEAD, vec![None; 65_536], WriteError::TooMany),
        (&HEAD, vec![Some(1); 1_200], WriteError::TooLong),
        (&far, vec![None], WriteError::OutOfRange),
    ] {
        assert_eq!(transport_feedback(&mut out, head, &statuses), Err(error));
        assert_eq!(out, [1, 2, 3, 4]);
    }
    let longest = vec![Some(1); RTCP_PACKET_MAX_BYTES - 20 - 2];
    assert_eq!(transport_feedback(&mut out, &HEAD, &longest), Ok(()));
    assert_eq!(out.len(), 4 + RTCP_PACKET_MAX_BYTES);
}

#[test]
fn feedback_of_browsers_is_padded_by_the_p_bit() {
    // Ten received, as one bit each; delta bytes 1..=10; padding counted by its
    // last byte, which is not a multiple of four.
    let mut packet = vec![0xaf, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2];
    packet.extend([0, 5, 0, 10, 0, 0, 1, 9]);
    packet.extend([0xbf, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    packet.extend([0, 0, 0, 4]);
    for cut in [0, 2] {
        let mut packet = packet.clone();
        let at = packet.len() - 1;
        packet[at] = 4 - cut;
        let Packet::TransportFeedback(read) = only(&packet) else {
            panic!("not transport feedback");
        };
        let deltas: Vec<_> = read.arrivals().map(|(_, delta)| delta.unwrap()).collect();
        assert_eq!(deltas, (1..=10).map(|n| n * 250).collect::<Vec<_>>());
    }
}

#[test]
fn hostile_feedback() {
    let feedback = |message: &[u8]| {
        let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        packet.extend(message);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet[3] = (packet.len() / 4 - 1) as u8;
        packet
    };
    // 65,535 received with no deltas; a reserved symbol in a run, in a vector.
    let no_deltas = [0, 0, 0xff, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0x3f, 0xff];
    assert_eq!(fault(&feedback(&no_deltas)), Fault::Truncated);
    let reserved = [0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x01, 0, 0];
    assert_eq!(fault(&feedback(&reserved)), Fault::Symbol);
    let reserved = [0, 0, 0, 1, 0, 0, 0, 0, 0xf0, 0x00, 0, 0];
    assert_eq!(fault(&feedback(&reserved)), Fault::Symbol);
    // Runs of nothing end with the bytes.
    let empty_runs = [&[0, 0, 0, 1, 0, 0, 0, 0][..], &[0; 64]].concat();
    assert_eq!(fault(&feedback(&empty_runs)), Fault::Truncated);
    // 65,535 losses are legal and cost nine chunks.
    let mut losses = vec![0, 0, 0xff, 0xff, 0, 0, 0, 0];
    losses.extend([0x1f, 0xff].repeat(9));
    let losses = feedback(&losses);
    let Packet::TransportFeedback(read) = only(&losses) else {
        panic!("not transport feedback");
    };
    assert_eq!(read.arrivals().filter(|(_, d)| d.is_none()).count(), 65_535);
}

#[test]
fn a_compound_yields_what_stands_before_its_fault() {
    let all = one_of_each();
    let compound = all.concat();
    let read: Vec<_> = packets(&compound).map(Result::unwrap).collect();
    assert_eq!(read.len(), all.len());
    let mut at = 0;
    for (index, packet) in all.iter().enumerate() {
        for cut in 1..packet.len() {
            let mut read = packets(&compound[..at + cut]);
            assert_eq!(
                read.by_ref().take(index).filter(Result::is_ok).count(),
                index
            );
            let error = read.next().expect("an error").expect_err("cut");
            assert_eq!(error.at, at);
            assert!(matches!(error.fault, Fault::Header | Fault::Length));
            assert!(read.next().is_none());
        }
        at += packet.len();
    }
}

#[test]
fn bodies_cut_inside_their_length_are_faults_or_legal_never_more() {
    for packet in one_of_each() {
        for words in 0..packet.len() / 4 - 1 {
            let mut cut = packet[..4 + words * 4].to_vec();
            cut[3] = words as u8;
            for read in packets(&cut) {
                match read {
                    Err(error) => assert_eq!(error.fault, Fault::Truncated),
                    // Shortened lists of whole items stay legal.
                    Ok(Packet::Nack(_) | Packet::Fir(_) | Packet::ExtendedReport(_)) => {}
                    Ok(Packet::Other { .. }) => assert_eq!(packet[1], 206),
                    Ok(other) => panic!("{words} words of {packet:02x?}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn framing_faults() {
    assert_eq!(packets(&[]).count(), 0);
    assert_eq!(fault(&[0x80]), Fault::Header);
    assert_eq!(fault(&[0x40, 200, 0, 0]), Fault::Version(1));
    assert_eq!(fault(&[0x80, 200, 0xff, 0xff]), Fault::Length);
    assert_eq!(fault(&[0xa0, 204, 0, 0]), Fault::Padding(0));
    assert_eq!(fault(&[0xa0, 204, 0, 1, 0, 0, 0, 0]), Fault::Padding(0));
    assert_eq!(fault(&[0xa0, 204, 0, 1, 0, 0, 0, 5]), Fault::Padding(5));
    assert_eq!(
        only(&[0xa1, 204, 0, 1, 7, 0, 0, 3]),
        Packet::Other {
            packet_type: 204,
            format: 1,
            body: &[7]
        }
    );
}

#[test]
fn lists_beyond_their_count_or_the_cap_are_refused() {
    let mut out = Vec::new();
    let reports = [REPORT; 32];
    assert_eq!(
        receiver_report(&mut out, 1, &reports),
        Err(WriteError::TooMany)
    );
    assert_eq!(
        sender_report(&mut out, &INFO, &reports),
        Err(WriteError::TooMany)
    );
    assert_eq!(bye(&mut out, &[0; 32]), Err(WriteError::TooMany));
    assert_eq!(remb(&mut out, 1, 1, &[0; 256]), Err(WriteError::TooMany));
    assert_eq!(fir(&mut out, 1, &[(0, 0); 149]), Err(WriteError::TooLong));
    let entry = Dlrr {
        ssrc: 0,
        last_reference: 0,
        delay_since: 0,
    };
    assert_eq!(dlrr(&mut out, 1, &[entry; 100]), Err(WriteError::TooLong));
    assert!(out.is_empty());
    assert!(receiver_report(&mut out, 1, &reports[..31]).is_ok());
}
