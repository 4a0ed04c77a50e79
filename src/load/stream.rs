//! A TCP connection to the server, inside TLS if its address says so.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::http::Url;
use crate::proto::tls::{TlsClient, Trust};

pub struct Stream {
    tcp: TcpStream,
    tls: Option<Box<TlsClient>>,
    /// What came and is not decrypted.
    sealed: Vec<u8>,
}

impl Stream {
    /// Connects, and is through with the handshake.
    pub async fn connect(url: &Url, trust: Option<&Trust>) -> io::Result<Self> {
        let tcp = TcpStream::connect((url.host.as_str(), url.port)).await?;
        tcp.set_nodelay(true)?;
        let mut stream = Stream {
            tcp,
            tls: None,
            sealed: Vec::new(),
        };
        if url.is_tls {
            let trust = trust.ok_or(io::Error::other("nobody is trusted"))?;
            let tls = TlsClient::new(trust, &url.host).map_err(io::Error::other)?;
            stream.tls = Some(Box::new(tls));
            stream.shake_hands().await?;
        }
        Ok(stream)
    }

    async fn shake_hands(&mut self) -> io::Result<()> {
        let mut early = Vec::new();
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) {
            self.tcp.write_all(&tls.take_output()).await?;
            self.sealed.clear();
            if self.tcp.read_buf(&mut self.sealed).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let read = tls.read(&self.sealed, &mut early);
            if let Err(why) = read {
                // The alert is a courtesy.
                let _ = self.tcp.write_all(&tls.take_output()).await;
                return Err(io::Error::other(why));
            }
        }
        self.sealed.clear();
        match early.is_empty() {
            true => self.write_all(&[]).await,
            // Neither HTTP nor WebSocket servers speak first.
            false => Err(io::Error::other("the server spoke first")),
        }
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return self.tcp.write_all(bytes).await;
        };
        tls.write(bytes);
        self.tcp.write_all(&tls.take_output()).await
    }

    /// Appends what comes next; 0 is the end. May be dropped while it waits:
    /// nothing is lost.
    pub async fn read_buf(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.tcp.read_buf(into).await;
        };
        let before = into.len();
        while into.len() == before {
            if self.tcp.read_buf(&mut self.sealed).await? == 0 {
                return Ok(0);
            }
            tls.read(&self.sealed, into).map_err(io::Error::other)?;
            self.sealed.clear();
        }
        Ok(into.len() - before)
    }
}
