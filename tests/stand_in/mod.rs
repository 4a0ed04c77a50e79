//! A machine that stands in for the core to test the drivers: it answers
//! datagrams and connections and remembers what it was told.

// Each test file uses its own part.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhall::base::time::{Span, Time};
use ringhall::core::border::{
    CloseCause, ConnectionId, CoreId, Door, Input, Machine, Outbox, Path, Render, RenderForm,
    Rendered, TurnReport,
};
use ringhall::core::trains::TrainCursor;
use ringhall::io::{Backend, DeskSettings, IoSettings, Running, start};
use ringhall::ops::event::Event;

pub const BOTH: [Backend; 2] = [Backend::Uring, Backend::Mmsg];

/// One piece of a flood; 40 of them exceed any queue.
static FLOOD_PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

/// A long body, written at its reader's pace.
pub const BODY_BYTES: usize = 20 << 20;

pub fn body_byte(at: usize) -> u8 {
    (at * 7 / 5) as u8
}

/// What all stand-ins of a server saw.
#[derive(Default)]
pub struct Seen {
    pub datagrams: AtomicU64,
    pub accepted_by_core: [AtomicU64; 8],
    pub accepted_by_tls: AtomicU64,
    pub closed: Mutex<Vec<CloseCause>>,
    pub drained: AtomicU64,
    /// Bytes of [`BODY_BYTES`] handed to the driver.
    pub body_bytes: AtomicU64,
    pub certificates_by_core: [AtomicU64; 8],
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
    /// Bodies on their way, with what is left of each.
    bodies: Vec<(ConnectionId, usize)>,
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
                let piece = Bytes::from_static(&FLOOD_PIECE);
                out.writes.extend((0..40).map(|_| (id, piece.clone())));
            }
            b"body" => {
                self.bodies.push((id, BODY_BYTES));
                out.drains.push(id);
            }
            b"drain" => {
                out.writes.push((id, vec![b'd'; 300_000].into()));
                out.drains.push(id);
            }
            b"bye" => {
                out.writes.push((id, vec![b'b'; 500_000].into()));
                out.closes.push(id);
            }
            b"render" => out.renders.push(Render {
                connection: id,
                form: RenderForm::Metrics,
                snapshots: Vec::new(),
                keep_alive: false,
                head_only: false,
            }),
            b"event" => out.events.push(Event::SessionRefused { why: "tested" }),
            b"timer" => self.timer = Some((now + Span::from_us(1_500), id)),
            b"panic" => panic!("as told"),
            _ => out.writes.push((id, bytes.to_vec().into())),
        }
    }
}

impl StandIn {
    /// Writes the next piece of a body, or closes after the last.
    fn go_on(&mut self, id: ConnectionId, out: &mut Outbox) {
        self.seen.drained.fetch_add(1, SeqCst);
        let Some((_, left)) = self.bodies.iter_mut().find(|(of, _)| *of == id) else {
            return;
        };
        if *left == 0 {
            out.closes.push(id);
            return;
        }
        let at = BODY_BYTES - *left;
        let len = (*left).min(64 << 10);
        *left -= len;
        self.seen.body_bytes.fetch_add(len as u64, SeqCst);
        let piece: Vec<u8> = (at..at + len).map(body_byte).collect();
        out.writes.push((id, piece.into()));
        out.drains.push(id);
    }
}

impl Machine for StandIn {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Datagram { path, bytes } => self.answer_datagram(path, bytes, out),
            Input::Accepted {
                connection, door, ..
            } => {
                self.open.push(connection);
                if door == Door::Tls {
                    self.seen.accepted_by_tls.fetch_add(1, SeqCst);
                }
                self.seen.accepted_by_core[usize::from(self.core.0)].fetch_add(1, SeqCst);
            }
            Input::Bytes { connection, bytes } => self.answer_bytes(now, connection, bytes, out),
            Input::Closed { connection, cause } => {
                let known = self.open.iter().position(|id| *id == connection);
                self.open
                    .remove(known.expect("closed once, after accepted"));
                self.seen.closed.lock().unwrap().push(cause);
            }
            Input::Drained { connection } => {
                assert!(self.open.contains(&connection), "not after its end");
                self.go_on(connection, out);
            }
            Input::Certificate(_) => {
                self.seen.certificates_by_core[usize::from(self.core.0)].fetch_add(1, SeqCst);
            }
            Input::Mail { .. }
            | Input::WallClock { .. }
            | Input::Transcoded(_)
            | Input::File { .. } => {}
            Input::Rendered {
                connection,
                response,
            } => {
                out.writes.push((connection, response.head));
                out.writes.push((connection, response.body));
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
        tls_port: None,
        rtmp_port: None,
        rtmps_port: None,
        transcode_threads: 1,
        records: DeskSettings::default(),
        bind_ip: None,
        connected_max: 8,
        media_port_from: 0,
        render: Arc::new(|render| Rendered {
            head: format!("rendered {:?}", render.form).into(),
            ..Rendered::default()
        }),
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
        bodies: Vec::new(),
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
