//! RTMP chunk streams (RTMP 1.0 section 5.3): messages cut into chunks that may
//! interleave. Owns putting them together again and cutting our own; heeds the
//! peer's chunk size and aborts itself, since they change how the very next
//! byte is read. Refuses messages, chunk streams and unfinished bytes beyond
//! its caps, and never sets memory aside for a length before the bytes came.

use std::fmt;

use crate::base::limits::{
    RTMP_ASSEMBLY_MAX_BYTES, RTMP_CHUNK_STREAMS_MAX, RTMP_MESSAGE_MAX_BYTES,
};
use crate::wire::bytes;
use crate::wire::rtmp::message::{ABORT, Control, SET_CHUNK_SIZE};

/// Both sides cut their messages at this until they say otherwise (section 5.4.1).
pub const CHUNK_SIZE_DEFAULT: usize = 128;

/// Stands where a timestamp needs the extended field (section 5.3.1.3).
const TIMESTAMP_EXTENDED: u32 = 0x00ff_ffff;

/// Longest length a message header can say.
const LENGTH_MAX: usize = 0x00ff_ffff;

/// Basic header 3, message header 11, extended timestamp 4 (section 5.3.1).
const HEAD_MAX_BYTES: usize = 3 + 11 + 4;

/// What a message's header says besides its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Milliseconds, wrapping, from wherever the sender began.
    pub timestamp: u32,
    /// The message type.
    pub kind: u8,
    /// 0 is the connection itself.
    pub stream_id: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub header: MessageHeader,
    pub payload: Vec<u8>,
}

/// How a peer broke the chunk stream; nothing after it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// More unfinished bytes than [`RTMP_ASSEMBLY_MAX_BYTES`].
    AssemblyFull,
    /// A chunk size of 0, or one cut short.
    ChunkSize,
    /// An abort cut short.
    Abort,
    /// A header that leans on an earlier one of its chunk stream, which never was.
    NoPreviousHeader { csid: u32 },
    /// A message longer than [`RTMP_MESSAGE_MAX_BYTES`].
    TooLong { bytes: usize },
    /// More than [`RTMP_CHUNK_STREAMS_MAX`].
    TooManyChunkStreams,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkError::AssemblyFull => f.write_str("too many unfinished messages"),
            ChunkError::ChunkSize => f.write_str("bad chunk size"),
            ChunkError::Abort => f.write_str("bad abort message"),
            ChunkError::NoPreviousHeader { csid } => {
                write!(f, "chunk stream {csid} does not begin with a header")
            }
            ChunkError::TooLong { bytes } => write!(f, "message of {bytes} bytes"),
            ChunkError::TooManyChunkStreams => f.write_str("too many chunk streams"),
        }
    }
}

/// Reads the chunks of one peer, however they are split.
pub struct ChunkReader {
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// Bytes of the next chunk's header so far, at most [`HEAD_MAX_BYTES`].
    head: Vec<u8>,
    /// Bytes taken for a header that turned out to be payload; they are read
    /// again before any new ones.
    returned: Vec<u8>,
    /// The chunk under way.
    body: Option<Body>,
    /// Payload held in all of `streams`.
    assembly_bytes: usize,
}

/// A chunk whose header has been read.
#[derive(Clone, Copy)]
struct Body {
    /// Index of its chunk stream.
    stream: usize,
    /// Bytes of it still to come.
    missing: usize,
}

/// What the next header of a chunk stream leans on, and its unfinished message.
struct ChunkStream {
    csid: u32,
    header: MessageHeader,
    /// Length of its messages until another is said.
    length: usize,
    /// What a type 3 chunk that begins a message adds to the time.
    delta: u32,
    /// The last extended timestamp, if the last header had one.
    extended: Option<u32>,
    payload: Vec<u8>,
    /// A message has begun and is not whole.
    open: bool,
}

/// A chunk's header as it was read.
struct Head {
    format: u8,
    csid: u32,
    /// Timestamp of type 0, delta of types 1 and 2.
    time: u32,
    length: usize,
    kind: u8,
    stream_id: u32,
    extended: Option<u32>,
    /// Bytes it took.
    used: usize,
}

