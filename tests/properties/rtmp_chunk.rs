//! What holds for any bytes as RTMP chunks: however they are split, the same
//! messages come out, and what is unfinished stays within the cap and within
//! what arrived. And for any messages: written at any chunk size, they are read
//! as they were.

use ringhall::base::limits::{RTMP_ASSEMBLY_MAX_BYTES, RTMP_MESSAGE_MAX_BYTES};
use ringhall::wire::rtmp::chunk::{
    CHUNK_SIZE_DEFAULT, ChunkError, ChunkReader, Message, MessageHeader, write_message,
};
use ringhall::wire::rtmp::message::{ABORT, Control, SET_CHUNK_SIZE};

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let whole = read(&[data]);
    let middle = data.len() / 2;
    assert_eq!(read(&[&data[..middle], &data[middle..]]), whole);
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(read(&bytes), whole);
    let held: usize = whole.0.iter().map(|message| message.payload.len()).sum();
    assert!(held <= data.len());
    for message in &whole.0 {
        assert!(message.payload.len() <= RTMP_MESSAGE_MAX_BYTES);
        assert!(!matches!(message.header.kind, SET_CHUNK_SIZE | ABORT));
    }
    check_written(data);
}

/// The messages before the end or the first error, and the error.
fn read(pieces: &[&[u8]]) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new();
    let mut messages = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        let mut input = *piece;
        arrived += input.len();
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty());
        assert!(reader.assembly_bytes() <= arrived.min(RTMP_ASSEMBLY_MAX_BYTES));
    }
    (messages, None)
}

/// Takes `data` as a list of messages and chunk sizes.
fn check_written(data: &[u8]) {
    let mut out = Vec::new();
    let mut expected = Vec::new();
    let mut chunk_size = CHUNK_SIZE_DEFAULT;
    for op in data.chunks_exact(10).take(32) {
        let [
            a,
            b,
            c,
            d,
            size_high,
            size_low,
            len_high,
            len_low,
            kind,
            csid,
        ] = *op
        else {
            return;
        };
        if csid & 0x80 != 0 {
            let size = 1 + u32::from(u16::from_be_bytes([size_high, size_low]));
            let (kind, payload) = Control::SetChunkSize(size).to_bytes();
            write_message(&mut out, chunk_size, 2, &header([0; 4], kind), &payload);
            chunk_size = size as usize;
        }
        // Half of the times lie about where the extended field begins.
        let time = match d & 1 {
            0 => [a, b, c, d],
            _ => [a & 1, b | 0xf0, c | 0xf0, d],
        };
        // A payload that looks like its extended timestamp, over and over.
        let len = usize::from(u16::from_be_bytes([len_high & 0x0f, len_low]));
        let payload: Vec<u8> = time.iter().copied().cycle().take(len).collect();
        let header = header(time, 3 + kind % 60);
        write_message(&mut out, chunk_size, 3 + (csid & 0x1f), &header, &payload);
        expected.push(Message { header, payload });
    }
    let third = out.len() / 3;
    let (first, rest) = out.split_at(third);
    assert_eq!(read(&[first, rest]), (expected, None));
}

fn header(time: [u8; 4], kind: u8) -> MessageHeader {
    MessageHeader {
        timestamp: u32::from_be_bytes(time),
        kind,
        stream_id: u32::from(kind) << 20,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let written = |size: usize, time: u32, len: usize| {
        let mut out = Vec::new();
        let (kind, payload) = Control::SetChunkSize(size as u32).to_bytes();
        write_message(
            &mut out,
            CHUNK_SIZE_DEFAULT,
            2,
            &header([0; 4], kind),
            &payload,
        );
        let header = header(time.to_be_bytes(), 9);
        write_message(&mut out, size, 6, &header, &vec![7; len]);
        out
    };
    let mut not_repeated = written(128, 0x0100_0000, 130);
    let len = not_repeated.len();
    not_repeated.drain(len - 6..len - 2);
    let deltas = [
        &[
            6, 0, 0, 100, 0, 0, 1, 9, 1, 0, 0, 0, b'a', 0x46, 0, 0, 20, 0, 0, 1, 8, b'b',
        ][..],
        &[
            0x86, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf6, b'c', 0xc6, 0xff, 0xff, 0xff, 0xf6,
            b'd',
        ],
        &[0xc6, b'e'],
    ]
    .concat();
    let mut interleaved = vec![6, 0, 0, 0, 0, 0, 200, 9, 1, 0, 0, 0];
    interleaved.extend([1; 128]);
    interleaved.extend([0x00, 9, 0, 0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 5, 5]);
    interleaved.extend([0xc6]);
    interleaved.extend([1; 72]);
    let mut aborted = interleaved[..140].to_vec();
    aborted.extend([
        2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 6, 0x86, 0, 0, 9,
    ]);
    vec![
        written(1, 0x00ff_ffff, 9),
        written(300, 5, 700),
        written(65_536, u32::MAX, 60),
        not_repeated,
        deltas,
        interleaved,
        aborted,
        vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![1, 9, 9, 0, 0, 0, 0x40, 0, 0, 9, 1, 0, 0, 0, 1],
        vec![0x42, 0, 0, 1, 0, 0, 6, 4, 0, 7, 0, 0, 0, 9],
    ]
}
