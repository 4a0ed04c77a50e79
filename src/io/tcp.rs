//! A core's TCP connections: tasks that read and write on the core's thread and
//! a hub where the turn meets them. Each connection has at most one chunk
//! waiting for the turn and a bounded queue waiting for its peer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::sync::Notify;

use super::stream::{Listener, Stream};
use super::sys;
use crate::base::hash::Map;
use crate::base::limits::{
    CONNECTION_QUEUE_MAX_BYTES, CONNECTION_READ_BYTES, CONNECTION_STREAM_READ_BYTES,
    CONNECTION_WRITE_BYTES, CONNECTIONS_PER_CORE_MAX,
};
use crate::core::border::{CloseCause, ConnectionId, CoreId, Door};

/// From the wish to close until a peer that has everything and does not close
/// its end, or takes nothing of what is left, is cut off.
pub const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Who sent this much on a port for encoders is one. From then on its messages
/// are gathered: it sends a picture and the sound beside it right after each
/// other, in several pieces each, and one turn for all of them costs a fraction;
/// so does one write to each player, which wakes it once.
const STREAM_MIN_BYTES: usize = 64 << 10;
/// How long they are gathered. The runtime's clock rounds up to a whole
/// millisecond, so that media waits 2 ms at most.
const STREAM_GATHER: Duration = Duration::from_millis(1);
/// Messages one system call writes without copying them together; a turn that
/// has more for one connection is rare.
const WRITE_PIECES_MAX: usize = 16;

/// What happened on a connection, for the turn.
pub enum TcpEvent {
    Accepted(Rc<Connection>),
    /// A chunk waits in [`Connection::chunk`].
    Bytes(Rc<Connection>),
    /// Everything written so far has left, as [`Hub::drain`] asked to know.
    Drained(Rc<Connection>),
    Closed(Rc<Connection>, CloseCause),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// No more input is wanted; what is queued still leaves.
    Closing,
    /// Cut: nothing is read or written any more.
    Dead,
}

/// Where the wish of [`Hub::drain`] stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    Unasked,
    Awaited,
    /// The event waits for the turn.
    Announced,
}

/// How far [`Connection::write_now`] came.
enum Written {
    All,
    UntilFull,
}

pub struct Connection {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    /// The port it came to.
    pub door: Door,
    stream: Stream,
    state: Cell<State>,
    /// The turn was, or will be, told of the end.
    told: Cell<bool>,
    failed: Cell<bool>,
    chunk: RefCell<Vec<u8>>,
    chunk_returned: Notify,
    queue: RefCell<VecDeque<Bytes>>,
    /// In the queue or being written.
    queued_bytes: Cell<usize>,
    drain: Cell<Drain>,
    work: Notify,
}