impl Default for ChunkReader {
    fn default() -> Self {
        ChunkReader::new()
    }
}

impl ChunkReader {
    pub fn new() -> Self {
        ChunkReader {
            chunk_size: CHUNK_SIZE_DEFAULT,
            streams: Vec::new(),
            head: Vec::new(),
            returned: Vec::new(),
            body: None,
            assembly_bytes: 0,
        }
    }

    /// The next whole message, taking from the front of `input` what it needs;
    /// `None` once `input` is used up.
    ///
    /// # Errors
    /// The reader is of no use after one.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let stream = match self.body {
                Some(body) => {
                    if !self.take_body(body, input)? {
                        return Ok(None);
                    }
                    body.stream
                }
                None => {
                    if !self.take_head(input)? {
                        return Ok(None);
                    }
                    continue;
                }
            };
            if let Some(message) = self.finish_chunk(stream)? {
                return Ok(Some(message));
            }
        }
    }

    /// Bytes held for messages that are not whole.
    pub fn assembly_bytes(&self) -> usize {
        self.assembly_bytes
    }

    /// Reads a chunk's header; false when `input` ends inside it.
    fn take_head(&mut self, input: &mut &[u8]) -> Result<bool, ChunkError> {
        loop {
            if let Some(head) = self.parse_head()? {
                let mut unused = self.head.split_off(head.used);
                if !unused.is_empty() {
                    unused.append(&mut self.returned);
                    self.returned = unused;
                }
                self.head.clear();
                self.begin_chunk(&head)?;
                return Ok(true);
            }
            let Some(byte) = self.next_byte(input) else {
                return Ok(false);
            };
            self.head.push(byte);
        }
    }

    fn next_byte(&mut self, input: &mut &[u8]) -> Option<u8> {
        if !self.returned.is_empty() {
            return Some(self.returned.remove(0));
        }
        let (first, rest) = input.split_first()?;
        *input = rest;
        Some(*first)
    }

    /// The header in `head`; `None` while bytes of it are missing.
    fn parse_head(&self) -> Result<Option<Head>, ChunkError> {
        let Some((format, csid, at)) = basic_header(&self.head) else {
            return Ok(None);
        };
        let previous = self.streams.iter().find(|stream| stream.csid == csid);
        // librtmp opens chunk stream 2 with a type 1 header; it leans on nothing
        // but time and stream 0.
        if previous.is_none() && format >= 2 {
            return Err(ChunkError::NoPreviousHeader { csid });
        }
        Ok(message_header(&self.head, format, csid, at, previous))
    }

    /// Applies a header to its chunk stream and opens the chunk's body.
    fn begin_chunk(&mut self, head: &Head) -> Result<(), ChunkError> {
        if head.length > RTMP_MESSAGE_MAX_BYTES {
            return Err(ChunkError::TooLong { bytes: head.length });
        }
        let index = self.stream_index(head.csid)?;
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(());
        };
        if stream.open && head.format != 3 {
            // A new header before the message was whole: its sender gave it up.
            self.assembly_bytes -= stream.payload.len();
            stream.payload = Vec::new();
            stream.open = false;
        }
        if !stream.open {
            stream.begin_message(head);
        }
        let missing = stream.length - stream.payload.len();
        self.body = Some(Body {
            stream: index,
            missing: missing.min(self.chunk_size),
        });
        Ok(())
    }

    fn stream_index(&mut self, csid: u32) -> Result<usize, ChunkError> {
        let found = self.streams.iter().position(|stream| stream.csid == csid);
        if let Some(index) = found {
            return Ok(index);
        }
        if self.streams.len() >= RTMP_CHUNK_STREAMS_MAX {
            return Err(ChunkError::TooManyChunkStreams);
        }
        self.streams.push(ChunkStream::new(csid));
        Ok(self.streams.len() - 1)
    }

    /// Takes bytes of the chunk's body; false when `input` ends before it does.
    fn take_body(&mut self, body: Body, input: &mut &[u8]) -> Result<bool, ChunkError> {
        let mut missing = body.missing;
        while missing > 0 {
            let from_returned = !self.returned.is_empty();
            let source: &[u8] = match from_returned {
                true => &self.returned,
                false => input,
            };
            let taken = missing.min(source.len());
            if taken == 0 {
                break;
            }
            if self.assembly_bytes + taken > RTMP_ASSEMBLY_MAX_BYTES {
                return Err(ChunkError::AssemblyFull);
            }
            if let Some(stream) = self.streams.get_mut(body.stream) {
                stream.append(source.get(..taken).unwrap_or_default());
            }
            self.assembly_bytes += taken;
            missing -= taken;
            if from_returned {
                self.returned.drain(..taken);
            } else {
                *input = input.get(taken..).unwrap_or_default();
            }
        }
        self.body = Some(Body { missing, ..body });
        Ok(missing == 0)
    }

    /// Ends a chunk; the message, if it is whole and not for this reader.
    fn finish_chunk(&mut self, index: usize) -> Result<Option<Message>, ChunkError> {
        self.body = None;
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(None);
        };
        if stream.payload.len() < stream.length {
            return Ok(None);
        }
        stream.open = false;
        self.assembly_bytes -= stream.payload.len();
        let message = Message {
            header: stream.header,
            payload: std::mem::take(&mut stream.payload),
        };
        match message.header.kind {
            SET_CHUNK_SIZE => self.set_chunk_size(&message)?,
            ABORT => self.abort(&message)?,
            _ => return Ok(Some(message)),
        }
        Ok(None)
    }

    fn set_chunk_size(&mut self, message: &Message) -> Result<(), ChunkError> {
        match Control::parse(SET_CHUNK_SIZE, &message.payload) {
            Some(Control::SetChunkSize(size)) if size > 0 => {
                // No chunk is longer than its message, so every size beyond the
                // longest one means the same.
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                self.chunk_size = size.min(RTMP_MESSAGE_MAX_BYTES);
                Ok(())
            }
            _ => Err(ChunkError::ChunkSize),
        }
    }

    fn abort(&mut self, message: &Message) -> Result<(), ChunkError> {
        let Some(Control::Abort(csid)) = Control::parse(ABORT, &message.payload) else {
            return Err(ChunkError::Abort);
        };
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.csid == csid) {
            self.assembly_bytes -= stream.payload.len();
            stream.payload = Vec::new();
            stream.open = false;
        }
        Ok(())
    }
}

