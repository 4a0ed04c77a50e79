//! The least a machine must do to send every subscriber its packets: copy,
//! rewrite the header, encrypt, hand to the kernel. Nothing of the server is
//! used, no state is kept that the bytes do not need, and every shortcut the
//! fixed task allows is taken: addresses and control data are written once,
//! one subscriber's packets are encrypted back to back, all fit one submission.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::connected::Connected;
use super::options::BackEnd;

/// RTP header without extensions, RFC 3550 section 5.1.
pub const HEADER_BYTES: usize = 12;
/// An RTP packet of browsers' usual size, header included.
pub const PACKET_BYTES: usize = 1_200;
/// RFC 7714 section 5.1.
const TAG_BYTES: usize = 16;
/// One packet as it leaves.
pub const WIRE_BYTES: usize = PACKET_BYTES + TAG_BYTES;

/// One packet-info (28 bytes, aligned) and one segment size.
const CONTROL_BYTES: usize = 64;

/// Room for one message to every subscriber.
const RING_ENTRIES: u32 = 256;

struct Subscriber {
    key: LessSafeKey,
    salt: [u8; 12],
    ssrc: u32,
    /// RFC 3711 section 3.3.1: rollover counter and sequence number.
    index: u64,
    timestamp_offset: u32,
}

pub struct Bare {
    subscribers: Vec<Subscriber>,
    template: [u8; PACKET_BYTES],
    slab: Vec<u8>,
    socket: UdpSocket,
    /// `None` where this host refuses io_uring.
    ring: Option<IoUring>,
    names: Vec<libc::sockaddr_in>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    controls: Vec<[u64; CONTROL_BYTES / 8]>,
    /// A socket for each subscriber instead, if asked for.
    connected: Option<Box<Connected>>,
    timestamp: u32,
}

impl Bare {
    /// Sends to `subscribers` on loopback, at most `longest` packets at once.
    pub fn new(subscribers: &[SocketAddr], longest: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        enlarge_send_buffer(&socket)?;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(RING_ENTRIES)
            .ok();
        if let Some(ring) = &ring {
            ring.submitter().register_files(&[socket.as_raw_fd()])?;
        }
        let count = subscribers.len();
        // SAFETY: `mmsghdr` is plain data; all zeroes is a valid value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let mut bare = Bare {
            subscribers: (0..count).map(subscriber).collect(),
            template: template(),
            slab: vec![0; count * longest * WIRE_BYTES],
            socket,
            ring,
            names: subscribers.iter().map(name).collect(),
            headers: vec![header; count],
            vectors: vec![vector; count],
            controls: vec![[0; CONTROL_BYTES / 8]; count],
            connected: None,
            timestamp: 0,
        };
        for at in 0..count {
            let header = &mut bare.headers[at].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut bare.names[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = &mut bare.vectors[at];
            header.msg_iovlen = 1;
            header.msg_control = bare.controls[at].as_mut_ptr().cast();
        }
        Ok(bare)
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub fn has(&self, back_end: BackEnd) -> bool {
        back_end == BackEnd::Mmsg || self.ring.is_some()
    }

    /// Says once, outside of what is measured, that trains of `k` follow.
    pub fn prepare(&mut self, k: usize) {
        let train_bytes = k * WIRE_BYTES;
        let trains = self.slab.chunks_exact_mut(train_bytes);
        for (at, train) in trains.take(self.subscribers.len()).enumerate() {
            self.vectors[at].iov_base = train.as_mut_ptr().cast();
            self.vectors[at].iov_len = train_bytes;
            let header = &mut self.headers[at].msg_hdr;
            header.msg_controllen = CONTROL_BYTES as _;
            let used = write_control(header, (k > 1).then_some(WIRE_BYTES as u16));
            header.msg_controllen = used as _;
        }
        if let Some(connected) = &mut self.connected {
            connected.prepare(k, &mut self.vectors);
        }
    }

    /// Encrypts the next `k` packets of every subscriber; `prepare` came before.
    pub fn seal(&mut self, k: usize) {
        let mut packets = self.slab.chunks_exact_mut(WIRE_BYTES);
        for subscriber in &mut self.subscribers {
            for number in 0..k {
                let Some(packet) = packets.next() else {
                    return;
                };
                let last = number + 1 == k;
                subscriber.seal(&self.template, self.timestamp, last, packet);
            }
        }
        self.timestamp = self.timestamp.wrapping_add(3_000);
    }

    /// Hands every subscriber's train to the kernel; how many it took.
    pub fn send(&mut self, back_end: BackEnd) -> io::Result<usize> {
        match back_end {
            BackEnd::Mmsg => self.send_mmsg(),
            BackEnd::Uring => self.send_uring(),
        }
    }

    fn send_mmsg(&mut self) -> io::Result<usize> {
        let mut sent = 0;
        while sent < self.headers.len() {
            let rest = &mut self.headers[sent..];
            // SAFETY: `rest` is ours and every header points into this value's
            // vectors, none of which changes length after `new`.
            let took = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if took <= 0 {
                return Err(io::Error::last_os_error());
            }
            sent += took as usize;
        }
        Ok(sent)
    }

    /// Successes are silent: a send that may not wait is complete when it was
    /// submitted, and one that failed leaves a completion.
    fn send_uring(&mut self) -> io::Result<usize> {
        let ring = self.ring.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        for header in &self.headers {
            let entry = opcode::SendMsg::new(types::Fixed(0), &header.msg_hdr)
                .flags(libc::MSG_DONTWAIT as u32)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS);
            // SAFETY: as in `send_mmsg`; the kernel is done with it when
            // `submit` returns.
            let pushed = unsafe { ring.submission().push(&entry) };
            pushed.map_err(|_| io::ErrorKind::StorageFull)?;
        }
        let submitted = ring.submit()?;
        let failed = ring.completion().count();
        Ok(submitted - failed)
    }

