//! The sockets of a server: the shared web port and each core's media port.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::sys;
use super::udp::Sockets;
use crate::base::limits::{LINE_SOCKET_BUFFER_BYTES, MEDIA_SOCKET_BUFFER_BYTES};

/// Connections the kernel completes ahead of us, per core: a room joining at once.
const BACKLOG: libc::c_int = 1_024;
/// Tries at finding a port that is free for IPv4 and IPv6 alike.
const PORT_TRIES: usize = 64;

/// A port that could not be had, with the way out.
#[derive(Debug)]
pub struct PortError {
    kind: &'static str,
    key: &'static str,
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PortError {
            kind,
            key,
            address,
            error,
        } = self;
        let port = address.port();
        let letter = if *kind == "TCP" { 't' } else { 'u' };
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => write!(
                f,
                "{kind} port {port} is already in use: stop the program that has it (ss -{letter}lnp \
                 'sport = :{port}' names it) or set {key} to another port"
            ),
            Some(libc::EACCES) => write!(
                f,
                "{kind} port {port} is not allowed for this user: set {key} to a port above 1023, \
                 or grant CAP_NET_BIND_SERVICE"
            ),
            Some(libc::EADDRNOTAVAIL) => write!(
                f,
                "cannot bind {kind} {address}: this host does not have the address {}; set \
                 ip_local to one it has, or leave it empty",
                address.ip()
            ),
            _ => write!(f, "cannot bind {kind} {address}: {error}"),
        }
    }
}

impl std::error::Error for PortError {}

/// One listener per core on one TCP port, which the setting `key` names; port 0
/// chooses one. A foreign
/// listener on the port is an error, although SO_REUSEPORT would let us join it
/// and steal half its connections.
pub fn web_listeners(
    bind_ip: Option<IpAddr>,
    key: &'static str,
    port: u16,
    cores: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), PortError> {
    let ip = bind_ip.unwrap_or(if sys::has_ipv6() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    });
    let mut address = SocketAddr::new(ip, port);
    let fail = |address| {
        move |error| PortError {
            kind: "TCP",
            key,
            address,
            error,
        }
    };
    if port != 0 {
        // Alone, without SO_REUSEPORT: fails if anyone listens.
        patiently(|| web_socket(address, false)).map_err(fail(address))?;
    }
    let mut listeners = Vec::with_capacity(cores);
    for _ in 0..cores.max(1) {
        let listener = web_socket(address, true)
            .and_then(|fd| {
                sys::listen(&fd, BACKLOG)?;
                Ok(TcpListener::from(fd))
            })
            .map_err(fail(address))?;
        // The first one fixes what port 0 means for the others.
        address = listener.local_addr().map_err(fail(address))?;
        listeners.push(listener);
    }
    Ok((address, listeners))
}

fn web_socket(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let domain = domain_of(address.ip());
    let fd = sys::socket(domain, libc::SOCK_STREAM)?;
    let raw = fd.as_raw_fd();
    if domain == libc::AF_INET6 {
        // Serves IPv4 as well; peers then show as ::ffff:a.b.c.d.
        sys::set_option(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    }
    // Old connections in TIME_WAIT do not keep a restart waiting.
    sys::set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if shared {
        sys::set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    sys::bind(&fd, address)?;
    Ok(fd)
}

/// The media sockets of every core: port `from + core`, or any free one if
/// `from` is 0. Adds to `warnings` what the kernel cut short.
pub fn media_sockets(
    bind_ip: Option<IpAddr>,
    from: u16,
    cores: usize,
    warnings: &mut Vec<String>,
) -> Result<Vec<Sockets>, PortError> {
    let mut all = Vec::with_capacity(cores);
    for core in 0..cores {
        let sockets = if from == 0 {
            any_media_port(bind_ip)?
        } else {
            let port = u16::try_from(usize::from(from).saturating_add(core)).unwrap_or(u16::MAX);
            patiently_port(|| media_port(bind_ip, port))?
        };
        all.push(sockets);
    }
    let first = all
        .iter()
        .flat_map(|sockets| sockets.of.iter().flatten())
        .next();
    if let Some(socket) = first {
        warn_of_small_buffers(socket, warnings);
    }
    Ok(all)
}

/// How long a port may still be taken by a server that has just ended: the
/// kernel closes the sockets of an io_uring a little after its process is gone,
/// and a restart must not trip over that.
const TAKEN_MAX: Duration = Duration::from_secs(2);
const TAKEN_LOOK: Duration = Duration::from_millis(50);

/// Tries again while `taken` says that the port is in use, within bounds.
fn retried<T, E>(
    mut bind: impl FnMut() -> Result<T, E>,
    taken: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = Instant::now() + TAKEN_MAX;
    loop {
        match bind() {
            Err(error) if taken(&error) && Instant::now() < deadline => {
                std::thread::sleep(TAKEN_LOOK);
            }
            result => return result,
        }
    }
}

fn patiently<T>(bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    retried(bind, |error| error.kind() == io::ErrorKind::AddrInUse)
}

fn patiently_port<T>(bind: impl FnMut() -> Result<T, PortError>) -> Result<T, PortError> {
    retried(bind, |error| error.error.kind() == io::ErrorKind::AddrInUse)
}

fn any_media_port(bind_ip: Option<IpAddr>) -> Result<Sockets, PortError> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        // Let the kernel choose for one family, then try it for both.
        let ip = bind_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let free = UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr());
        let port = free.map_err(|error| media_error(SocketAddr::new(ip, 0), error))?;
        match media_port(bind_ip, port.port()) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        media_error(anywhere, io::ErrorKind::AddrInUse.into())
    }))
}