impl Connection {
    /// The chunk just read, for the turn to look at.
    pub fn chunk(&self) -> Chunk<'_> {
        Chunk {
            connection: self,
            bytes: self.chunk.take(),
        }
    }

    /// Whether input is still for the machine.
    pub fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Whether an encoder may be at the other end.
    fn may_stream(&self) -> bool {
        matches!(self.door, Door::Rtmp | Door::Rtmps)
    }

    /// Lets what is queued leave, then closes; cuts a peer that has all of it, or
    /// took nothing of it for [`CLOSE_GRACE`].
    fn close(self: &Rc<Self>) {
        if self.state.get() != State::Open {
            return;
        }
        self.state.set(State::Closing);
        self.work.notify_one();
        let weak: Weak<Self> = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            let mut left = usize::MAX;
            loop {
                tokio::time::sleep(CLOSE_GRACE).await;
                let Some(connection) = weak.upgrade() else {
                    return;
                };
                // A slow reader gets the rest while it takes some of it.
                let now_left = connection.unread_bytes();
                if now_left == 0 || now_left >= left {
                    return connection.cut();
                }
                left = now_left;
            }
        });
    }

    /// Written and not yet acknowledged by the peer: queued here, or in the kernel.
    fn unread_bytes(&self) -> usize {
        self.queued_bytes.get() + sys::unacknowledged_bytes(self.stream.fd())
    }

    /// Ends the connection now. Operations in flight complete at once; none is
    /// ever dropped.
    fn cut(&self) {
        if self.state.replace(State::Dead) != State::Dead {
            self.queue.borrow_mut().clear();
            sys::reset_on_close(self.stream.fd());
            sys::shut(self.stream.fd(), libc::SHUT_RDWR);
            self.work.notify_one();
        }
    }

    /// Writes what the socket takes at once.
    fn write_now(&self) -> io::Result<Written> {
        let mut queue = self.queue.borrow_mut();
        while !queue.is_empty() {
            let mut pieces = [io::IoSlice::new(&[]); WRITE_PIECES_MAX];
            let count = queue.len().min(WRITE_PIECES_MAX);
            for (piece, bytes) in pieces.iter_mut().zip(queue.iter()) {
                *piece = io::IoSlice::new(bytes);
            }
            let pieces = pieces.get(..count).unwrap_or_default();
            let sent = match sys::send_now(self.stream.fd(), pieces) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Written::UntilFull);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.wrote(sent);
            take_front(&mut queue, sent);
        }
        Ok(Written::All)
    }

    fn wrote(&self, bytes: usize) {
        let left = self.queued_bytes.get().saturating_sub(bytes);
        self.queued_bytes.set(left);
    }

    fn fail(&self) {
        self.failed.set(true);
        self.cut();
    }

    /// Moves queued bytes to `to`, up to one write's worth.
    fn gather(&self, to: &mut Vec<u8>) {
        let mut queue = self.queue.borrow_mut();
        while to.len() < CONNECTION_WRITE_BYTES {
            let Some(mut bytes) = queue.pop_front() else {
                break;
            };
            let room = CONNECTION_WRITE_BYTES - to.len();
            if bytes.len() > room {
                to.extend_from_slice(&bytes.split_to(room));
                queue.push_front(bytes);
            } else {
                to.extend_from_slice(&bytes);
            }
        }
    }
}

/// A chunk lent to the turn. Dropping it, be it by a panic, gives the buffer
/// back to the connection's reader, which reads on.
pub struct Chunk<'a> {
    connection: &'a Connection,
    pub bytes: Vec<u8>,
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.connection.chunk.replace(bytes);
        self.connection.chunk_returned.notify_one();
    }
}

/// Where a core's turn meets its connections.
pub struct Hub {
    core: CoreId,
    connections: RefCell<Map<ConnectionId, Rc<Connection>>>,
    events: RefCell<VecDeque<TcpEvent>>,
    waker: RefCell<Option<Waker>>,
    issued: Cell<u64>,
    /// Connections whose tasks still run.
    live: Cell<usize>,
    /// Doors still accepting.
    accepting: Cell<usize>,
    stopping: Cell<bool>,
}

impl Hub {
    /// For as many calls of [`Hub::accept_all`] as there are `doors`.
    pub fn new(core: CoreId, doors: usize) -> Rc<Self> {
        Rc::new(Hub {
            core,
            connections: RefCell::default(),
            events: RefCell::default(),
            waker: RefCell::default(),
            issued: Cell::new(0),
            live: Cell::new(0),
            accepting: Cell::new(doors),
            stopping: Cell::new(false),
        })
    }

