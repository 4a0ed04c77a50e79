//! TCP on either runtime, with buffers that are moved into an operation and
//! come back: the kernel may write to them until it says otherwise.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

/// An accepting socket.
pub enum Listener {
    Uring(tokio_uring::net::TcpListener),
    Tokio(tokio::net::TcpListener),
}

/// A connection.
pub enum Stream {
    Uring(tokio_uring::net::TcpStream),
    Tokio(tokio::net::TcpStream),
}

impl Listener {
    /// `listener` on tokio-uring, which wants it blocking.
    pub fn on_uring(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(false)?;
        Ok(Listener::Uring(tokio_uring::net::TcpListener::from_std(
            listener,
        )))
    }

    /// `listener` on tokio, which wants it non-blocking.
    pub fn on_tokio(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Listener::Tokio(tokio::net::TcpListener::from_std(
            listener,
        )?))
    }

    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = match self {
            Listener::Uring(listener) => {
                let (stream, peer) = listener.accept().await?;
                (Stream::Uring(stream), peer)
            }
            Listener::Tokio(listener) => {
                let (stream, peer) = listener.accept().await?;
                (Stream::Tokio(stream), peer)
            }
        };
        // An IPv4 peer of a dual-stack socket is ::ffff:a.b.c.d.
        Ok((
            stream,
            SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        ))
    }

    pub fn fd(&self) -> RawFd {
        match self {
            Listener::Uring(listener) => listener.as_raw_fd(),
            Listener::Tokio(listener) => listener.as_raw_fd(),
        }
    }
}

impl Stream {
    pub fn fd(&self) -> RawFd {
        match self {
            Stream::Uring(stream) => stream.as_raw_fd(),
            Stream::Tokio(stream) => stream.as_raw_fd(),
        }
    }

    /// Reads into the empty `buffer`, at most its capacity; 0 is the end.
    pub async fn read(&self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        buffer.clear();
        match self {
            Stream::Uring(stream) => stream.read(buffer).await,
            Stream::Tokio(stream) => loop {
                if let Err(error) = stream.readable().await {
                    return (Err(error), buffer);
                }
                match stream.try_read_buf(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return (result, buffer),
                }
            },
        }
    }

    /// Writes all of `buffer`.
    pub async fn write_all(&self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        match self {
            Stream::Uring(stream) => stream.write_all(buffer).await,
            Stream::Tokio(stream) => {
                let mut rest = buffer.as_slice();
                while !rest.is_empty() {
                    if let Err(error) = stream.writable().await {
                        return (Err(error), buffer);
                    }
                    match stream.try_write(rest) {
                        Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
                        Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return (Err(error), buffer),
                    }
                }
                (Ok(()), buffer)
            }
        }
    }
}
