//! Socket addresses and control messages as the kernel lays them out, written
//! and read byte by byte: no pointer is needed to look inside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::base::limits::{DATAGRAM_MAX_BYTES, RECEIVE_BUFFER_BYTES};
use crate::core::border::Path;

/// Room for any `sockaddr` we use: `sockaddr_in6` has 28 bytes, rounded up so
/// that what follows it stays aligned.
pub const NAME_BYTES: usize = 32;

/// Room for one packet-info (40 at most) and one segment size (24).
pub const CONTROL_BYTES: usize = 64;

/// `cmsg_len` (8), `cmsg_level` (4), `cmsg_type` (4): 64-bit Linux.
const HEADER_BYTES: usize = 16;

/// `io_uring_recvmsg_out`: lengths of name, control data and payload, and flags.
const OUT_BYTES: usize = 16;
const PAYLOAD_AT: usize = OUT_BYTES + NAME_BYTES + CONTROL_BYTES;

const _: () = assert!(RECEIVE_BUFFER_BYTES >= PAYLOAD_AT + DATAGRAM_MAX_BYTES);
const _: () = assert!(size_of::<libc::cmsghdr>() == HEADER_BYTES);
const _: () = assert!(size_of::<libc::in_pktinfo>() == 12);
const _: () = assert!(size_of::<libc::in6_pktinfo>() == 20);
const _: () = assert!(size_of::<libc::sockaddr_in6>() <= NAME_BYTES);

/// A socket address in the kernel's form.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Name(pub [u8; NAME_BYTES]);

/// A control buffer, aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Control(pub [u8; CONTROL_BYTES]);

impl Name {
    pub const EMPTY: Name = Name([0; NAME_BYTES]);

    /// Writes `address`; returns the bytes used.
    pub fn write(&mut self, address: SocketAddr) -> usize {
        match address {
            SocketAddr::V4(v4) => {
                put(&mut self.0, 0, &(libc::AF_INET as u16).to_ne_bytes());
                put(&mut self.0, 2, &v4.port().to_be_bytes());
                put(&mut self.0, 4, &v4.ip().octets());
                put(&mut self.0, 8, &[0; 8]);
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                put(&mut self.0, 0, &(libc::AF_INET6 as u16).to_ne_bytes());
                put(&mut self.0, 2, &v6.port().to_be_bytes());
                put(&mut self.0, 4, &v6.flowinfo().to_ne_bytes());
                put(&mut self.0, 8, &v6.ip().octets());
                put(&mut self.0, 24, &v6.scope_id().to_ne_bytes());
                size_of::<libc::sockaddr_in6>()
            }
        }
    }
}

/// The address in `name`; `None` if it is of another family or cut short.
pub fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(array(name, 2)?);
    match i32::from(u16::from_ne_bytes(array(name, 0)?)) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(array::<4>(name, 4)?);
            Some(SocketAddr::from((ip, port)))
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(array::<16>(name, 8)?);
            let scope = u32::from_ne_bytes(array(name, 24)?);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

impl Control {
    pub const EMPTY: Control = Control([0; CONTROL_BYTES]);

    /// Names the local address to send from, and the segment size if the
    /// datagram is a train; returns the bytes used.
    pub fn write(&mut self, local: IpAddr, segment_bytes: Option<u16>) -> usize {
        let used = match local {
            IpAddr::V4(ip) => {
                // in_pktinfo: interface (0 = by route), source address, unused.
                let mut info = [0; 12];
                put(&mut info, 4, &ip.octets());
                self.put(0, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
            }
            IpAddr::V6(ip) => {
                let mut info = [0; 20];
                put(&mut info, 0, &ip.octets());
                self.put(0, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
            }
        };
        match segment_bytes {
            None => used,
            Some(bytes) => used + self.put_segments(used, bytes),
        }
    }

    /// Says only the segment size of a train; returns the bytes used.
    pub fn write_segments(&mut self, segment_bytes: u16) -> usize {
        self.put_segments(0, segment_bytes)
    }

    fn put_segments(&mut self, at: usize, bytes: u16) -> usize {
        self.put(at, libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes())
    }

    /// One control message at `at`; returns its aligned length.
    fn put(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let len = HEADER_BYTES + data.len();
        put(&mut self.0, at, &len.to_ne_bytes());
        put(&mut self.0, at + 8, &level.to_ne_bytes());
        put(&mut self.0, at + 12, &kind.to_ne_bytes());
        put(&mut self.0, at + HEADER_BYTES, data);
        aligned(len)
    }
}

/// The local address a datagram was sent to, from its control data.
pub fn read_local(mut control: &[u8]) -> Option<IpAddr> {
    loop {
        let len = usize::from_ne_bytes(array(control, 0)?);
        let level = i32::from_ne_bytes(array(control, 8)?);
        let kind = i32::from_ne_bytes(array(control, 12)?);
        let data = control.get(HEADER_BYTES..len)?;
        match (level, kind) {
            // `ipi_spec_dst`, the address of ours, not `ipi_addr`: they differ
            // for a broadcast, which is nothing one can answer from.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                return Some(Ipv4Addr::from(array::<4>(data, 4)?).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                return Some(Ipv6Addr::from(array::<16>(data, 0)?).into());
            }
            _ => control = control.get(aligned(len)..)?,
        }
    }
}

/// The datagram that a multishot receive left in the first `len` bytes of
/// `buffer`: `io_uring_recvmsg_out` (four words), name, control data, payload,
/// the first three of fixed length. `None` if it was longer than any of ours.
pub fn open_received(buffer: &mut [u8], len: usize) -> Option<(Path, &mut [u8])> {
    let (front, payload) = buffer.get_mut(..len)?.split_at_mut_checked(PAYLOAD_AT)?;
    let word = |at| Some(u32::from_ne_bytes(array(front, at)?));
    let (name_len, control_len, flags) = (word(0)? as usize, word(4)? as usize, word(12)?);
    if flags & libc::MSG_TRUNC as u32 != 0 || payload.len() > DATAGRAM_MAX_BYTES {
        return None;
    }
    let name = front.get(OUT_BYTES..)?.get(..name_len.min(NAME_BYTES))?;
    let control = front.get(OUT_BYTES + NAME_BYTES..)?;
    let control = control.get(..control_len.min(CONTROL_BYTES))?;
    let path = Path {
        local: read_local(control)?,
        remote: read_name(name)?,
    };
    Some((path, payload))
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(8)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = to.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for text in ["127.0.0.1:9", "[::1]:65535", "[fe80::1%7]:4000"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = Name([0xff; NAME_BYTES]);
            let used = name.write(address);
            assert_eq!(read_name(&name.0[..used]), Some(address));
            for cut in 0..used {
                let short = read_name(&name.0[..cut]);
                assert!(short.is_none() || address.is_ipv4() && cut >= 8);
            }
        }
    }

