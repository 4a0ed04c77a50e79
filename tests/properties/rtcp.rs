//! RTCP: every packet that parses, written again from its fields and parsed
//! once more, has the same fields.

use ringhall::base::limits::RTCP_PACKET_MAX_BYTES;
use ringhall::base::time::Ntp;
use ringhall::wire::rtcp::{
    Dlrr, ExtendedBlock, Packet, ReportBlock, SenderInfo, TransportFeedbackHead, WriteError, bye,
    dlrr, fir, nack, packets, pli, receiver_reference_time, receiver_report, remb, sdes_cname,
    sender_report, transport_feedback,
};

pub fn check(data: &[u8]) {
    let mut ended = false;
    for packet in packets(data) {
        assert!(!ended, "nothing follows an error");
        match packet {
            Ok(packet) => rewrite(&packet),
            Err(error) => {
                assert!(error.at <= data.len());
                ended = true;
            }
        }
    }
    // Bytes behind a compound never change what stands in it.
    let longer = [data, &[0x80, 201]].concat();
    let before: Vec<_> = packets(data).filter_map(Result::ok).collect();
    let after: Vec<_> = packets(&longer).filter_map(Result::ok).collect();
    assert!(after.starts_with(&before));
}

/// Writes with `write`, which may refuse only for the size cap, and hands what
/// is read back to `read`.
fn round_trip(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
    read: impl FnOnce(Packet<'_>),
) {
    let mut out = Vec::new();
    match write(&mut out) {
        Ok(()) => {
            assert!(out.len() <= RTCP_PACKET_MAX_BYTES);
            assert_eq!(out.len() % 4, 0);
            let mut all = packets(&out);
            read(all.next().expect("a packet").expect("well-formed"));
            assert!(all.next().is_none());
        }
        Err(error) => {
            assert_eq!(error, WriteError::TooLong);
            assert!(out.is_empty());
        }
    }
}

fn rewrite(packet: &Packet<'_>) {
    match packet {
        Packet::SenderReport(report) => {
            let info = SenderInfo {
                ssrc: report.ssrc,
                ntp: report.ntp,
                rtp_timestamp: report.rtp_timestamp,
                packet_count: report.packet_count,
                octet_count: report.octet_count,
            };
            let blocks: Vec<ReportBlock> = report.reports.clone().collect();
            same(packet, |out| sender_report(out, &info, &blocks));
        }
        Packet::ReceiverReport(report) => {
            let blocks: Vec<ReportBlock> = report.reports.clone().collect();
            same(packet, |out| receiver_report(out, report.ssrc, &blocks));
        }
        Packet::Bye(goodbye) => {
            let ssrcs: Vec<u32> = goodbye.ssrcs.clone().collect();
            same(packet, |out| bye(out, &ssrcs));
        }
        Packet::Pli(request) => same(packet, |out| {
            pli(out, request.sender_ssrc, request.media_ssrc);
            Ok(())
        }),
        Packet::Fir(request) => {
            let entries: Vec<(u32, u8)> = request.entries.clone().collect();
            round_trip(
                |out| fir(out, request.sender_ssrc, &entries),
                |again| {
                    let Packet::Fir(again) = again else {
                        panic!("not a FIR");
                    };
                    assert_eq!(again.sender_ssrc, request.sender_ssrc);
                    assert_eq!(again.entries.collect::<Vec<_>>(), entries);
                },
            );
        }
        Packet::Remb(estimate) => {
            let ssrcs: Vec<u32> = estimate.ssrcs.clone().collect();
            round_trip(
                |out| remb(out, estimate.sender_ssrc, estimate.bitrate_bps, &ssrcs),
                |again| {
                    let Packet::Remb(again) = again else {
                        panic!("not a REMB");
                    };
                    assert_eq!(again.ssrcs.collect::<Vec<_>>(), ssrcs);
                    // Only saturation costs accuracy: 18 bits came in.
                    let exact = again.bitrate_bps == estimate.bitrate_bps;
                    assert!(exact || estimate.bitrate_bps == u64::MAX);
                },
            );
        }
        Packet::Nack(request) => rewrite_nack(request.clone()),
        Packet::Sdes(description) => {
            for chunk in description.chunks.clone() {
                let Some(cname) = chunk.cname else { continue };
                round_trip(
                    |out| sdes_cname(out, chunk.ssrc, cname),
                    |again| {
                        let Packet::Sdes(mut again) = again else {
                            panic!("not a description");
                        };
                        assert_eq!(again.chunks.next(), Some(chunk));
                        assert_eq!(again.chunks.next(), None);
                    },
                );
            }
        }
        Packet::TransportFeedback(feedback) => {
            let mut next = feedback.head.base_sequence;
            let mut statuses = Vec::new();
            for (sequence, delta_us) in feedback.arrivals() {
                assert_eq!(sequence, next);
                next = next.wrapping_add(1);
                statuses.push(delta_us.map(|us| us / 250));
            }
            assert_eq!(statuses.len(), usize::from(feedback.status_count));
            if !statuses.is_empty() {
                rewrite_feedback(&feedback.head, &statuses);
            }
        }
        Packet::ExtendedReport(report) => {
            for block in report.blocks.clone() {
                rewrite_block(report.ssrc, block);
            }
        }
        Packet::Other { .. } => {}
    }
}

/// Writes a packet whose view has one byte form only, so that the views
/// themselves compare.
fn same(packet: &Packet<'_>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>) {
    round_trip(write, |again| assert_eq!(&again, packet));
}

fn rewrite_nack(request: ringhall::wire::rtcp::Nack<'_>) {
    let mut lost: Vec<u16> = request.lost.clone().collect();
    assert!(!lost.is_empty());
    lost.sort_unstable();
    lost.dedup();
    let mut rest = &lost[..];
    let mut read = Vec::new();
    while !rest.is_empty() {
        let mut out = Vec::new();
        let taken = nack(&mut out, request.sender_ssrc, request.media_ssrc, rest);
        assert!(taken > 0 && out.len() <= RTCP_PACKET_MAX_BYTES);
        rest = &rest[taken..];
        let Some(Ok(Packet::Nack(again))) = packets(&out).next() else {
            panic!("not a NACK");
        };
        assert_eq!(again.sender_ssrc, request.sender_ssrc);
        assert_eq!(again.media_ssrc, request.media_ssrc);
        read.extend(again.lost);
    }
    assert_eq!(read, lost);
}

fn rewrite_feedback(head: &TransportFeedbackHead, statuses: &[Option<i32>]) {
    round_trip(
        |out| transport_feedback(out, head, statuses),
        |again| {
            let Packet::TransportFeedback(again) = again else {
                panic!("not transport feedback");
            };
            assert_eq!(again.head, *head);
            let read: Vec<_> = again
                .arrivals()
                .map(|(_, delta_us)| delta_us.map(|us| us / 250))
                .collect();
            assert_eq!(read, statuses);
        },
    );
}

fn rewrite_block(ssrc: u32, block: ExtendedBlock<'_>) {
    let only_block = |again: Packet<'_>| {
        let Packet::ExtendedReport(mut again) = again else {
            panic!("not an extended report");
        };
        assert_eq!(again.ssrc, ssrc);
        assert_eq!(again.blocks.next().as_ref(), Some(&block));
        assert_eq!(again.blocks.next(), None);
    };
    match &block {
        ExtendedBlock::ReferenceTime(ntp) => round_trip(
            |out| {
                receiver_reference_time(out, ssrc, *ntp);
                Ok(())
            },
            only_block,
        ),
        ExtendedBlock::Dlrr(entries) => {
            let entries: Vec<Dlrr> = entries.clone().collect();
            if !entries.is_empty() {
                round_trip(|out| dlrr(out, ssrc, &entries), only_block);
            }
        }
        ExtendedBlock::Other { .. } => {}
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let info = SenderInfo {
        ssrc: 9,
        ntp: Ntp::from_bits(0x0102_0304_0506_0708),
        rtp_timestamp: 90_000,
        packet_count: 3,
        octet_count: 4_000,
    };
    let block = ReportBlock {
        ssrc: 5,
        fraction_lost: 1,
        cumulative_lost: -1,
        highest_sequence: 0x1_0001,
        jitter: 30,
        last_sender_report: 7,
        delay_since: 8,
    };
    let head = TransportFeedbackHead {
        sender_ssrc: 1,
        media_ssrc: 2,
        base_sequence: 65_530,
        reference_time: -3,
        feedback_count: 4,
    };
    let entry = Dlrr {
        ssrc: 2,
        last_reference: 3,
        delay_since: 4,
    };
    let statuses: Vec<Option<i32>> = (0..40).map(|n| (n % 5 != 0).then_some(n * 20)).collect();
    let made = |write: &dyn Fn(&mut Vec<u8>) -> Result<(), WriteError>| {
        let mut out = Vec::new();
        write(&mut out).expect("a seed within the caps");
        out
    };
    vec![
        made(&|out| {
            sender_report(out, &info, &[block])?;
            sdes_cname(out, 9, b"ringhall")?;
            remb(out, 9, 2_500_000, &[5, 6])
        }),
        made(&|out| {
            receiver_report(out, 9, &[block, block])?;
            nack(out, 9, 5, &[65_535, 0, 3, 90]);
            pli(out, 9, 5);
            fir(out, 9, &[(5, 1), (6, 200)])
        }),
        made(&|out| transport_feedback(out, &head, &statuses)),
        made(&|out| transport_feedback(out, &head, &[None; 9_000])),
        made(&|out| {
            receiver_reference_time(out, 9, info.ntp);
            dlrr(out, 9, &[entry, entry])?;
            bye(out, &[9, 10])
        }),
        // Padding of an application packet; a length past the end.
        vec![0xa1, 204, 0, 1, 7, 0, 0, 3, 0x80, 201, 0, 200, 0, 0, 0, 1],
        // 65,535 statuses without deltas.
        vec![
            0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0x3f, 0xff,
            0x3f, 0xff,
        ],
    ]
}