impl ChunkStream {
    fn new(csid: u32) -> Self {
        ChunkStream {
            csid,
            header: MessageHeader {
                timestamp: 0,
                kind: 0,
                stream_id: 0,
            },
            length: 0,
            delta: 0,
            extended: None,
            payload: Vec::new(),
            open: false,
        }
    }

    fn begin_message(&mut self, head: &Head) {
        self.open = true;
        self.extended = head.extended;
        self.length = head.length;
        self.header.kind = head.kind;
        self.header.stream_id = head.stream_id;
        // Section 5.3.1.2.4: after a type 0 chunk its timestamp is the delta of
        // a type 3 chunk that begins a message.
        self.delta = head.time;
        self.header.timestamp = match head.format {
            0 => head.time,
            _ => self.header.timestamp.wrapping_add(head.time),
        };
    }

    /// Grows with what arrived: doubling, but never past the message's length.
    fn append(&mut self, bytes: &[u8]) {
        let len = self.payload.len();
        let needed = len + bytes.len();
        if needed > self.payload.capacity() {
            let room = (2 * len).clamp(needed, self.length.max(needed));
            self.payload.reserve_exact(room - len);
        }
        self.payload.extend_from_slice(bytes);
    }
}

/// Format, chunk stream and length of a basic header (section 5.3.1.1).
fn basic_header(head: &[u8]) -> Option<(u8, u32, usize)> {
    let first = bytes::u8_at(head, 0)?;
    let format = first >> 6;
    match first & 0x3f {
        0 => Some((format, 64 + u32::from(bytes::u8_at(head, 1)?), 2)),
        1 => {
            let low = u32::from(bytes::u8_at(head, 1)?);
            let high = u32::from(bytes::u8_at(head, 2)?);
            Some((format, 64 + low + 256 * high, 3))
        }
        csid => Some((format, u32::from(csid), 1)),
    }
}

