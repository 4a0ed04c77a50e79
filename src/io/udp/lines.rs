//! Connected sockets for busy peers. Of every message a common socket sends, the
//! kernel looks up the route; a socket connected to one peer keeps it, which
//! makes a single datagram a fifth cheaper. So a path that carries much for a
//! while is given a socket of its own, a line: bound beside the common socket to
//! the same port and the address its peer knows us by. It also takes what that
//! peer sends; everybody else's datagrams stay with the common socket.
//!
//! A line is only ever a shortcut. Without one, and whenever one refuses, the
//! common socket does the same work.

use std::io;
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use crate::base::hash::Map;
use crate::base::limits::{
    LINE_BUSY_DATAGRAMS, LINE_IDLE_SWEEPS, LINE_PATHS_MAX, LINES_MAX, LINES_OLD_KERNEL_MAX,
};
use crate::core::border::Path;
use crate::io::sockets::line_socket;
use crate::io::sys;

/// The first kernel that finds a connected socket by its peer. Before, it walks
/// all sockets of the port for each datagram that comes.
const FINDS_BY_PEER: (u32, u32) = (6, 13);

#[derive(Default)]
pub struct Lines {
    /// 0: none.
    max: usize,
    port: u16,
    peers: Map<Path, Peer>,
    slots: Vec<Option<Line>>,
    free: Vec<u32>,
    /// Busy paths without a line.
    wanted: Vec<Path>,
    /// Slots whose receive is not armed.
    unarmed: Vec<u32>,
    /// Slots that are closing and whose receive has ended.
    ended: Vec<u32>,
    /// What the kernel dropped on sockets that are closed.
    closed_drops: u32,
}

/// What is known of a path something was sent on.
#[derive(Default)]
struct Peer {
    /// Sent and received since the last sweep.
    datagrams: u32,
    /// Sweeps since then without any.
    idle: u32,
    slot: Option<u32>,
}

struct Line {
    socket: UdpSocket,
    is_armed: bool,
    is_closing: bool,
}

impl Lines {
    /// Lets up to `max` paths have lines beside a socket on `port`, fewer where
    /// the kernel would walk them all.
    pub fn allow(&mut self, max: usize, port: u16) {
        let is_old = sys::kernel_release() < Some(FINDS_BY_PEER);
        let most = if is_old {
            LINES_OLD_KERNEL_MAX
        } else {
            LINES_MAX
        };
        self.max = max.min(most);
        self.port = port;
        self.peers.reserve(LINE_PATHS_MAX);
        self.slots.resize_with(self.max, || None);
        self.free = (0..self.max as u32).rev().collect();
    }

    /// Counts something sent on `path`; its line, if it has one.
    pub fn on_send(&mut self, path: Path) -> Option<u32> {
        if self.max == 0 {
            return None;
        }
        if let Some(peer) = self.peers.get_mut(&path) {
            peer.datagrams = peer.datagrams.saturating_add(1);
            return peer.slot;
        }
        if self.peers.len() < LINE_PATHS_MAX {
            let peer = Peer {
                datagrams: 1,
                ..Peer::default()
            };
            self.peers.insert(path, peer);
        }
        None
    }

    /// Counts something received. A path we send nothing on is no peer's: who
    /// only floods us gets nothing for it.
    pub fn on_receive(&mut self, path: &Path) {
        if let Some(peer) = self.peers.get_mut(path) {
            peer.datagrams = peer.datagrams.saturating_add(1);
        }
    }

    /// Once a second: finds the paths that have become busy, and hands the slots
    /// of those that fell silent to `close`.
    pub fn sweep(&mut self, mut close: impl FnMut(u32)) {
        let Lines {
            peers,
            slots,
            wanted,
            ended,
            ..
        } = self;
        wanted.clear();
        peers.retain(|path, peer| {
            let datagrams = std::mem::take(&mut peer.datagrams);
            peer.idle = match datagrams {
                0 => peer.idle + 1,
                _ => 0,
            };
            let Some(slot) = peer.slot else {
                if datagrams >= LINE_BUSY_DATAGRAMS {
                    wanted.push(*path);
                }
                return datagrams > 0;
            };
            if peer.idle < LINE_IDLE_SWEEPS {
                return true;
            }
            if let Some(Some(line)) = slots.get_mut(slot as usize) {
                line.is_closing = true;
                match line.is_armed {
                    true => close(slot),
                    false => ended.push(slot),
                }
            }
            false
        });
    }