fn media_port(bind_ip: Option<IpAddr>, port: u16) -> Result<Sockets, PortError> {
    let both = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let mut sockets = Sockets {
        port,
        of: [None, None],
    };
    for (any, place) in both.into_iter().zip(&mut sockets.of) {
        let ip = match bind_ip {
            None => any,
            Some(ip) if ip.is_ipv4() == any.is_ipv4() => ip,
            Some(_) => continue,
        };
        let address = SocketAddr::new(ip, port);
        match media_socket(address) {
            Ok(socket) => *place = Some(socket),
            // A host without IPv6 still serves IPv4.
            Err(error) if bind_ip.is_none() && ip.is_ipv6() && no_family(&error) => {}
            Err(error) => return Err(media_error(address, error)),
        }
    }
    Ok(sockets)
}

fn no_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn media_error(address: SocketAddr, error: io::Error) -> PortError {
    PortError {
        kind: "UDP",
        key: "media_port_from",
        address,
        error,
    }
}

/// A media socket on `address`: tells each datagram's local address, sends to
/// any path, and never believes a stranger's claim about the path's MTU.
pub fn media_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    media_socket_on(address, false)
}

/// A media socket beside others on a port of ours, which [`share_port`] let in.
pub fn line_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    media_socket_on(address, true)
}

/// Lets further sockets of ours onto the port `socket` has. It was bound alone,
/// so nobody else had the port; others of the same user who ask to share it
/// could from now on.
pub fn share_port(socket: &UdpSocket) -> io::Result<()> {
    sys::set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

fn media_socket_on(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let fd = sys::socket(domain_of(address.ip()), libc::SOCK_DGRAM)?;
    let raw = fd.as_raw_fd();
    if address.is_ipv6() {
        let level = libc::IPPROTO_IPV6;
        sys::set_option(raw, level, libc::IPV6_V6ONLY, 1)?;
        sys::set_option(raw, level, libc::IPV6_RECVPKTINFO, 1)?;
        sys::set_option(
            raw,
            level,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )?;
    } else {
        let level = libc::IPPROTO_IP;
        sys::set_option(raw, level, libc::IP_PKTINFO, 1)?;
        sys::set_option(raw, level, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)?;
    }
    if shared {
        sys::set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    let wanted = match shared {
        true => LINE_SOCKET_BUFFER_BYTES,
        false => MEDIA_SOCKET_BUFFER_BYTES,
    } as libc::c_int;
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        // The first needs CAP_NET_ADMIN; the second is capped by a sysctl.
        if sys::set_option(raw, libc::SOL_SOCKET, force, wanted).is_err() {
            sys::set_option(raw, libc::SOL_SOCKET, plain, wanted)?;
        }
    }
    sys::bind(&fd, address)?;
    Ok(UdpSocket::from(fd))
}

fn warn_of_small_buffers(socket: &UdpSocket, warnings: &mut Vec<String>) {
    for (option, sysctl, what) in [
        (libc::SO_RCVBUF, "net.core.rmem_max", "receive"),
        (libc::SO_SNDBUF, "net.core.wmem_max", "send"),
    ] {
        let got = sys::int_option(socket.as_raw_fd(), libc::SOL_SOCKET, option);
        // The kernel keeps, and tells, twice what was asked for.
        let got_bytes = usize::try_from(got.unwrap_or(0)).unwrap_or(0) / 2;
        if got_bytes < MEDIA_SOCKET_BUFFER_BYTES {
            warnings.push(format!(
                "the kernel cuts the media sockets' {what} buffer to {} KiB: bursts may be lost; \
                 run sysctl -w {sysctl}={MEDIA_SOCKET_BUFFER_BYTES}, or grant CAP_NET_ADMIN",
                got_bytes / 1_024
            ));
        }
    }
}

fn domain_of(ip: IpAddr) -> libc::c_int {
    if ip.is_ipv6() {
        libc::AF_INET6
    } else {
        libc::AF_INET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_listener_is_named_with_the_way_out() {
        let (address, first) = web_listeners(None, "ws.port", 0, 2).unwrap();
        assert_eq!(
            first[0].local_addr().unwrap(),
            first[1].local_addr().unwrap()
        );
        let error = web_listeners(None, "wss.port", address.port(), 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("TCP port {} is already in use", address.port())));
        assert!(error.contains("set wss.port"), "{error}");
    }

    #[test]
    fn a_taken_media_port_is_an_error_and_neighbours_are_consecutive() {
        let free = media_sockets(None, 0, 1, &mut Vec::new()).unwrap();
        let port = free[0].port;
        let error = media_sockets(None, port, 1, &mut Vec::new()).map(|_| ());
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains(&format!("UDP port {port} is already in use")),
            "{text}"
        );
        assert!(text.contains("media_port_from"), "{text}");
    }

    #[test]
    fn an_address_of_another_host_is_explained() {
        let elsewhere = Some([203, 0, 113, 99].into());
        let error = web_listeners(elsewhere, "ws.port", 0, 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains("ip_local"), "{error}");
    }

    #[test]
    fn one_family_when_bound_to_one() {
        let four = media_sockets(Some([127, 0, 0, 1].into()), 0, 1, &mut Vec::new()).unwrap();
        assert!(four[0].of[0].is_some() && four[0].of[1].is_none());
        let six = media_sockets(Some(Ipv6Addr::LOCALHOST.into()), 0, 1, &mut Vec::new()).unwrap();
        assert!(six[0].of[0].is_none() && six[0].of[1].is_some());
    }
}
