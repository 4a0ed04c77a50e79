//! FLV: what is read lies within the body, and what is written of it reads
//! back the same.

use ringhall::wire::amf::amf0;
use ringhall::wire::flv::{
    AudioPacket, AvcConfig, VideoPacket, metadata, parse_audio, parse_video, write_aac_frame,
    write_aac_sequence_header, write_avc_frame, write_avc_sequence_header, write_opus_frame,
};

pub fn check(data: &[u8]) {
    video(data);
    audio(data);
    avc_config(data);
    if let Ok(values) = amf0::read_all(data) {
        let _ = metadata(&values);
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn video(data: &[u8]) {
    let Ok(tag) = parse_video(data) else {
        return;
    };
    let again = match tag.packet {
        VideoPacket::SequenceHeader(record) => {
            written(|out| write_avc_sequence_header(out, record))
        }
        VideoPacket::Frame {
            composition_ms,
            data,
        } => written(|out| write_avc_frame(out, tag.is_key, composition_ms, data)),
        VideoPacket::EndOfSequence | VideoPacket::Ignored => return,
    };
    let packet = parse_video(&again).map(|tag| tag.packet);
    assert_eq!(packet, Ok(tag.packet));
    if let VideoPacket::SequenceHeader(part) | VideoPacket::Frame { data: part, .. } = tag.packet {
        assert_within(part, data);
    }
}

fn audio(data: &[u8]) {
    let Ok(tag) = parse_audio(data) else {
        return;
    };
    match tag.packet {
        AudioPacket::SequenceHeader(config) => {
            assert_within(config, data);
            let again = written(|out| write_aac_sequence_header(out, config));
            assert_eq!(parse_audio(&again).unwrap().packet, tag.packet);
        }
        AudioPacket::Frame(frame) => {
            assert_within(frame, data);
            let aac = written(|out| write_aac_frame(out, frame));
            let opus = written(|out| write_opus_frame(out, frame));
            assert_eq!(parse_audio(&aac).unwrap().packet, tag.packet);
            assert_eq!(parse_audio(&opus).unwrap().packet, tag.packet);
        }
        AudioPacket::Silence => assert!(data.is_empty()),
        AudioPacket::EndOfSequence | AudioPacket::Ignored => {}
    }
}

fn assert_within(part: &[u8], whole: &[u8]) {
    assert!(!part.is_empty() && part.len() < whole.len());
    assert!(whole.as_ptr_range().contains(&part.as_ptr()));
}

fn avc_config(data: &[u8]) {
    if let Ok(config) = AvcConfig::parse(data) {
        let again = written(|out| config.write(out));
        assert_eq!(AvcConfig::parse(&again), Ok(config));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let record = b"\x01\x64\0\x0a\xff\xe1\0\x18gd\0\x0a\xac\xd9D{\x01\x10\0\0\x03\0\x10\0\0\x03\0\xa0\xf1\x22Y`\x01\0\x06h\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\0";
    vec![
        record.to_vec(),
        [&b"\x17\0\0\0\0"[..], record].concat(),
        b"\x17\x01\0\0\x85\0\0\0\x02\x06\x05".to_vec(),
        b"\x17\x02\0\0\0".to_vec(),
        b"\x22abc".to_vec(),
        // Enhanced video: start, frames with and without time, ModEx, tracks.
        [&b"\x90avc1"[..], record].concat(),
        b"\xa1avc1\xff\xff\xfe\0\0\0\x01A".to_vec(),
        b"\xa3vp09abc".to_vec(),
        b"\xa7\x02abc\x03avc1abc".to_vec(),
        b"\xa6\x13avc1\x01\0\0\x02ab\0\0\0\x01c".to_vec(),
        b"\xa6\x23av01\x01\0\0\x02abavc1\0\0\0\x01c".to_vec(),
        // Audio.
        b"\xaf\0\x12\x08\x56\xe5\0".to_vec(),
        b"\xaf\x01\x21\x10\x04".to_vec(),
        b"\x82\xff\xff".to_vec(),
        b"\x90OpusOpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0".to_vec(),
        b"\x94Opus\x01\x01\0\0\0\x04".to_vec(),
        b"\x91Opus\xf8\xff".to_vec(),
        b"\x95\x11Opus\x01\0\0\x01a\0\0\0\x01b".to_vec(),
        // onMetaData.
        b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\x02\0\x05width\0\x40\x84\0\0\0\0\0\0\0\x0cvideocodecid\x02\0\x04avc1\0\0\x09".to_vec(),
    ]
}
