//! Which addresses the server tells browsers to send media to.

use std::fmt;
use std::io;
use std::net::IpAddr;

use super::udp::message::{NAME_BYTES, read_name};

/// The addresses to announce, best first, and what is doubtful about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    pub addresses: Vec<IpAddr>,
    pub warnings: Vec<String>,
}

/// Why the configured addresses cannot be announced: the configuration's fault,
/// or the host's for the last.
#[derive(Debug)]
pub enum AddressError {
    NotAnAddress(String),
    Unspecified(IpAddr),
    Host(io::Error),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::NotAnAddress(text) => write!(
                f,
                "ip={text:?}: not an IP address; write addresses like 203.0.113.7 or 2001:db8::7, \
                 separated by commas"
            ),
            AddressError::Unspecified(ip) => write!(
                f,
                "ip={ip}: browsers cannot send there; name an address they reach, or leave ip \
                 empty to announce all of this host"
            ),
            AddressError::Host(error) => write!(f, "cannot list this host's addresses: {error}"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Decides what to announce: the `configured` addresses in their order (they
/// need not be on this host: a NAT may carry them), else `bind_ip`, else every
/// address of this host that is up, loopback last.
pub fn announced(
    configured: &[String],
    bind_ip: Option<IpAddr>,
) -> Result<Announced, AddressError> {
    let bind_ip = bind_ip.filter(|ip| !ip.is_unspecified());
    let mut announced = Announced::default();
    for text in configured {
        let ip: IpAddr = text
            .trim()
            .parse()
            .map_err(|_| AddressError::NotAnAddress(text.clone()))?;
        if ip.is_unspecified() {
            return Err(AddressError::Unspecified(ip));
        }
        if !announced.addresses.contains(&ip) {
            announced.addresses.push(ip);
        }
    }
    if configured.is_empty() {
        announced.addresses = match bind_ip {
            Some(ip) => vec![ip],
            None => host_addresses().map_err(AddressError::Host)?,
        };
    }
    if let Some(bound) = bind_ip {
        let doubts = announced
            .addresses
            .iter()
            .filter_map(|ip| doubt(*ip, bound));
        announced.warnings = doubts.collect();
    }
    if announced.addresses.is_empty() {
        announced.warnings.push(
            "this host has no address to announce: set ip to one that browsers reach".to_string(),
        );
    }
    Ok(announced)
}

/// Why media sent to `ip` cannot reach a socket bound to `bound`.
fn doubt(ip: IpAddr, bound: IpAddr) -> Option<String> {
    let why = if ip.is_ipv4() != bound.is_ipv4() {
        "is of the other address family"
    } else if bound.is_loopback() && !ip.is_loopback() {
        "is not loopback"
    } else if ip.is_loopback() && !bound.is_loopback() {
        "is loopback"
    } else {
        return None;
    };
    Some(format!(
        "announced address {ip} {why}, but media is received on ip_local={bound} only: browsers \
         will not reach it"
    ))
}

/// Addresses of all interfaces that are up, without IPv6 link-local ones (they
/// need a zone that SDP cannot carry); IPv4 first, loopback last.
fn host_addresses() -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for_each_interface(|flags, name| {
        let up = libc::IFF_UP as libc::c_uint;
        if flags & up == 0 {
            return;
        }
        let Some(ip) = read_name(name).map(|address| address.ip()) else {
            return;
        };
        let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if !link_local && !found.contains(&ip) {
            found.push(ip);
        }
    })?;
    found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    Ok(found)
}

/// Calls `see` with the flags and the socket address of every interface address
/// that has one.
fn for_each_interface(mut see: impl FnMut(libc::c_uint, &[u8])) -> io::Result<()> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the C library writes the list's head to `list`.
    super::sys::check(unsafe { libc::getifaddrs(&mut list) })?;
    let mut at = list;
    while !at.is_null() {
        // SAFETY: `at` is a node of the list, which is freed only below.
        let node = unsafe { &*at };
        at = node.ifa_next;
        if node.ifa_addr.is_null() {
            continue;
        }
        // SAFETY: every address starts with its family.
        let family = unsafe { (*node.ifa_addr).sa_family };
        let len = match libc::c_int::from(family) {
            libc::AF_INET => size_of::<libc::sockaddr_in>(),
            libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
            _ => continue,
        };
        debug_assert!(len <= NAME_BYTES);
        // SAFETY: an address of this family has `len` bytes.
        let name = unsafe { std::slice::from_raw_parts(node.ifa_addr.cast::<u8>(), len) };
        see(node.ifa_flags, name);
    }
    // SAFETY: the list came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn by_default_everything_that_is_up_with_loopback_last() {
        let all = announced(&[], None).unwrap();
        assert!(all.addresses.contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(all.addresses.last().unwrap().is_loopback());
        assert!(all.warnings.is_empty());
        assert!(
            !all.addresses
                .iter()
                .any(|ip| { matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()) })
        );
    }

    #[test]
    fn configured_addresses_keep_their_order_and_may_be_foreign() {
        let told = announced(
            &texts(&["203.0.113.7", " 2001:db8::7", "203.0.113.7"]),
            None,
        );
        let expected: Vec<IpAddr> = vec![
            "203.0.113.7".parse().unwrap(),
            "2001:db8::7".parse().unwrap(),
        ];
        assert_eq!(told.unwrap().addresses, expected);
    }

    #[test]
    fn what_no_browser_could_use_is_refused() {
        for bad in [
            "",
            "localhost",
            "1.2.3",
            "1.2.3.4:5",
            "::1%lo",
            "0.0.0.0",
            "::",
        ] {
            let error = announced(&texts(&[bad]), None).unwrap_err().to_string();
            assert!(error.contains("ip="), "{error}");
        }
    }

    #[test]
    fn a_bind_address_is_announced_and_contradictions_are_told() {
        let bound: IpAddr = [127, 0, 0, 1].into();
        let alone = announced(&[], Some(bound)).unwrap();
        assert_eq!((alone.addresses, alone.warnings.len()), (vec![bound], 0));
        let odd = announced(&texts(&["203.0.113.7", "::1", "127.0.0.1"]), Some(bound)).unwrap();
        assert_eq!(odd.warnings.len(), 2);
        let wide = announced(&texts(&["127.0.0.1"]), Some([203, 0, 113, 7].into())).unwrap();
        assert!(
            wide.warnings[0].contains("is loopback"),
            "{:?}",
            wide.warnings
        );
    }
}