    /// Opens a socket for each subscriber, connected to it, all on one port.
    pub fn connect(&mut self, subscribers: &[SocketAddr]) -> io::Result<()> {
        let connected = Connected::new(subscribers)?;
        if let Some(ring) = &self.ring {
            let mut fds = vec![self.socket.as_raw_fd()];
            fds.extend(connected.sockets.iter().map(UdpSocket::as_raw_fd));
            ring.submitter().unregister_files()?;
            ring.submitter().register_files(&fds)?;
        }
        self.connected = Some(Box::new(connected));
        Ok(())
    }

    /// The sockets of [`Bare::connect`].
    pub fn connected_sockets(&self) -> &[UdpSocket] {
        self.connected.as_ref().map_or(&[], |all| &all.sockets)
    }

    /// As [`Bare::send`], each train on its subscriber's socket: with `sendmmsg`
    /// a call for each.
    pub fn send_connected(&mut self, back_end: BackEnd) -> io::Result<usize> {
        let connected = self.connected.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        match (back_end, &mut self.ring) {
            (BackEnd::Mmsg, _) => connected.send(),
            (BackEnd::Uring, Some(ring)) => connected.send_uring(ring),
            (BackEnd::Uring, None) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Decrypts a packet of subscriber `at` and compares it with what was to
    /// be sent; `back` is how many packets ago it was, 0 for the newest.
    pub fn is_genuine(&self, at: usize, back: u64, packet: &mut [u8]) -> bool {
        let subscriber = &self.subscribers[at];
        let index = subscriber.index - 1 - back;
        let Some((header, text)) = packet.split_at_mut_checked(HEADER_BYTES) else {
            return false;
        };
        let nonce = Nonce::assume_unique_for_key(subscriber.nonce(index));
        let opened = subscriber
            .key
            .open_in_place(nonce, Aad::from(&*header), text);
        opened.is_ok_and(|plain| *plain == self.template[HEADER_BYTES..])
            && header[2..4] == (index as u16).to_be_bytes()
            && header[8..12] == subscriber.ssrc.to_be_bytes()
    }
}

impl Subscriber {
    fn seal(
        &mut self,
        template: &[u8; PACKET_BYTES],
        timestamp: u32,
        marker: bool,
        packet: &mut [u8],
    ) {
        let nonce = Nonce::assume_unique_for_key(self.nonce(self.index));
        let (plain, tag) = packet.split_at_mut(PACKET_BYTES);
        plain.copy_from_slice(template);
        let (header, text) = plain.split_at_mut(HEADER_BYTES);
        header[1] |= u8::from(marker) << 7;
        header[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        let timestamp = timestamp.wrapping_add(self.timestamp_offset);
        header[4..8].copy_from_slice(&timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), text);
        tag.copy_from_slice(sealed.expect("a datagram is short enough").as_ref());
        self.index += 1;
    }

    /// RFC 7714 section 8.1.
    fn nonce(&self, index: u64) -> [u8; 12] {
        let place = (u128::from(self.ssrc) << 48) | u128::from(index);
        let mut nonce = self.salt;
        for (to, from) in nonce.iter_mut().zip(&place.to_be_bytes()[4..]) {
            *to ^= from;
        }
        nonce
    }
}

/// Room for a whole flush that the kernel has not delivered yet. What is above
/// the host's limit is granted to root only.
pub fn enlarge_send_buffer(socket: &UdpSocket) -> io::Result<()> {
    let wanted: libc::c_int = 8 << 20;
    let set = |option| {
        // SAFETY: both options take an int, read during the call.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                std::ptr::from_ref(&wanted).cast(),
                size_of_val(&wanted) as libc::socklen_t,
            )
        }
    };
    if set(libc::SO_SNDBUFFORCE) != 0 && set(libc::SO_SNDBUF) != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn subscriber(number: usize) -> Subscriber {
    let byte = number as u8;
    let key = UnboundKey::new(&AES_256_GCM, &[byte; 32]).expect("32 bytes are a key");
    Subscriber {
        key: LessSafeKey::new(key),
        salt: [!byte; 12],
        ssrc: 0x5253_0000 + number as u32,
        index: 1_000 * number as u64,
        timestamp_offset: 0x1357_9bdf_u32.wrapping_mul(number as u32),
    }
}

/// A packet of VP8, payload type 96, inside a frame.
fn template() -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    packet[0] = 0x80;
    packet[1] = 96;
    for (at, byte) in packet[HEADER_BYTES..].iter_mut().enumerate() {
        *byte = at as u8;
    }
    packet
}

