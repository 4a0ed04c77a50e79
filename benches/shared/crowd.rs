//! The far ends: one loopback socket for each subscriber, emptied between
//! measurements.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Longer than any datagram sent here.
const DATAGRAM_MAX_BYTES: usize = 2_048;

pub struct Crowd {
    /// In the order of the subscribers.
    pub sockets: Vec<UdpSocket>,
}

impl Crowd {
    pub fn new(count: usize) -> io::Result<Self> {
        let sockets = (0..count).map(|_| receiver()).collect::<io::Result<_>>()?;
        Ok(Crowd { sockets })
    }

    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Empties every socket: subscriber, port it came from, datagram.
    pub fn drain(&self, mut each: impl FnMut(usize, u16, &mut [u8])) -> io::Result<()> {
        for (at, socket) in self.sockets.iter().enumerate() {
            drain(socket, |port, bytes| each(at, port, bytes))?;
        }
        Ok(())
    }
}

/// A loopback socket that never waits.
pub fn receiver() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Empties one socket: port it came from, datagram.
pub fn drain(socket: &UdpSocket, mut each: impl FnMut(u16, &mut [u8])) -> io::Result<()> {
    let mut buffer = [0; DATAGRAM_MAX_BYTES];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => each(from.port(), &mut buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
