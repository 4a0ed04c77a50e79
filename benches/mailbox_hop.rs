//! A packet handed from one core's thread to another's, in batches of 1, 8 and
//! 64: by the server's lanes, by a channel of the standard library, and its
//! copy alone. Sender's side and receiver's together, in one thread, so that
//! waking and waiting are not part of it.
//!
//! `cargo bench --bench mailbox_hop`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::mpsc;

use ringhall::core::CoreId;
use ringhall::io::post::Post;
use shared::micro::{Case, run};

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod meter;
    pub mod micro;
    pub mod samples;
}

const PACKET: [u8; 1_200] = [0x5a; 1_200];

type Packet = Box<[u8]>;

fn main() -> ExitCode {
    let mut out = [0; 1_200];
    let copied = Case::new("copy of a packet", move || {
        out.copy_from_slice(black_box(&PACKET));
        black_box(&out);
    });
    let boxed = Case::new("copy into memory of its own", || {
        black_box(Packet::from(black_box(&PACKET[..])));
    });
    let base = "copy into memory of its own";
    run(
        "mailbox_hop",
        vec![
            copied,
            boxed,
            lane("lane, batches of 1", 1).against(base),
            lane("lane, batches of 8", 8).against(base),
            lane("lane, batches of 64", 64).against(base),
            channel("channel, batches of 1", 1).against(base),
            channel("channel, batches of 8", 8).against(base),
            channel("channel, batches of 64", 64).against(base),
        ],
    )
}

/// One packet a time is put into the outbox; a full batch is delivered, and
/// taken at the other end.
fn lane(name: &'static str, batch: usize) -> Case<'static> {
    let post: Post<Packet> = Post::new(2, |_| 0).expect("an eventfd for each core");
    let (here, there) = (CoreId(0), CoreId(1));
    let mut outbox = Vec::new();
    let mut lanes = [VecDeque::new(), VecDeque::new()];
    post.awake(there);
    Case::new(name, move || {
        outbox.push((there, Packet::from(black_box(&PACKET[..]))));
        if outbox.len() < batch {
            return;
        }
        post.deliver(here, &mut outbox);
        post.collect(there, &mut lanes);
        let taken = lanes[0].drain(..).map(black_box).count();
        assert_eq!(taken, batch);
    })
}

fn channel(name: &'static str, batch: usize) -> Case<'static> {
    let (sender, receiver) = mpsc::channel::<Packet>();
    let mut sent = 0;
    Case::new(name, move || {
        let packet = Packet::from(black_box(&PACKET[..]));
        assert!(sender.send(packet).is_ok());
        sent += 1;
        if sent == batch {
            sent = 0;
            let taken = receiver.try_iter().map(black_box).count();
            assert_eq!(taken, batch);
        }
    })
}
