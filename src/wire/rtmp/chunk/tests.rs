//! Each rule of section 5.3, and each way the field bends it.

use super::*;
use crate::wire::rtmp::message::{AUDIO, VIDEO};

fn header(timestamp: u32, kind: u8, stream_id: u32) -> MessageHeader {
    MessageHeader {
        timestamp,
        kind,
        stream_id,
    }
}

/// Reads `bytes` whole and byte by byte; both must say the same.
fn read_all(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let whole = read_pieces(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read_pieces(&single), whole);
    whole
}

fn read_pieces(pieces: &[&[u8]]) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::new();
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(message) = reader.read(&mut input)? {
            messages.push(message);
        }
        assert!(input.is_empty());
    }
    Ok(messages)
}

fn times(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|m| m.header.timestamp).collect()
}

#[test]
fn what_is_written_is_read() {
    let payload: Vec<u8> = (0..1_000u32).map(|n| n as u8).collect();
    for len in [0, 1, 127, 128, 129, 256, 1_000] {
        for timestamp in [0, 0x00ff_fffe, 0x00ff_ffff, 0x0100_0000, u32::MAX] {
            let mut out = Vec::new();
            let header = header(timestamp, VIDEO, 0x0102_0304);
            write_message(&mut out, CHUNK_SIZE_DEFAULT, 6, &header, &payload[..len]);
            let read = read_all(&out).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].header, header);
            assert_eq!(read[0].payload, &payload[..len]);
        }
    }
}

#[test]
fn the_writer_repeats_the_extended_timestamp() {
    let mut out = Vec::new();
    write_message(&mut out, 2, 6, &header(0x0100_0000, VIDEO, 1), b"abc");
    let expected = [
        6, 0xff, 0xff, 0xff, 0, 0, 3, 9, 1, 0, 0, 0, 1, 0, 0, 0, b'a', b'b', 0xc6, 1, 0, 0, 0, b'c',
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_message_too_long_for_its_length_is_not_written() {
    let mut out = Vec::new();
    write_message(&mut out, 4_096, 6, &header(0, VIDEO, 1), &vec![0; 1 << 24]);
    assert!(out.is_empty());
}

#[test]
fn an_extended_timestamp_need_not_be_repeated() {
    let mut out = Vec::new();
    let long = [7u8; 130];
    write_message(&mut out, 128, 6, &header(0x0100_0000, VIDEO, 1), &long);
    out.drain(out.len() - 6..out.len() - 2);
    // Another message behind it, so that the bytes looked at are its header.
    write_message(&mut out, 128, 4, &header(5, AUDIO, 1), b"a");
    let read = read_all(&out).unwrap();
    assert_eq!(read[0].payload, long);
    assert_eq!(times(&read), [0x0100_0000, 5]);
    // Payload that begins as the timestamp does, and then does not.
    let mut out = Vec::new();
    let long = [&[7u8; 128][..], &[1, 0, 0, 9]].concat();
    write_message(&mut out, 128, 6, &header(0x0100_0000, VIDEO, 1), &long);
    out.drain(out.len() - 8..out.len() - 4);
    assert_eq!(read_all(&out).unwrap()[0].payload, long);
}

#[test]
fn deltas_add_up_and_wrap() {
    let mut bytes = vec![6, 0, 0, 100, 0, 0, 1, 9, 1, 0, 0, 0, b'a'];
    bytes.extend([0x46, 0, 0, 20, 0, 0, 1, 9, b'b']);
    bytes.extend([0x86, 0, 0, 30, b'c']);
    bytes.extend([0xc6, b'd']);
    // An extended delta: back by ten.
    bytes.extend([0x86, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf6, b'e']);
    let read = read_all(&bytes).unwrap();
    assert_eq!(times(&read), [100, 120, 150, 180, 170]);
    assert!(read.iter().all(|m| m.header.stream_id == 1));
    // From the end of the range to its beginning.
    let mut bytes = Vec::new();
    write_message(&mut bytes, 128, 6, &header(u32::MAX, VIDEO, 1), b"a");
    bytes.extend([0x86, 0, 0, 2, b'b']);
    assert_eq!(times(&read_all(&bytes).unwrap()), [u32::MAX, 1]);
}

#[test]
fn after_a_whole_header_its_time_is_the_delta() {
    let bytes = [6, 0, 0, 100, 0, 0, 1, 9, 1, 0, 0, 0, b'a', 0xc6, b'b'];
    assert_eq!(times(&read_all(&bytes).unwrap()), [100, 200]);
}

#[test]
fn a_continued_message_keeps_its_time() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, 128, 6, &header(40, VIDEO, 1), &[1; 200]);
    bytes.extend([0x86, 0, 0, 20]);
    bytes.extend([2; 128]);
    bytes.push(0xc6);
    bytes.extend([2; 72]);
    let read = read_all(&bytes).unwrap();
    assert_eq!(times(&read), [40, 60]);
    assert_eq!(read[1].payload, [2; 200]);
}

