//! A machine that stands in for the core to test the drivers: it answers
//! datagrams and connections and remembers what it was told.

// Each test file uses its own part.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringhall::base::time::{Span, Time};
use ringhall::core::border::{
    CloseCause, ConnectionId, CoreId, Input, Machine, Outbox, Path, Render, RenderForm, TurnReport,
};
use ringhall::core::trains::TrainCursor;
use ringhall::io::{Backend, IoSettings, Running, start};
use ringhall::ops::event::Event;

pub const BOTH: [Backend; 2] = [Backend::Uring, Backend::Mmsg];

/// One piece of a flood; 40 of them exceed any queue.
static FLOOD_PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

/// What all stand-ins of a server saw.
#[derive(Default)]
pub struct Seen {
    pub datagrams: AtomicU64,
    pub accepted_by_core: [AtomicU64; 8],
    pub closed: Mutex<Vec<CloseCause>>,
    pub reports: Mutex<TurnReport>,
    pub turns: AtomicU64,
    pub shut_down: AtomicU64,
    pub longest_turn_datagrams: AtomicU64,
}

pub struct StandIn {
    core: CoreId,
    seen: Arc<Seen>,
    open: Vec<ConnectionId>,
    timer: Option<(Time, ConnectionId)>,
}

impl StandIn {
    fn answer_datagram(&mut self, path: Path, bytes: &[u8], out: &mut Outbox) {
        self.seen.datagrams.fetch_add(1, SeqCst);
        let mut cursor = TrainCursor::default();
        match bytes {
            b"train" => {
                for number in 0..9_u8 {
                    let len = if number == 8 { 700 } else { 1_200 };
                    out.trains
                        .reserve(&mut cursor, path, len)
                        .unwrap()
                        .fill(number);
                }
            }
            // Misses what the kernel cannot keep meanwhile.
            b"stall" => std::thread::sleep(Duration::from_millis(400)),
            // Costs more time than it takes to send.
            [1, ..] => {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(20) {}
            }
            // Counted, not answered.
            [] | [0, ..] => {}
            _ => out
                .trains
                .reserve(&mut cursor, path, bytes.len())
                .unwrap()
                .copy_from_slice(bytes),
        }
    }

    fn answer_bytes(&mut self, now: Time, id: ConnectionId, bytes: &[u8], out: &mut Outbox) {
        match bytes {
            b"flood" => {
                let piece = bytes::Bytes::from_static(&FLOOD_PIECE);
                out.writes.extend((0..40).map(|_| (id, piece.clone())));
            }
            b"bye" => {
                out.writes.push((id, vec![b'b'; 500_000].into()));
                out.closes.push(id);
            }
            b"render" => out.renders.push(Render {
                connection: id,
                form: RenderForm::Metrics,
                snapshots: Vec::new(),
            }),
            b"event" => out.events.push(Event::SessionRefused { why: "tested" }),
            b"timer" => self.timer = Some((now + Span::from_us(1_500), id)),
            b"panic" => panic!("as told"),
            _ => out.writes.push((id, bytes.to_vec().into())),
        }
    }
}

impl Machine for StandIn {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Datagram { path, bytes } => self.answer_datagram(path, bytes, out),
            Input::Accepted { connection, .. } => {
                self.open.push(connection);
                self.seen.accepted_by_core[usize::from(self.core.0)].fetch_add(1, SeqCst);
            }
            Input::Bytes { connection, bytes } => self.answer_bytes(now, connection, bytes, out),
            Input::Closed { connection, cause } => {
                let known = self.open.iter().position(|id| *id == connection);
                self.open
                    .remove(known.expect("closed once, after accepted"));
                self.seen.closed.lock().unwrap().push(cause);
            }
            Input::Mail { .. } => {}
            Input::Rendered {
                connection,
                response,
            } => {
                out.writes.push((connection, response));
                out.closes.push(connection);
            }
        }
    }

    fn advance(&mut self, now: Time, out: &mut Outbox) {
        let (due, id) = self.timer.take().expect("only when due");
        assert!(now >= due);
        let late = format!("{:>8}", now.since(due).as_us());
        out.writes.push((id, late.into_bytes().into()));
    }

    fn next_deadline(&self) -> Option<Time> {
        self.timer.map(|(due, _)| due)
    }

    fn end_turn(&mut self, report: &TurnReport) {
        self.seen.turns.fetch_add(1, SeqCst);
        let received = u64::from(report.received);
        self.seen.longest_turn_datagrams.fetch_max(received, SeqCst);
        let mut sum = self.seen.reports.lock().unwrap();
        sum.received += report.received;
        sum.trains += report.trains;
        sum.datagrams_sent += report.datagrams_sent;
        sum.send_full += report.send_full;
        sum.send_failed += report.send_failed;
        sum.receive_exhausted += report.receive_exhausted;
    }

    fn shut_down(&mut self, _now: Time, out: &mut Outbox) {
        self.seen.shut_down.fetch_add(1, SeqCst);
        for id in &self.open {
            out.writes.push((*id, b"stopping".as_slice().into()));
        }
    }
}

pub fn settings(backend: Backend, cores: usize) -> IoSettings {
    IoSettings {
        backend,
        cores,
        web_port: 0,
        bind_ip: None,
        media_port_from: 0,
        render: |render| format!("rendered {:?}", render.form).into_bytes(),
        print: |_| {
            EVENTS_PRINTED.fetch_add(1, SeqCst);
        },
    }
}

pub static EVENTS_PRINTED: AtomicU64 = AtomicU64::new(0);

pub fn serve(settings: &IoSettings) -> (Running, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let shared = Arc::clone(&seen);
    let running = start(settings, move |core, _| StandIn {
        core,
        seen: Arc::clone(&shared),
        open: Vec::new(),
        timer: None,
    });
    (running.unwrap(), seen)
}

/// Waits up to `patience` for `what`.
pub fn within(patience: Duration, mut what: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !what() {
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