    #[test]
    fn the_kernel_reads_what_we_write() {
        // Compared with the C library's own idea of the layout.
        let mut control = Control::EMPTY;
        let used = control.write([10, 1, 2, 3].into(), Some(1_200));
        let mut header: libc::msghdr = {
            // SAFETY: msghdr is plain data; all zeroes is a valid value.
            unsafe { std::mem::zeroed() }
        };
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used as _;
        // SAFETY: the header points at `used` bytes of an aligned buffer that
        // outlives the walk.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&header);
            assert_eq!((*first).cmsg_level, libc::IPPROTO_IP);
            assert_eq!((*first).cmsg_type, libc::IP_PKTINFO);
            let info: libc::in_pktinfo = libc::CMSG_DATA(first)
                .cast::<libc::in_pktinfo>()
                .read_unaligned();
            assert_eq!(info.ipi_spec_dst.s_addr.to_ne_bytes(), [10, 1, 2, 3]);
            let second = libc::CMSG_NXTHDR(&header, first);
            assert_eq!((*second).cmsg_level, libc::SOL_UDP);
            assert_eq!((*second).cmsg_type, libc::UDP_SEGMENT);
            let size: u16 = libc::CMSG_DATA(second).cast::<u16>().read_unaligned();
            assert_eq!(size, 1_200);
            assert!(libc::CMSG_NXTHDR(&header, second).is_null());
        }
    }

    #[test]
    fn a_local_address_is_found_behind_other_messages() {
        for local in ["10.9.8.7", "fd00::2"] {
            let local: IpAddr = local.parse().unwrap();
            let mut info = Control::EMPTY;
            let used = info.write(local, None);
            let mut bytes = Control::EMPTY;
            let skip = bytes.put(0, libc::SOL_SOCKET, 1, &[1, 2, 3]);
            let mut whole = bytes.0[..skip].to_vec();
            whole.extend_from_slice(&info.0[..used]);
            assert_eq!(read_local(&whole), Some(local));
            for cut in 0..whole.len() {
                // No prefix panics; the aligned tail alone may be missing.
                let _ = read_local(&whole[..cut]);
            }
        }
        assert_eq!(read_local(&[0xff; 64]), None);
        assert_eq!(read_local(&[0; 64]), None);
    }

    #[test]
    fn a_received_buffer_is_believed_only_as_far_as_it_goes() {
        let path = Path {
            local: [10, 1, 2, 3].into(),
            remote: ([192, 0, 2, 9], 5_000).into(),
        };
        let mut name = Name::EMPTY;
        let mut control = Control::EMPTY;
        let name_len = name.write(path.remote) as u32;
        let control_len = control.write(path.local, None) as u32;
        let mut buffer = Vec::new();
        for word in [name_len, control_len, 3, 0] {
            buffer.extend_from_slice(&word.to_ne_bytes());
        }
        buffer.extend_from_slice(&name.0);
        buffer.extend_from_slice(&control.0);
        buffer.extend_from_slice(b"abc");
        let len = buffer.len();
        let (got, payload) = open_received(&mut buffer, len).unwrap();
        assert_eq!((got, &*payload), (path, b"abc".as_slice()));
        for cut in 0..PAYLOAD_AT {
            assert!(open_received(&mut buffer, cut).is_none());
        }
        assert!(open_received(&mut buffer, len + 1).is_none());
        // Lengths beyond their fields are cut to them.
        buffer[..8].fill(0xff);
        assert!(open_received(&mut buffer, len).is_some());
        buffer[12..16].copy_from_slice(&(libc::MSG_TRUNC as u32).to_ne_bytes());
        assert!(open_received(&mut buffer, len).is_none());
    }
}