#[test]
fn chunk_streams_have_three_forms() {
    for basic in [vec![3], vec![0, 0], vec![0, 255], vec![1, 255, 255]] {
        let mut bytes = basic.clone();
        bytes.extend([0, 0, 9, 0, 0, 130, 8, 1, 0, 0, 0]);
        bytes.extend([5; 128]);
        bytes.push(basic[0] | 0xc0);
        bytes.extend(&basic[1..]);
        bytes.extend([5; 2]);
        let read = read_all(&bytes).unwrap();
        assert_eq!(read[0].payload, [5; 130]);
    }
    // 64 said in two ways is one chunk stream.
    let bytes = [
        0, 0, 0, 0, 9, 0, 0, 1, 8, 1, 0, 0, 0, b'a', 0x81, 0, 0, 0, 0, 1, b'b',
    ];
    assert_eq!(times(&read_all(&bytes).unwrap()), [9, 10]);
}

#[test]
fn messages_interleave() {
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    write_message(&mut video, 128, 6, &header(1, VIDEO, 1), &[1; 200]);
    write_message(&mut audio, 128, 4, &header(2, AUDIO, 1), &[2; 200]);
    let first = 12 + 128;
    let bytes = [
        &video[..first],
        &audio[..first],
        &audio[first..],
        &video[first..],
    ]
    .concat();
    let read = read_all(&bytes).unwrap();
    assert_eq!(times(&read), [2, 1]);
    assert_eq!(read[1].payload, [1; 200]);
}

#[test]
fn an_abort_forgets_the_unfinished_message() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, 128, 6, &header(1, VIDEO, 1), &[1; 200]);
    bytes.truncate(12 + 128);
    let (kind, payload) = Control::Abort(6).to_bytes();
    write_message(&mut bytes, 128, 2, &header(0, kind, 0), &payload);
    write_message(&mut bytes, 128, 6, &header(9, VIDEO, 1), b"new");
    let read = read_all(&bytes).unwrap();
    assert_eq!(times(&read), [9]);
    // A new header does the same without being asked.
    let mut bytes = Vec::new();
    write_message(&mut bytes, 128, 6, &header(1, VIDEO, 1), &[1; 200]);
    bytes.truncate(12 + 128);
    write_message(&mut bytes, 128, 6, &header(9, VIDEO, 1), b"new");
    assert_eq!(times(&read_all(&bytes).unwrap()), [9]);
    assert_eq!(
        read_all(&[2, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9]),
        Err(ChunkError::Abort)
    );
}

fn resized(size: u32, chunk_size: usize) -> Result<Vec<Message>, ChunkError> {
    let mut bytes = Vec::new();
    let (kind, payload) = Control::SetChunkSize(size).to_bytes();
    write_message(&mut bytes, 128, 2, &header(0, kind, 0), &payload);
    write_message(&mut bytes, chunk_size, 6, &header(1, VIDEO, 1), &[3; 300]);
    read_all(&bytes)
}

#[test]
fn the_chunk_size_may_be_anything_but_nothing() {
    for (size, chunk_size) in [
        (1, 1),
        (128, 128),
        (0x7fff_ffff, 300),
        (0x8000_0000, 300),
        (u32::MAX, 300),
    ] {
        let read = resized(size, chunk_size).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].payload, [3; 300]);
    }
    assert_eq!(resized(0, 128), Err(ChunkError::ChunkSize));
    assert_eq!(
        read_all(&[2, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 9]),
        Err(ChunkError::ChunkSize)
    );
}

