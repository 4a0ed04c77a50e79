//! An RTMP client on its TCP connection: moves bytes between the two, and gets
//! through what comes before any media.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::base::time::Time;
use crate::load::worker::{Crowd, SLOW_EVERY};
use crate::proto::rtmp::client::{RtmpClient, Said};
use crate::wire::amf::Value;

/// Payload bytes of a chunk, as ffmpeg and OBS cut them.
const CHUNK_BYTES: u32 = 4_096;
/// Bytes of one read: a key frame of the content and more.
const READ_BYTES: usize = 64 << 10;
/// Reads at once, for others to have their turn.
const READS_MAX: usize = 16;
/// Unsent bytes at which a publisher gives up a server: seconds of the content.
const UNSENT_MAX_BYTES: usize = 4 << 20;
/// Without anything due.
const IDLE: Duration = Duration::from_secs(1);

pub struct Line {
    stream: TcpStream,
    pub client: RtmpClient,
    unsent: Vec<u8>,
    buffer: Vec<u8>,
    is_slow: bool,
}

impl Line {
    pub async fn open(crowd: &Crowd, is_slow: bool) -> std::io::Result<Self> {
        let stream = TcpStream::connect((crowd.url.host.as_str(), crowd.url.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Line {
            stream,
            client: RtmpClient::new(None, &mut crowd.noise()),
            unsent: Vec::new(),
            buffer: vec![0; READ_BYTES],
            is_slow,
        })
    }

    /// Sends what the client has said and the socket takes.
    pub fn flush(&mut self) -> Result<(), String> {
        self.unsent.append(&mut self.client.take_output());
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(len) => drop(self.unsent.drain(..len)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        match self.unsent.len() > UNSENT_MAX_BYTES {
            true => Err("the server does not read what is sent".to_string()),
            false => Ok(()),
        }
    }

    /// Sends, and waits for bytes of the server, room for its own, or `due`.
    /// May be dropped while it waits: nothing is lost.
    pub async fn turn(&mut self, now: Time, due: Option<Time>) -> Result<(), String> {
        self.flush()?;
        let wait = due.map_or(IDLE, |due| Duration::from_micros(due.since(now).as_us()));
        tokio::select! {
            readable = self.stream.readable() => {
                readable.map_err(|error| error.to_string())?;
                if self.is_slow {
                    tokio::time::sleep(SLOW_EVERY).await;
                }
                self.read()
            }
            writable = self.stream.writable(), if !self.unsent.is_empty() => {
                writable.map_err(|error| error.to_string())
            }
            () = sleep_until(Instant::now() + wait) => Ok(()),
        }
    }

    fn read(&mut self) -> Result<(), String> {
        for _ in 0..READS_MAX {
            match self.stream.try_read(&mut self.buffer) {
                Ok(0) => return Err("the server hung up".to_string()),
                Ok(len) => {
                    let heard = self.buffer.get(..len).unwrap_or_default();
                    if !self.client.handle(heard) {
                        return Err("what the server says is no RTMP".to_string());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    pub async fn shake_hands(&mut self, crowd: &Crowd) -> Result<(), String> {
        while !self.client.has_shaken_hands() {
            self.turn(crowd.now(), None).await?;
        }
        Ok(())
    }

    pub async fn connect(&mut self, crowd: &Crowd) -> Result<(), String> {
        self.client.set_chunk_size(CHUNK_BYTES);
        let app = crowd.url.path.trim_matches('/');
        let connecting = self.client.connect(app, &[], &[]);
        self.answer(crowd, connecting).await.map(drop)
    }

    /// The id of a new message stream.
    pub async fn create_stream(&mut self, crowd: &Crowd) -> Result<u32, String> {
        let creating = self.client.call("createStream", &[]);
        let values = self.answer(crowd, creating).await?;
        let id = values.iter().find_map(Value::as_number);
        Ok(id.ok_or("a stream without a number")? as u32)
    }

    /// The values of the answer to a call.
    async fn answer(&mut self, crowd: &Crowd, asked: f64) -> Result<Vec<Value>, String> {
        loop {
            while let Some(said) = self.client.poll() {
                let code = said.code().to_string();
                match said {
                    Said::Command {
                        name,
                        transaction,
                        values,
                        ..
                    } if transaction == asked => match name.as_str() {
                        "_result" => return Ok(values),
                        _ => return Err(format!("{name} {code}")),
                    },
                    _ => {}
                }
            }
            self.turn(crowd.now(), None).await?;
        }
    }

    /// Waits until the server says that what was asked for began. The error is
    /// the code it says instead.
    pub async fn started(&mut self, crowd: &Crowd, code: &str) -> Result<(), String> {
        loop {
            while let Some(said) = self.client.poll() {
                if said.code() == code {
                    return Ok(());
                }
                if said.is_error() {
                    return Err(said.code().to_string());
                }
            }
            self.turn(crowd.now(), None).await?;
        }
    }
}
