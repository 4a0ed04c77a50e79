//! Guests on their way in: signalling, ICE and DTLS with the server, until
//! everybody has keys.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ringhall::base::time::Span;
use ringhall::core::{CloseCause, Door, Input, Machine};
use ringhall::proto::dtls::Identity;

use super::crowd;
use super::guest::{Guest, Part, ROOM};
use super::options::BackEnd;
use super::server::Server;

/// Time for every guest to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest connects, joins the bench's room, and offers.
pub fn enter(server: &mut Server, part: Part, number: usize, identity: &Identity) -> Guest {
    let now = server.now();
    let guest = Guest::new(now, part, number, ROOM, identity, server.fingerprint);
    let connection = guest.connection;
    let accepted = Input::Accepted {
        connection,
        peer: ([127, 0, 0, 1], 1).into(),
        door: Door::Plain,
    };
    server.core.handle(now, accepted, &mut server.outbox);
    let bytes = &guest.entrance();
    let written = Input::Bytes { connection, bytes };
    server.core.handle(now, written, &mut server.outbox);
    guest
}

/// A guest hangs up.
pub fn leave(server: &mut Server, guest: &Guest) {
    let closed = Input::Closed {
        connection: guest.connection,
        cause: CloseCause::Ended,
    };
    server.core.handle(server.now(), closed, &mut server.outbox);
}

/// A guest reports from its socket.
pub fn report(guest: &mut Guest, socket: &UdpSocket, to: SocketAddr) -> Result<(), Box<dyn Error>> {
    guest.report(&mut |bytes| socket.send_to(bytes, to).map(|_| ()))
}

/// Connects everyone, each by the socket beside it, over the engine every host
/// has.
pub fn connect(
    server: &mut Server,
    guests: &mut [(&mut Guest, &UdpSocket)],
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let to = server.address(BackEnd::Mmsg);
    while guests.iter().any(|(guest, _)| guest.keys.is_none()) {
        if started.elapsed() > PATIENCE {
            return Err("not everybody got connected".into());
        }
        pass_on_writes(server, guests.iter_mut().map(|(guest, _)| &mut **guest))?;
        server.told = server.told.map(|now| now + Span::from_ms(1));
        let now = server.now();
        for (guest, socket) in guests.iter_mut() {
            let own = socket.local_addr()?;
            let mut send = |bytes: &[u8]| socket.send_to(bytes, to).map(|_| ());
            let mut outcome = guest.act(now, &mut send);
            crowd::drain(socket, |_, datagram| {
                let received = guest.receive(now, own, datagram, &mut send);
                if outcome.is_ok() {
                    outcome = received;
                }
            })?;
            outcome?;
        }
        server.catch_up(BackEnd::Mmsg);
    }
    // The last word of a handshake is the guest's.
    server.catch_up(BackEnd::Mmsg);
    pass_on_writes(server, guests.iter_mut().map(|(guest, _)| &mut **guest))
}

/// Hands everybody what the server wrote to them.
pub fn pass_on_writes<'a>(
    server: &mut Server,
    guests: impl Iterator<Item = &'a mut Guest>,
) -> Result<(), Box<dyn Error>> {
    let writes: Vec<_> = server.outbox.writes.drain(..).collect();
    server.outbox.events.clear();
    if writes.is_empty() {
        return Ok(());
    }
    for guest in guests {
        for (to, bytes) in &writes {
            guest.hear(*to, bytes)?;
        }
    }
    Ok(())
}
