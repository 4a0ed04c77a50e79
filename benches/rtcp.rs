//! Reports: reading what viewers and publishers send, building what they get.
//!
//! `cargo bench --bench rtcp`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::process::ExitCode;

use ringhall::base::time::{Span, Time};
use ringhall::proto::twcc::TransportFeedbackRecorder;
use ringhall::wire::rtcp::{self, Packet, ReportBlock, SenderInfo, TransportFeedbackHead, packets};
use shared::micro::{Case, Work, run};

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod meter;
    pub mod micro;
    pub mod samples;
}

fn report_block(ssrc: u32) -> ReportBlock {
    ReportBlock {
        ssrc,
        highest_sequence: 70_000,
        jitter: 40,
        ..ReportBlock::default()
    }
}

/// What a viewer says once a second: a report of two streams, and its name.
fn receiver_report(out: &mut Vec<u8>) {
    let blocks = [report_block(7), report_block(8)];
    assert!(rtcp::receiver_report(out, 1, &blocks).is_ok());
    assert!(rtcp::sdes_cname(out, 1, b"0123456789abcdef").is_ok());
}

fn main() -> ExitCode {
    let mut reported = Vec::new();
    receiver_report(&mut reported);
    let mut asked = Vec::new();
    rtcp::nack(&mut asked, 1, 7, &[5, 6, 9, 40, 41, 90, 300, 301]);
    let mut fed_back = Vec::new();
    feedback_of(&statuses(), &mut fed_back);

    let mut out = Vec::new();
    let building_rr = Case::new("build a receiver report", move || {
        out.clear();
        receiver_report(&mut out);
        black_box(&out);
    });
    let mut out = Vec::new();
    let building_sr = Case::new("build a sender report", move || {
        let info = SenderInfo {
            ssrc: 7,
            ntp: Default::default(),
            rtp_timestamp: 1,
            packet_count: 2,
            octet_count: 3,
        };
        out.clear();
        assert!(rtcp::sender_report(&mut out, black_box(&info), &[]).is_ok());
        assert!(rtcp::sdes_cname(&mut out, 7, b"0123456789abcdef").is_ok());
        black_box(&out);
    });
    let recorded = Feedback {
        recorder: TransportFeedbackRecorder::new(),
        now: Time::ZERO,
        sequence: 0,
        out: Vec::new(),
    };
    run(
        "rtcp",
        vec![
            read("read a receiver report of 2", reported),
            read("read a NACK of 8", asked),
            read("read a transport feedback of 25", fed_back),
            building_rr,
            building_sr,
            Case::new("note 25 arrivals and build their feedback", recorded),
        ],
    )
}

/// Reads a compound as the core does, with all it says.
fn read(name: &'static str, compound: Vec<u8>) -> Case<'static> {
    let mut whole = 0;
    for packet in packets(&compound) {
        assert!(packet.is_ok(), "{name}: {packet:?}");
        whole += 1;
    }
    assert!(whole > 0, "{name}: nothing to read");
    Case::new(name, move || {
        for packet in packets(black_box(&compound)).flatten() {
            match packet {
                Packet::ReceiverReport(report) => {
                    report.reports.for_each(|block| {
                        black_box(block);
                    });
                }
                Packet::Nack(nack) => nack.lost.for_each(|sequence| {
                    black_box(sequence);
                }),
                Packet::TransportFeedback(feedback) => {
                    feedback.arrivals().for_each(|arrival| {
                        black_box(arrival);
                    });
                }
                other => {
                    black_box(other);
                }
            }
        }
    })
}

/// 100 ms of a 2.5 Mbit/s publisher, two of them lost.
fn statuses() -> Vec<Option<i32>> {
    (0..25)
        .map(|at| (at % 12 != 5).then_some(16 + at % 3))
        .collect()
}

fn feedback_of(statuses: &[Option<i32>], out: &mut Vec<u8>) {
    let head = TransportFeedbackHead {
        sender_ssrc: 1,
        media_ssrc: 7,
        base_sequence: 100,
        reference_time: 5,
        feedback_count: 1,
    };
    assert!(rtcp::transport_feedback(out, &head, statuses).is_ok());
}

/// What each publisher costs ten times a second.
struct Feedback {
    recorder: TransportFeedbackRecorder,
    now: Time,
    sequence: u16,
    out: Vec<u8>,
}

impl Work for Feedback {
    fn operate(&mut self) {
        for status in 0..25 {
            self.sequence = self.sequence.wrapping_add(1);
            self.now = self.now + Span::from_ms(4);
            if status % 12 != 5 {
                self.recorder.on_packet(self.sequence, self.now);
            }
        }
        while let Some(feedback) = self.recorder.build(self.now) {
            self.out.clear();
            feedback_of(feedback.deltas_250us, &mut self.out);
            black_box(&self.out);
        }
    }
}
