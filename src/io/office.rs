//! The two threads that do slow work for the cores, unpinned: one renders
//! snapshots to text, one prints events. Their queues are bounded; a core never
//! waits for either.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;

use super::post::{Parcel, Post};
use crate::base::limits::{EVENT_QUEUE_MAX, RENDER_QUEUE_MAX};
use crate::core::border::{CoreId, Render, Rendered};
use crate::core::mail::Mail;
use crate::ops::event::Event;

/// The answer when rendering itself failed.
const FAILED: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Answers a request: a complete HTTP response.
pub type RenderFn = Arc<dyn Fn(&Render) -> Rendered + Send + Sync>;

/// A core's desk: where it leaves slow work. The threads end when the last desk
/// is gone and their queues are empty.
#[derive(Clone)]
pub struct Office {
    renders: SyncSender<(CoreId, Render)>,
    events: SyncSender<Event>,
    /// Events dropped because the printer was behind.
    unprinted: Arc<AtomicU64>,
}

impl Office {
    pub fn open(
        post: Arc<Post<Mail>>,
        render: RenderFn,
        print: fn(&Event),
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (renders, to_render) = sync_channel(RENDER_QUEUE_MAX);
        let (events, to_print) = sync_channel(EVENT_QUEUE_MAX);
        let threads = vec![
            thread("render", move || run_renders(&to_render, &post, &render))?,
            thread("events", move || run_events(&to_print, print))?,
        ];
        let office = Office {
            renders,
            events,
            unprinted: Arc::default(),
        };
        Ok((office, threads))
    }

    /// Leaves renders of `core`; what a full queue does not take stays.
    pub fn render(&self, core: CoreId, renders: &mut Vec<Render>) {
        if renders.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(renders).into_iter();
        for render in waiting.by_ref() {
            match self.renders.try_send((core, render)) {
                Ok(()) => {}
                Err(TrySendError::Full((_, render))) => {
                    renders.push(render);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        renders.extend(waiting);
    }

    /// Leaves events to print; what a full queue does not take is counted.
    pub fn print(&self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            if self.events.try_send(event).is_err() {
                self.unprinted.fetch_add(1, Relaxed);
            }
        }
    }

    pub fn unprinted(&self) -> u64 {
        self.unprinted.load(Relaxed)
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_string())
        .spawn(run)
}

fn run_renders(renders: &Receiver<(CoreId, Render)>, post: &Post<Mail>, render: &RenderFn) {
    for (core, job) in renders {
        // One bad snapshot must not end monitoring.
        let response = catch_unwind(AssertUnwindSafe(|| render(&job)));
        let response = response.unwrap_or_else(|_| Rendered {
            head: Bytes::from_static(FAILED),
            ..Rendered::default()
        });
        let parcel = Parcel::Rendered {
            connection: job.connection,
            response,
        };
        post.put_parcel(core, parcel);
    }
}

fn run_events(events: &Receiver<Event>, print: fn(&Event)) {
    for event in events {
        print(&event);
    }
}