#[test]
fn the_chunk_size_may_change_inside_a_message() {
    let mut video = Vec::new();
    write_message(&mut video, 128, 6, &header(1, VIDEO, 1), &[1; 200]);
    let mut bytes = video[..12 + 128].to_vec();
    let (kind, payload) = Control::SetChunkSize(50).to_bytes();
    write_message(&mut bytes, 128, 2, &header(0, kind, 0), &payload);
    bytes.push(0xc6);
    bytes.extend([1; 50]);
    bytes.push(0xc6);
    bytes.extend([1; 22]);
    assert_eq!(read_all(&bytes).unwrap()[0].payload, [1; 200]);
}

#[test]
fn a_header_that_leans_on_nothing_is_refused() {
    for basic in [0x86, 0xc6] {
        assert_eq!(
            read_all(&[basic, 0, 0, 1]),
            Err(ChunkError::NoPreviousHeader { csid: 6 })
        );
    }
    // Except the one librtmp sends: a ping answer of type 1.
    let pong = [0x42, 0, 0, 1, 0, 0, 6, 4, 0, 7, 0, 0, 0, 9];
    let read = read_all(&pong).unwrap();
    assert_eq!(read[0].header, header(1, 4, 0));
}

#[test]
fn an_announced_length_costs_nothing() {
    let mut reader = ChunkReader::new();
    let length = (RTMP_MESSAGE_MAX_BYTES as u32).to_be_bytes();
    for csid in 3..3 + RTMP_CHUNK_STREAMS_MAX as u8 {
        // Beyond 63 the short form ends.
        let basic = if csid < 64 {
            vec![csid]
        } else {
            vec![0, csid - 64]
        };
        let mut head = basic;
        head.extend([0, 0, 0]);
        head.extend(&length[1..]);
        head.extend([9, 1, 0, 0, 0, 0xaa]);
        let mut input = head.as_slice();
        assert_eq!(reader.read(&mut input), Ok(None));
        reader.body = None;
    }
    let held: usize = reader.streams.iter().map(|s| s.payload.capacity()).sum();
    assert!(held <= 64 * RTMP_CHUNK_STREAMS_MAX, "{held}");
    let mut one_more = &[1, 0, 9, 0, 0, 0, 0, 0, 1, 9, 1, 0, 0, 0][..];
    assert_eq!(
        reader.read(&mut one_more),
        Err(ChunkError::TooManyChunkStreams)
    );
}

#[test]
fn a_message_beyond_the_cap_is_refused_at_its_header() {
    let length = (RTMP_MESSAGE_MAX_BYTES as u32 + 1).to_be_bytes();
    let mut bytes = vec![6, 0, 0, 0];
    bytes.extend(&length[1..]);
    bytes.extend([9, 1, 0, 0, 0]);
    let bytes_long = RTMP_MESSAGE_MAX_BYTES + 1;
    assert_eq!(
        read_all(&bytes),
        Err(ChunkError::TooLong { bytes: bytes_long })
    );
}

#[test]
fn unfinished_messages_have_one_cap_together() {
    let mut reader = ChunkReader::new();
    let mut size = Vec::new();
    let (kind, payload) = Control::SetChunkSize(RTMP_MESSAGE_MAX_BYTES as u32 - 1).to_bytes();
    write_message(&mut size, 128, 2, &header(0, kind, 0), &payload);
    assert_eq!(reader.read(&mut size.as_slice()), Ok(None));
    let whole = vec![0; RTMP_MESSAGE_MAX_BYTES];
    let mut result = Ok(None);
    for csid in 3..8 {
        let mut out = Vec::new();
        let chunk_size = RTMP_MESSAGE_MAX_BYTES - 1;
        write_message(&mut out, chunk_size, csid, &header(0, VIDEO, 1), &whole);
        out.truncate(out.len() - 2);
        result = reader.read(&mut out.as_slice());
        assert!(reader.assembly_bytes() <= RTMP_ASSEMBLY_MAX_BYTES);
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(ChunkError::AssemblyFull));
}

#[test]
fn a_payload_never_holds_more_than_its_length() {
    let mut reader = ChunkReader::new();
    let mut out = Vec::new();
    write_message(&mut out, 128, 6, &header(0, VIDEO, 1), &[1; 1_000]);
    for byte in out.chunks(7) {
        let mut input = byte;
        if let Some(message) = reader.read(&mut input).unwrap() {
            assert_eq!(message.payload.capacity(), 1_000);
        }
    }
    assert_eq!(reader.assembly_bytes(), 0);
}
