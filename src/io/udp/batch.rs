//! Message headers for the kernel, built once and refilled: what `sendmmsg`
//! takes as an array and the media ring takes one by one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::SendReport;
use super::message::{Control, Name};
use crate::base::limits::TRAIN_MAX_SEGMENTS;
use crate::core::border::Path;

/// A fixed number of message headers with the addresses, control data and
/// vectors they point at; none of it ever moves.
pub struct Messages {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
}

impl Messages {
    pub fn new(count: usize) -> Self {
        // SAFETY: `mmsghdr` is plain data of integers and pointers; all zeroes
        // is a valid value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Messages {
            headers: vec![header; count].into(),
            vectors: vec![vector; count].into(),
            names: vec![Name::EMPTY; count].into(),
            controls: vec![Control::EMPTY; count].into(),
        }
    }

    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Fills message `at` to send `bytes` on `path`, split into segments of
    /// `segment_bytes` if given. The caller keeps `bytes` in place until the
    /// kernel is done. `None` if `at` does not exist.
    pub fn fill_send(
        &mut self,
        at: usize,
        path: Path,
        segment_bytes: Option<u16>,
        bytes: &[u8],
    ) -> Option<()> {
        let name_len = self.names.get_mut(at)?.write(path.remote);
        let control_len = self.controls.get_mut(at)?.write(path.local, segment_bytes);
        // The kernel only reads through a send's vector.
        self.point(at, bytes.as_ptr().cast_mut(), bytes.len())?;
        let header = &mut self.headers.get_mut(at)?.msg_hdr;
        header.msg_namelen = name_len as libc::socklen_t;
        header.msg_controllen = control_len as _;
        Some(())
    }

    /// Fills message `at` to send `bytes` on a connected socket, split into
    /// segments of `segment_bytes`.
    pub fn fill_train(&mut self, at: usize, segment_bytes: u16, bytes: &[u8]) -> Option<()> {
        let control_len = self.controls.get_mut(at)?.write_segments(segment_bytes);
        self.point(at, bytes.as_ptr().cast_mut(), bytes.len())?;
        let header = &mut self.headers.get_mut(at)?.msg_hdr;
        header.msg_namelen = 0;
        header.msg_controllen = control_len as _;
        Some(())
    }

    /// Readies message `at` to receive into `buffer`.
    pub fn fill_receive(&mut self, at: usize, buffer: &mut [u8]) -> Option<()> {
        self.point(at, buffer.as_mut_ptr(), buffer.len())?;
        let header = &mut self.headers.get_mut(at)?.msg_hdr;
        header.msg_namelen = size_of::<Name>() as libc::socklen_t;
        header.msg_controllen = size_of::<Control>() as _;
        header.msg_flags = 0;
        Some(())
    }

    fn point(&mut self, at: usize, bytes: *mut u8, len: usize) -> Option<()> {
        let vector = self.vectors.get_mut(at)?;
        vector.iov_base = bytes.cast();
        vector.iov_len = len;
        let header = &mut self.headers.get_mut(at)?.msg_hdr;
        header.msg_name = self.names.get_mut(at)?.0.as_mut_ptr().cast();
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = self.controls.get_mut(at)?.0.as_mut_ptr().cast();
        Some(())
    }

    /// The header of message `at`, for a submission to the ring.
    pub fn header(&self, at: usize) -> Option<*const libc::msghdr> {
        self.headers
            .get(at)
            .map(|header| std::ptr::from_ref(&header.msg_hdr))
    }

    /// What was received into message `at`: payload bytes, flags, the sender's
    /// name and the control data.
    pub fn received(&self, at: usize) -> Option<(usize, i32, &[u8], &[u8])> {
        let header = self.headers.get(at)?;
        let name = self
            .names
            .get(at)?
            .0
            .get(..header.msg_hdr.msg_namelen as usize)?;
        let control_len = header.msg_hdr.msg_controllen;
        let control = self.controls.get(at)?.0.get(..control_len)?;
        Some((
            header.msg_len as usize,
            header.msg_hdr.msg_flags,
            name,
            control,
        ))
    }

    /// `sendmmsg` of messages `from..to`, never waiting; how many were sent.
    ///
    /// # Safety
    /// Messages `from..to` were filled by [`Messages::fill_send`] and their
    /// bytes are still in place.
    pub unsafe fn send(&mut self, fd: RawFd, from: usize, to: usize) -> io::Result<usize> {
        let Some(headers) = self.headers.get_mut(from..to) else {
            return Ok(0);
        };
        let count = headers.len() as libc::c_uint;
        // SAFETY: `headers` is exclusively ours for the call and holds `count`
        // entries; each points into this value's boxes, and at payload bytes
        // the caller promised.
        let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// `recvmmsg` into messages `0..count`, never waiting; how many came.
    ///
    /// # Safety
    /// Messages `0..count` were filled by [`Messages::fill_receive`] with
    /// buffers that are still in place and that nothing else looks at.
    pub unsafe fn receive(&mut self, fd: RawFd, count: usize) -> io::Result<usize> {
        let Some(headers) = self.headers.get_mut(..count) else {
            return Ok(0);
        };
        // SAFETY: as in `send`; the kernel writes names and control data into
        // this value's boxes and payload into the caller's buffers.
        let came = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(came).map_err(|_| io::Error::last_os_error())
    }
}

/// Sends trains the plain way, datagram by datagram in one `sendmmsg`, where
/// the kernel or a route refuses to split them itself.
pub struct Plain {
    messages: Messages,
}

impl Default for Plain {
    fn default() -> Self {
        Plain {
            messages: Messages::new(TRAIN_MAX_SEGMENTS),
        }
    }
}

impl Plain {
    /// Sends `bytes` in pieces of `segment_bytes`; each piece is counted.
    pub fn send(
        &mut self,
        fd: RawFd,
        path: Path,
        segment_bytes: usize,
        bytes: &[u8],
        report: &mut SendReport,
    ) {
        let mut filled = 0;
        for piece in bytes.chunks(segment_bytes.max(1)) {
            if self.messages.fill_send(filled, path, None, piece).is_some() {
                filled += 1;
            } else {
                report.failed += 1;
            }
        }
        let mut from = 0;
        while from < filled {
            // SAFETY: messages up to `filled` were filled above and `bytes`
            // is borrowed for the whole of this call.
            match unsafe { self.messages.send(fd, from, filled) } {
                Ok(0) => break,
                Ok(sent) => {
                    report.datagrams += sent as u32;
                    from += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if is_full(error.raw_os_error().unwrap_or_default()) {
                        report.full += 1;
                    } else {
                        report.failed += 1;
                    }
                    from += 1;
                }
            }
        }
    }
}

/// Whether `errno` says that the socket's or the device's queue has no room.
pub fn is_full(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::ENOBUFS)
}

/// A destination's family as an index: IPv4 is 0, IPv6 is 1.
pub fn family(remote: SocketAddr) -> usize {
    usize::from(remote.is_ipv6())
}
