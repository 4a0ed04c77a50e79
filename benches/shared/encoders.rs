//! RTMP encoders over real sockets, all in one thread: each publishes its film
//! in real time, message by message, as real ones do.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringhall::base::random::Noise;
use ringhall::proto::rtmp::client::{RtmpClient, Said};
use ringhall::sim::h264_content;
use ringhall::wire::amf::Value;
use ringhall::wire::flv;
use ringhall::wire::nal;
use ringhall::wire::rtmp::chunk::MessageHeader;
use ringhall::wire::rtmp::message::{AUDIO, VIDEO};

use super::film::{AAC_CONFIG, Film, Shot, Sound};

/// Payload bytes of a chunk, as ffmpeg and OBS cut them.
const CHUNK_BYTES: u32 = 4_096;
/// Between two looks at clocks and sockets.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// For what was sent last to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// Encoders at work.
pub struct Encoders {
    playing: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Published>, String>>,
}

/// What one of them sent.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    pub pictures: u32,
    pub sounds: u32,
    pub media_bytes: u64,
    /// The most a message was late, for whatever reason.
    pub late: Duration,
}

/// The film of the encoder `number`, which publishes as `encoder-<number>`.
pub fn film_of(number: usize) -> Film {
    Film::new(90_000 + number as u64, Sound::Aac)
}

impl Encoders {
    /// Connects so many and lets them publish into a room.
    pub fn start(port: u16, room: &str, count: usize) -> Result<Self, Box<dyn Error>> {
        let mut encoders = Vec::new();
        for number in 0..count {
            encoders.push(Encoder::connect(port, room, number, count)?);
        }
        let (playing, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (Arc::clone(&playing), Arc::clone(&is_over));
        let work = move || work(encoders, &counted, &stopped).map_err(|error| error.to_string());
        Ok(Encoders {
            playing,
            is_over,
            thread: thread::Builder::new()
                .name("encoders".to_string())
                .spawn(work)?,
        })
    }

    /// Encoders that publish.
    pub fn playing(&self) -> usize {
        self.playing.load(Relaxed)
    }

    /// Ends them in order.
    pub fn stop(self) -> Result<Vec<Published>, Box<dyn Error>> {
        self.is_over.store(true, Relaxed);
        let published = self.thread.join().map_err(|_| "the encoders panicked")?;
        Ok(published?)
    }
}

fn work(
    mut encoders: Vec<Encoder>,
    playing: &AtomicUsize,
    is_over: &AtomicBool,
) -> Result<Vec<Published>, Box<dyn Error>> {
    while !is_over.load(Relaxed) {
        for encoder in &mut encoders {
            encoder.listen()?;
            encoder.send_due();
            encoder.flush()?;
        }
        let started = encoders.iter().filter(|encoder| encoder.started.is_some());
        playing.store(started.count(), Relaxed);
        thread::sleep(LOOK_EVERY);
    }
    let from = Instant::now();
    for encoder in &mut encoders {
        encoder.end();
    }
    while encoders.iter().any(|encoder| !encoder.out.is_empty()) && from.elapsed() < PATIENCE {
        for encoder in &mut encoders {
            encoder.flush()?;
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(encoders.iter().map(Encoder::published).collect())
}

struct Encoder {
    name: String,
    socket: TcpStream,
    client: RtmpClient,
    film: Film,
    /// Of the streams of a room, each begins at another place between pictures.
    offset: Duration,
    connecting: f64,
    creating: f64,
    stream_id: u32,
    started: Option<Instant>,
    out: Vec<u8>,
    late: Duration,
}

impl Encoder {
    fn connect(port: u16, room: &str, number: usize, count: usize) -> Result<Self, Box<dyn Error>> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let mut client = RtmpClient::new(None, &mut Noise::new(number as u64));
        client.set_chunk_size(CHUNK_BYTES);
        let connecting = client.connect(room, &[], &[]);
        Ok(Encoder {
            name: format!("encoder-{number}"),
            socket,
            client,
            film: film_of(number),
            offset: Duration::from_micros(33_333 * number as u64 / count as u64),
            connecting,
            creating: 0.0,
            stream_id: 0,
            started: None,
            out: Vec::new(),
            late: Duration::ZERO,
        })
    }

    /// Takes what the server says.
    fn listen(&mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; 4_096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(format!("{} was hung up on", self.name).into()),
                Ok(len) if self.client.handle(&buffer[..len]) => {}
                Ok(_) => return Err(format!("{} heard what is no RTMP", self.name).into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(said) = self.client.poll() {
            self.act(&said)?;
        }
        Ok(())
    }

    fn act(&mut self, said: &Said) -> Result<(), Box<dyn Error>> {
        match said.code() {
            "NetStream.Publish.Start" => self.begin(),
            code if code.contains("Failed") || code.contains("Bad") => {
                return Err(format!("{}: {code}", self.name).into());
            }
            _ => {}
        }
        if let Said::Command {
            name,
            transaction,
            values,
            ..
        } = said
            && name == "_result"
        {
            if *transaction == self.connecting {
                self.creating = self.client.call("createStream", &[]);
            } else if *transaction == self.creating {
                let id = values.iter().find_map(Value::as_number);
                self.stream_id = id.ok_or("a stream without a number")? as u32;
                self.client.publish(self.stream_id, &self.name);
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.started = Some(Instant::now() + self.offset);
        let mut body = Vec::new();
        flv::write_avc_sequence_header(&mut body, &h264_content::record());
        self.send(VIDEO, 0, &body);
        let mut body = Vec::new();
        flv::write_aac_sequence_header(&mut body, &AAC_CONFIG);
        self.send(AUDIO, 0, &body);
    }

    /// Sends what is due by now.
    fn send_due(&mut self) {
        let Some(started) = self.started else {
            return;
        };
        // The first one is due a little later than the answer came.
        let running = Instant::now().checked_duration_since(started);
        let Some(running) = running else {
            return;
        };
        while Duration::from_micros(self.film.next_us()) <= running {
            let (at_us, shot) = self.film.take();
            self.late = self.late.max(running - Duration::from_micros(at_us));
            let mut body = Vec::new();
            match shot {
                Shot::Picture { is_key, unit } => {
                    let mut data = Vec::with_capacity(unit.len() + 4);
                    nal::write_avcc(&mut data, &unit);
                    flv::write_avc_frame(&mut body, is_key, 0, &data);
                    self.send(VIDEO, at_us, &body);
                }
                Shot::Sound(packet) => {
                    flv::write_aac_frame(&mut body, &packet);
                    self.send(AUDIO, at_us, &body);
                }
            }
        }
    }

    fn send(&mut self, kind: u8, at_us: u64, body: &[u8]) {
        let header = MessageHeader {
            timestamp: (at_us / 1_000) as u32,
            kind,
            stream_id: self.stream_id,
        };
        self.client.send_message(&header, body);
    }

    fn end(&mut self) {
        let id = Value::Number(f64::from(self.stream_id));
        self.client.cast(0, "deleteStream", &[id]);
        self.out.extend(self.client.take_output());
    }

    fn flush(&mut self) -> Result<(), Box<dyn Error>> {
        self.out.extend(self.client.take_output());
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.out.drain(..sent);
        Ok(())
    }

    fn published(&self) -> Published {
        Published {
            pictures: self.film.pictures,
            sounds: self.film.sounds,
            media_bytes: self.film.media_bytes,
            late: self.late,
        }
    }
}
