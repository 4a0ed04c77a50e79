//! A connected socket for each subscriber: the kernel keeps the route with the
//! socket and need not look it up for each message. Which message goes where is
//! said by the socket, so no system call but io_uring's takes several.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{IoUring, opcode, squeue, types};

use super::bare::{WIRE_BYTES, enlarge_send_buffer, socket_name};

/// One segment size.
const CONTROL_BYTES: usize = 32;

pub struct Connected {
    pub sockets: Vec<UdpSocket>,
    headers: Vec<libc::msghdr>,
    controls: Vec<[u64; CONTROL_BYTES / 8]>,
}

impl Connected {
    pub fn new(subscribers: &[SocketAddr]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let mut port = 0;
        for subscriber in subscribers {
            let socket = bind_beside(port)?;
            port = socket.local_addr()?.port();
            socket.connect(subscriber)?;
            enlarge_send_buffer(&socket)?;
            sockets.push(socket);
        }
        // SAFETY: `msghdr` is plain data; all zeroes is a valid value.
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        Ok(Connected {
            headers: vec![header; sockets.len()],
            controls: vec![[0; CONTROL_BYTES / 8]; sockets.len()],
            sockets,
        })
    }

    /// Trains of `k` follow, in `vectors`, which stay where they are.
    pub fn prepare(&mut self, k: usize, vectors: &mut [libc::iovec]) {
        let all = self.headers.iter_mut().zip(&mut self.controls).zip(vectors);
        for ((header, control), vector) in all {
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = match k {
                1 => 0,
                _ => CONTROL_BYTES as _,
            };
            if k > 1 {
                header.msg_controllen = write_segment_size(header) as _;
            }
        }
    }

    /// Hands every train to the kernel, one by one; how many it took.
    pub fn send(&self) -> io::Result<usize> {
        for (socket, header) in self.sockets.iter().zip(&self.headers) {
            // SAFETY: the header points into this value's controls and at
            // vectors and bytes that its owner keeps in place.
            let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), header, libc::MSG_DONTWAIT) };
            if sent < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(self.headers.len())
    }

    /// The same in one submission: registered file 0 is another socket.
    pub fn send_uring(&self, ring: &mut IoUring) -> io::Result<usize> {
        for (file, header) in (1..).zip(&self.headers) {
            // One datagram needs no header.
            let entry = match header.msg_controllen {
                0 => {
                    // SAFETY: the header was given its vector in `prepare`.
                    let vector = unsafe { *header.msg_iov };
                    opcode::Send::new(
                        types::Fixed(file),
                        vector.iov_base.cast(),
                        vector.iov_len as u32,
                    )
                    .flags(libc::MSG_DONTWAIT)
                    .build()
                }
                _ => opcode::SendMsg::new(types::Fixed(file), header)
                    .flags(libc::MSG_DONTWAIT as u32)
                    .build(),
            }
            .flags(squeue::Flags::SKIP_SUCCESS);
            // SAFETY: as in `send`; the kernel is done when `submit` returns.
            let pushed = unsafe { ring.submission().push(&entry) };
            pushed.map_err(|_| io::ErrorKind::StorageFull)?;
        }
        let submitted = ring.submit()?;
        let failed = ring.completion().count();
        Ok(submitted - failed)
    }
}

/// A socket on `port` beside others of ours; 0: on a free one.
fn bind_beside(port: u16) -> io::Result<UdpSocket> {
    // SAFETY: takes and returns plain numbers; the descriptor is ours.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let on: libc::c_int = 1;
    let name = socket_name(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    // SAFETY: both calls read what they are given, whose sizes are its own.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        ) != 0
            || libc::bind(
                socket.as_raw_fd(),
                std::ptr::from_ref(&name).cast(),
                size_of_val(&name) as libc::socklen_t,
            ) != 0
    };
    match failed {
        true => Err(io::Error::last_os_error()),
        false => Ok(socket.into()),
    }
}

/// Names the segment size of a train; bytes used.
fn write_segment_size(header: &mut libc::msghdr) -> usize {
    // SAFETY: the header's control buffer is `CONTROL_BYTES` of aligned memory,
    // as its length says, which holds the message.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        let size = libc::CMSG_DATA(first).cast::<u16>();
        size.write_unaligned(WIRE_BYTES as u16);
        libc::CMSG_SPACE(size_of::<u16>() as u32) as usize
    }
}
