//! Guests on their way in: signalling, ICE and DTLS with the server, until
//! everybody has keys.

use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ringhall::base::time::Span;

use super::crowd;
use super::guest::Guest;
use super::options::BackEnd;
use super::server::Server;

/// Time for every guest to connect.
const PATIENCE: Duration = Duration::from_secs(30);

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
            let mut outcome = guest.act(now, socket, to);
            crowd::drain(socket, |_, datagram| {
                let received = guest.receive(now, socket, to, datagram);
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