fn name(address: &SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(address) = address else {
        panic!("loopback receivers have IPv4 addresses, not {address}");
    };
    socket_name(*address)
}

/// An address in the kernel's form.
pub fn socket_name(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// Names the source address, and the segment size of a train; bytes used.
fn write_control(header: &mut libc::msghdr, segment_bytes: Option<u16>) -> usize {
    let info = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    // SAFETY: the header's control buffer is `CONTROL_BYTES` of aligned memory,
    // as its length says, which holds both messages.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::IPPROTO_IP;
        (*first).cmsg_type = libc::IP_PKTINFO;
        (*first).cmsg_len = libc::CMSG_LEN(size_of_val(&info) as u32) as _;
        libc::CMSG_DATA(first)
            .cast::<libc::in_pktinfo>()
            .write_unaligned(info);
        let used = libc::CMSG_SPACE(size_of_val(&info) as u32) as usize;
        let Some(bytes) = segment_bytes else {
            return used;
        };
        let second = libc::CMSG_NXTHDR(header, first);
        (*second).cmsg_level = libc::SOL_UDP;
        (*second).cmsg_type = libc::UDP_SEGMENT;
        (*second).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(second).cast::<u16>().write_unaligned(bytes);
        used + libc::CMSG_SPACE(size_of::<u16>() as u32) as usize
    }
}