    /// Accepts until [`Hub::stop`] shuts the listener.
    pub async fn accept_all(self: Rc<Self>, listener: Rc<Listener>, door: Door) {
        while !self.stopping.get() {
            match listener.accept().await {
                Ok((stream, peer)) => self.accepted(stream, peer, door),
                Err(error) if is_about_the_peer(&error) => {}
                Err(_) if self.stopping.get() => break,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        self.accepting.set(self.accepting.get().saturating_sub(1));
        self.wake();
    }

    fn accepted(self: &Rc<Self>, stream: Stream, peer: SocketAddr, door: Door) {
        if self.stopping.get() || self.live.get() >= CONNECTIONS_PER_CORE_MAX {
            // Closing tells the client at once; an unanswered one would wait.
            return;
        }
        // Signalling messages are small and awaited.
        let _ = sys::set_option(stream.fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        let number = self.issued.get() + 1;
        self.issued.set(number);
        let connection = Rc::new(Connection {
            // The core in front makes it unique in the process, too.
            id: ConnectionId(u64::from(self.core.0) << 48 | number),
            peer,
            door,
            stream,
            state: Cell::new(State::Open),
            told: Cell::new(false),
            failed: Cell::new(false),
            chunk: RefCell::default(),
            chunk_returned: Notify::new(),
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            drain: Cell::new(Drain::Unasked),
            work: Notify::new(),
        });
        self.live.set(self.live.get() + 1);
        let id = connection.id;
        self.connections
            .borrow_mut()
            .insert(id, Rc::clone(&connection));
        self.put(TcpEvent::Accepted(Rc::clone(&connection)));
        tokio::task::spawn_local(serve(Rc::clone(self), connection));
    }

    fn put(&self, event: TcpEvent) {
        self.events.borrow_mut().push_back(event);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The next event; after `Closed` the connection is unknown here.
    pub fn take(&self) -> Option<TcpEvent> {
        loop {
            let event = self.events.borrow_mut().pop_front();
            match &event {
                Some(TcpEvent::Closed(connection, _)) => {
                    self.connections.borrow_mut().remove(&connection.id);
                }
                Some(TcpEvent::Drained(connection)) if connection.queued_bytes.get() > 0 => {
                    // Written to since: the wish stands for that as well.
                    connection.drain.set(Drain::Awaited);
                    continue;
                }
                Some(TcpEvent::Drained(connection)) => connection.drain.set(Drain::Unasked),
                _ => {}
            }
            return event;
        }
    }

    /// Whether events wait; if not, `waker` is woken by the next.
    pub fn has_events(&self, waker: &Waker) -> bool {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        !self.events.borrow().is_empty()
    }

    /// Queues bytes to write. A peer too far behind is cut, and the turn told.
    pub fn write(&self, id: ConnectionId, bytes: Bytes) {
        let connections = self.connections.borrow();
        let Some(connection) = connections.get(&id).filter(|c| c.is_open()) else {
            return;
        };
        let waiting = connection.queued_bytes.get();
        // To an empty queue anything goes: the machine bounds its messages.
        if waiting > 0 && waiting + bytes.len() > CONNECTION_QUEUE_MAX_BYTES {
            connection.cut();
            self.tell_closed(connection, CloseCause::Overflow);
            return;
        }
        connection.queued_bytes.set(waiting + bytes.len());
        connection.queue.borrow_mut().push_back(bytes);
        connection.work.notify_one();
    }

    /// Wishes one [`TcpEvent::Drained`] once everything written has left; at
    /// once if it has. A wish while another stands changes nothing.
    pub fn drain(&self, id: ConnectionId) {
        let connections = self.connections.borrow();
        let Some(connection) = connections.get(&id) else {
            return;
        };
        if connection.drain.get() == Drain::Unasked {
            connection.drain.set(Drain::Awaited);
            self.tell_drained(connection);
        }
    }

    /// Tells the turn, if it wishes to know, that nothing is left to write.
    fn tell_drained(&self, connection: &Rc<Connection>) {
        let awaited = connection.drain.get() == Drain::Awaited;
        if awaited && connection.queued_bytes.get() == 0 && !connection.told.get() {
            connection.drain.set(Drain::Announced);
            self.put(TcpEvent::Drained(Rc::clone(connection)));
        }
    }

    pub fn close(&self, id: ConnectionId) {
        if let Some(connection) = self.connections.borrow().get(&id) {
            connection.close();
        }
    }

    fn tell_closed(&self, connection: &Rc<Connection>, cause: CloseCause) {
        if !connection.told.replace(true) {
            self.put(TcpEvent::Closed(Rc::clone(connection), cause));
        }
    }

    /// Stops accepting and closes every connection, each after its queue.
    pub fn stop(&self, listeners: &[(Door, Rc<Listener>)]) {
        self.stopping.set(true);
        for (_, listener) in listeners {
            // Completes the accept in flight.
            sys::shut(listener.fd(), libc::SHUT_RD);
        }
        for connection in self.connections.borrow().values() {
            connection.close();
        }
    }

    /// Cuts what [`Hub::stop`] did not end in time.
    pub fn cut_all(&self) {
        for connection in self.connections.borrow().values() {
            connection.cut();
        }
    }

    /// No task and no operation of ours is left.
    pub fn is_idle(&self) -> bool {
        self.live.get() == 0 && self.accepting.get() == 0
    }
}

/// One connection's life: reads until the end, then waits for its writer.
async fn serve(hub: Rc<Hub>, connection: Rc<Connection>) {
    let writer = tokio::task::spawn_local(write_to_end(Rc::clone(&hub), Rc::clone(&connection)));
    let cause = read_to_end(&hub, &connection).await;
    hub.tell_closed(&connection, cause);
    connection.close();
    let _ = writer.await;
    hub.live.set(hub.live.get() - 1);
    hub.wake();
}

async fn read_to_end(hub: &Hub, connection: &Rc<Connection>) -> CloseCause {
    let mut buffer = Vec::with_capacity(CONNECTION_READ_BYTES);
    let mut read_bytes = 0;
    loop {
        let is_streaming = connection.may_stream() && read_bytes > STREAM_MIN_BYTES;
        if is_streaming && buffer.capacity() < CONNECTION_STREAM_READ_BYTES {
            buffer = Vec::with_capacity(CONNECTION_STREAM_READ_BYTES);
        }
        let (result, back) = connection.stream.read(buffer).await;
        buffer = back;
        match result {
            Ok(0) if connection.failed.get() => return CloseCause::Failed,
            Ok(0) => return CloseCause::Ended,
            Ok(read) => read_bytes += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return CloseCause::Failed,
        }
        if is_streaming && buffer.len() < buffer.capacity() {
            tokio::time::sleep(STREAM_GATHER).await;
            // An end is there at the next read, too; an error only once.
            let more = sys::receive_now(connection.stream.fd(), &mut buffer);
            if more.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
                connection.failed.set(true);
            }
        }
        // Once closing, input is only read to see its end.
        if connection.is_open() {
            connection.chunk.replace(buffer);
            hub.put(TcpEvent::Bytes(Rc::clone(connection)));
            // No further read until the turn has had this one: a peer that
            // floods waits in its own socket.
            connection.chunk_returned.notified().await;
            buffer = connection.chunk.take();
        }
    }
}

/// Writes at once what the socket has room for: that spares an operation for
/// each message its submission, its completion and a copy. What finds the socket
/// full waits for room in an operation of the runtime's.
async fn write_to_end(hub: Rc<Hub>, connection: Rc<Connection>) {
    let mut buffer = Vec::new();
    loop {
        match connection.write_now() {
            Ok(Written::All) => {
                hub.tell_drained(&connection);
                match connection.state.get() {
                    State::Open => connection.work.notified().await,
                    State::Closing => {
                        sys::shut(connection.stream.fd(), libc::SHUT_WR);
                        return;
                    }
                    State::Dead => return,
                }
                continue;
            }
            Ok(Written::UntilFull) => {}
            Err(_) => return connection.fail(),
        }
        buffer.clear();
        connection.gather(&mut buffer);
        let len = buffer.len();
        let (result, back) = connection.stream.write_all(buffer).await;
        buffer = back;
        connection.wrote(len);
        if result.is_err() {
            return connection.fail();
        }
        // One slow reader does not keep this memory for the connection's life.
        buffer.shrink_to(CONNECTION_READ_BYTES);
    }
}

/// Removes that many bytes from the front of a queue.
fn take_front(queue: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = queue.front_mut() {
        if front.len() > count {
            return front.advance(count);
        }
        count -= front.len();
        queue.pop_front();
    }
}

/// Whether an accept failed because of that one connection.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::ECONNRESET)
    )
}