    /// Gives the next path that wants one a line, while there is room: its slot
    /// and descriptor. A host without room for more sockets is asked again after
    /// the next sweep.
    pub fn open_next(&mut self) -> Option<(u32, RawFd)> {
        let path = self.wanted.pop()?;
        let slot = *self.free.last()?;
        let peer = self.peers.get_mut(&path)?;
        let Ok(socket) = connected(self.port, path) else {
            self.wanted.clear();
            return None;
        };
        let fd = socket.as_raw_fd();
        let place = self.slots.get_mut(slot as usize)?;
        self.free.pop();
        peer.slot = Some(slot);
        *place = Some(Line {
            socket,
            is_armed: false,
            is_closing: false,
        });
        self.unarmed.push(slot);
        Some((slot, fd))
    }

    /// Takes back a line that cannot be used.
    pub fn abandon(&mut self, slot: u32) {
        for peer in self.peers.values_mut() {
            peer.slot = peer.slot.filter(|used| *used != slot);
        }
        if let Some(Some(line)) = self.slots.get_mut(slot as usize) {
            line.is_closing = true;
            self.ended.push(slot);
        }
    }

    /// The next line to arm a receive for, counted as armed from now on.
    pub fn arm_next(&mut self) -> Option<u32> {
        while let Some(slot) = self.unarmed.pop() {
            if let Some(Some(line)) = self.slots.get_mut(slot as usize)
                && !line.is_closing
                && !line.is_armed
            {
                line.is_armed = true;
                return Some(slot);
            }
        }
        None
    }

    /// The receive armed for `slot` has ended, by itself or as told.
    pub fn receive_ended(&mut self, slot: u32) {
        if let Some(Some(line)) = self.slots.get_mut(slot as usize) {
            line.is_armed = false;
            match line.is_closing {
                true => self.ended.push(slot),
                false => self.unarmed.push(slot),
            }
        }
    }

    /// The next slot that nobody uses any more; its socket is closed when the
    /// caller drops it.
    pub fn close_next(&mut self) -> Option<(u32, UdpSocket)> {
        let slot = self.ended.pop()?;
        let line = self.slots.get_mut(slot as usize)?.take()?;
        let drops = sys::socket_drops(line.socket.as_raw_fd());
        self.closed_drops = self.closed_drops.wrapping_add(drops);
        self.free.push(slot);
        Some((slot, line.socket))
    }

    /// Slots with an armed receive.
    pub fn armed(&self) -> impl Iterator<Item = u32> {
        let numbered = (0..).zip(&self.slots);
        numbered.filter_map(|(slot, line)| line.as_ref()?.is_armed.then_some(slot))
    }

    /// Lines there are.
    pub fn count(&self) -> usize {
        self.max - self.free.len()
    }

    /// Datagrams the kernel dropped for want of room in any line's queue, ever.
    pub fn drops(&self) -> u32 {
        let open = self.slots.iter().flatten();
        open.fold(self.closed_drops, |sum, line| {
            sum.wrapping_add(sys::socket_drops(line.socket.as_raw_fd()))
        })
    }
}

/// A socket for `path` alone. Between binding and connecting it may be given
/// others' datagrams, which say whose they are and are handled like any.
fn connected(port: u16, path: Path) -> io::Result<UdpSocket> {
    let local = match path.remote {
        SocketAddr::V6(remote) => match path.local {
            // A link-local address needs its link.
            std::net::IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, remote.scope_id()).into(),
            ip => SocketAddr::new(ip, port),
        },
        SocketAddr::V4(_) => SocketAddr::new(path.local, port),
    };
    let socket = line_socket(local)?;
    socket.connect(path.remote)?;
    Ok(socket)
}