/// The message header at `at` and what it leaves to `previous` (section
/// 5.3.1.2); `None` while bytes of it are missing.
fn message_header(
    head: &[u8],
    format: u8,
    csid: u32,
    at: usize,
    previous: Option<&ChunkStream>,
) -> Option<Head> {
    let mut result = Head {
        format,
        csid,
        time: previous.map_or(0, |stream| stream.delta),
        length: previous.map_or(0, |stream| stream.length),
        kind: previous.map_or(0, |stream| stream.header.kind),
        stream_id: previous.map_or(0, |stream| stream.header.stream_id),
        extended: previous.and_then(|stream| stream.extended),
        used: at,
    };
    if format == 3 {
        result.used = at + repeated_extension(head.get(at..)?, result.extended)?;
        return Some(result);
    }
    result.time = bytes::u24_at(head, at)?;
    result.used = at + 3;
    if format <= 1 {
        result.length = usize::try_from(bytes::u24_at(head, at + 3)?).ok()?;
        result.kind = bytes::u8_at(head, at + 6)?;
        result.used = at + 7;
    }
    if format == 0 {
        // The one little-endian field.
        result.stream_id = bytes::u32_at(head, at + 7)?.swap_bytes();
        result.used = at + 11;
    }
    result.extended = None;
    if result.time == TIMESTAMP_EXTENDED {
        result.time = bytes::u32_at(head, result.used)?;
        result.extended = Some(result.time);
        result.used += 4;
    }
    Some(result)
}

/// How many of `rest`, the bytes after a type 3 basic header, repeat the
/// extended timestamp: 4 or none. Senders differ in whether they do, so what
/// equals the timestamp is one and anything else is payload; `None` while it
/// could still be either.
fn repeated_extension(rest: &[u8], extended: Option<u32>) -> Option<usize> {
    let Some(extended) = extended else {
        return Some(0);
    };
    let expected = extended.to_be_bytes();
    if rest.iter().zip(expected).any(|(is, should)| *is != should) {
        return Some(0);
    }
    (rest.len() >= expected.len()).then_some(expected.len())
}

/// Appends a message to `out` as chunks of at most `chunk_size` payload bytes
/// on chunk stream `csid` (2 to 63): a type 0 header, then type 3, each with
/// the extended timestamp if there is one, as players expect. A payload beyond
/// the 24 bits of its length is not written.
pub fn write_message(
    out: &mut Vec<u8>,
    chunk_size: usize,
    csid: u8,
    header: &MessageHeader,
    payload: &[u8],
) {
    if payload.len() > LENGTH_MAX {
        return;
    }
    let chunk_size = chunk_size.max(1);
    let csid = csid & 0x3f;
    let extended = (header.timestamp >= TIMESTAMP_EXTENDED).then(|| header.timestamp.to_be_bytes());
    let chunks = payload.len().div_ceil(chunk_size).max(1);
    out.reserve(HEAD_MAX_BYTES + payload.len() + 5 * (chunks - 1));
    let length = u32::try_from(payload.len()).unwrap_or_default();
    out.push(csid);
    out.extend_from_slice(&low_three(header.timestamp.min(TIMESTAMP_EXTENDED)));
    out.extend_from_slice(&low_three(length));
    out.push(header.kind);
    out.extend_from_slice(&header.stream_id.to_le_bytes());
    out.extend(extended.iter().flatten());
    let mut rest = payload.chunks(chunk_size);
    out.extend_from_slice(rest.next().unwrap_or_default());
    for chunk in rest {
        out.push(0xc0 | csid);
        out.extend(extended.iter().flatten());
        out.extend_from_slice(chunk);
    }
}

fn low_three(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}

#[cfg(test)]
mod tests;
