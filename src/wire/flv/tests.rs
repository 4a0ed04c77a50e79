use super::*;
use crate::wire::amf::{Value, amf0};

/// Bytes of hexadecimal digits; spaces are for the reader.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// x264 by FFmpeg, High profile, 64x48.
const AVC_RECORD: &str = "0164000affe10018 67640 00aacd9447b0110000003001000000300a0f1225960 \
     01 0006 68ebe3cb22c0 fdf8f800";

#[test]
fn legacy_avc() {
    let record = bytes(AVC_RECORD);
    let body = written(|out| write_avc_sequence_header(out, &record));
    assert_eq!(body[..5], bytes("17 00 000000"));
    let header = VideoTag {
        codec: VideoCodecId::Avc,
        is_key: true,
        packet: VideoPacket::SequenceHeader(&record),
    };
    assert_eq!(parse_video(&body), Ok(header));

    let body = bytes("17 01 000085 000002aa06");
    let Ok(tag) = parse_video(&body) else {
        panic!("no tag");
    };
    assert!(tag.is_key);
    let data = &body[5..];
    let frame = |composition_ms| VideoPacket::Frame {
        composition_ms,
        data,
    };
    assert_eq!(tag.packet, frame(133));
    assert_eq!(written(|out| write_avc_frame(out, true, 133, data)), body);

    let body = written(|out| write_avc_frame(out, false, -2, data));
    assert_eq!(body[..5], bytes("27 01 fffffe"));
    let tag = parse_video(&body).unwrap();
    assert_eq!((tag.is_key, tag.packet), (false, frame(-2)));

    let end = bytes("17 02 000000");
    assert_eq!(
        parse_video(&end).unwrap().packet,
        VideoPacket::EndOfSequence
    );
}

#[test]
fn composition_times_beyond_24_bits_are_held() {
    for (given, read) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000)] {
        let body = written(|out| write_avc_frame(out, false, given, &[1]));
        let packet = parse_video(&body).unwrap().packet;
        let VideoPacket::Frame { composition_ms, .. } = packet else {
            panic!("no frame");
        };
        assert_eq!(composition_ms, read);
    }
}

#[test]
fn video_without_use_is_ignored() {
    for body in [
        "",
        // A command, and one in Enhanced RTMP.
        "57 00",
        "d0 00",
        // A frame of no bytes, an unknown packet type, HDR metadata.
        "27 01 000000",
        "17 03 000000",
        "94 61766331 02",
        // MPEG-2 TS, an unknown packet type.
        "95 61763031 00",
        "9f 61763031 00",
        // Track 1 alone.
        "96 01 61766331 01 00000000aa",
    ] {
        let body = bytes(body);
        let packet = parse_video(&body).unwrap().packet;
        assert_eq!(packet, VideoPacket::Ignored, "{body:02x?}");
    }
}

#[test]
fn other_legacy_codecs() {
    for (body, codec) in [
        ("22 aa", VideoCodecId::Sorenson),
        ("24 aa", VideoCodecId::Vp6),
        ("23 aa", VideoCodecId::Other(3)),
    ] {
        let body = bytes(body);
        let tag = parse_video(&body).unwrap();
        let packet = VideoPacket::Frame {
            composition_ms: 0,
            data: &[0xaa],
        };
        assert_eq!((tag.codec, tag.is_key, tag.packet), (codec, false, packet));
    }
}

#[test]
fn enhanced_video() {
    let frame = |composition_ms, data| VideoPacket::Frame {
        composition_ms,
        data,
    };
    for (body, codec, is_key, packet) in [
        (
            "90 61766331 01",
            VideoCodecId::Avc,
            true,
            VideoPacket::SequenceHeader(&[1]),
        ),
        (
            "a1 61766331 ffffff 07",
            VideoCodecId::Avc,
            false,
            frame(-1, &[7]),
        ),
        ("a3 61766331 07", VideoCodecId::Avc, false, frame(0, &[7])),
        (
            "91 68766331 000010 07",
            VideoCodecId::Hevc,
            true,
            frame(16, &[7]),
        ),
        ("91 61763031 07", VideoCodecId::Av1, true, frame(0, &[7])),
        ("a1 76703039 07", VideoCodecId::Vp9, false, frame(0, &[7])),
        ("a1 76703038 07", VideoCodecId::Vp8, false, frame(0, &[7])),
        (
            "92 61766331",
            VideoCodecId::Avc,
            true,
            VideoPacket::EndOfSequence,
        ),
        (
            "a3 78787878 07",
            VideoCodecId::Other(0x7878_7878),
            false,
            frame(0, &[7]),
        ),
        // ModEx of three bytes, then one of 256, then frames.
        (
            "a7 02 aabbcc 03 61766331 07",
            VideoCodecId::Avc,
            false,
            frame(0, &[7]),
        ),
    ] {
        let body = bytes(body);
        let tag = parse_video(&body).unwrap();
        assert_eq!((tag.codec, tag.is_key, tag.packet), (codec, is_key, packet));
    }
}

#[test]
fn long_modifiers() {
    let mut body = bytes("a7 ff 00ff");
    body.extend([0; 256]);
    body.extend(bytes("07 00 aa 03 61766331 07"));
    let packet = parse_video(&body).unwrap().packet;
    let frame = VideoPacket::Frame {
        composition_ms: 0,
        data: &[7],
    };
    assert_eq!(packet, frame);
    for cut in 1..body.len() - 1 {
        assert_eq!(parse_video(&body[..cut]), Err(FlvError::Truncated));
    }
}

#[test]
fn of_many_tracks_the_one_numbered_zero() {
    let frame = VideoPacket::Frame {
        composition_ms: 0,
        data: &[7],
    };
    for body in [
        // One track; two of one codec; two of two.
        "a6 03 61766331 00 07",
        "a6 13 61766331 01 000002 aabb 00 000001 07",
        "a6 23 61763031 01 000002 aabb 61766331 00 000001 07",
    ] {
        let body = bytes(body);
        let tag = parse_video(&body).unwrap();
        assert_eq!((tag.codec, tag.packet), (VideoCodecId::Avc, frame));
    }
    assert_eq!(
        parse_video(&bytes("a6 13 61766331 00 000009 07")),
        Err(FlvError::Truncated)
    );
}

#[test]
fn legacy_audio() {
    let config = bytes("12 08 56 e5 00");
    let body = written(|out| write_aac_sequence_header(out, &config));
    assert_eq!(body, bytes("af 00 12 08 56 e5 00"));
    let tag = parse_audio(&body).unwrap();
    assert_eq!(tag.codec, AudioCodecId::Aac);
    assert_eq!(tag.packet, AudioPacket::SequenceHeader(&config));

    let body = written(|out| write_aac_frame(out, &[0x21, 0x10]));
    assert_eq!(body, bytes("af 01 21 10"));
    let packet = parse_audio(&body).unwrap().packet;
    assert_eq!(packet, AudioPacket::Frame(&[0x21, 0x10]));

    let mu = written(|out| write_pcmu_frame(out, &[0xff]));
    assert_eq!(mu, bytes("82 ff"));
    let a = written(|out| write_pcma_frame(out, &[0xd5]));
    for (body, codec) in [
        (&mu[..], AudioCodecId::Pcmu),
        (&a, AudioCodecId::Pcma),
        (&[0x83, 0xff], AudioCodecId::Pcmu),
        (&[0xb2, 0xff], AudioCodecId::Speex),
        (&[0x2f, 0xff], AudioCodecId::Mp3),
        (&[0xe2, 0xff], AudioCodecId::Mp3),
        (&[0x42, 0xff], AudioCodecId::Nellymoser),
        (&[0x52, 0xff], AudioCodecId::Nellymoser),
        (&[0x62, 0xff], AudioCodecId::Nellymoser),
        (&[0x32, 0xff], AudioCodecId::Other(3)),
    ] {
        let tag = parse_audio(body).unwrap();
        let packet = AudioPacket::Frame(&body[1..]);
        assert_eq!((tag.codec, tag.packet), (codec, packet));
    }
}

#[test]
fn audio_without_use() {
    assert_eq!(parse_audio(&[]).unwrap().packet, AudioPacket::Silence);
    for body in [
        "82",
        "af 01",
        "af 00",
        "af 07 00",
        "94 4f707573 01 01 00000004",
    ] {
        let body = bytes(body);
        let packet = parse_audio(&body).unwrap().packet;
        assert_eq!(packet, AudioPacket::Ignored, "{body:02x?}");
    }
    assert_eq!(parse_audio(&[0xaf]), Err(FlvError::Truncated));
    assert_eq!(parse_audio(&bytes("91 4f7075")), Err(FlvError::Truncated));
}

#[test]
fn opus_as_ffmpeg_sends_it() {
    let start = bytes("90 4f707573 4f70757348656164 01 01 3801 80bb0000 0000 00");
    let head = OpusHead {
        channels: 1,
        pre_skip: 312,
    };
    assert_eq!(written(|out| write_opus_sequence_start(out, &head)), start);
    let tag = parse_audio(&start).unwrap();
    assert_eq!(tag.codec, AudioCodecId::Opus);
    assert_eq!(tag.packet, AudioPacket::SequenceHeader(&start[5..]));

    let body = written(|out| write_opus_frame(out, &[0xf8, 0xff]));
    assert_eq!(body, bytes("91 4f707573 f8ff"));
    let packet = parse_audio(&body).unwrap().packet;
    assert_eq!(packet, AudioPacket::Frame(&[0xf8, 0xff]));
    let end = bytes("92 4f707573");
    let packet = parse_audio(&end).unwrap().packet;
    assert_eq!(packet, AudioPacket::EndOfSequence);
    // Track 0 of two; AAC and MP3 by FourCC.
    let tracks = bytes("95 11 4f707573 01 000001 aa 00 000001 f8");
    let packet = parse_audio(&tracks).unwrap().packet;
    assert_eq!(packet, AudioPacket::Frame(&[0xf8]));
    let aac = parse_audio(&bytes("90 6d703461 1208")).unwrap().codec;
    assert_eq!(aac, AudioCodecId::Aac);
    let mp3 = parse_audio(&bytes("91 2e6d7033 ff")).unwrap().codec;
    assert_eq!(mp3, AudioCodecId::Mp3);
}

#[test]
fn avc_records_read_and_write() {
    for record in [
        AVC_RECORD,
        "0142c00affe100176742c00ad9047b0110000003001000000300a0f122648001000568cb83cb20",
        "014d4028ffe1001a674d4028eca03c0113f2e022000003000200000300141e30632c01000568ebe3cb20",
        "01f40015ffe1001b67f40015919b282821f89c05b2000003000200000300143e28532c01000868fba3c44c000440fff8f800",
    ] {
        let record = bytes(record);
        let config = AvcConfig::parse(&record).unwrap();
        assert_eq!(config.nal_length_bytes, 4);
        assert_eq!((config.sps.len(), config.pps.len()), (1, 1));
        assert_eq!(written(|out| config.write(out)), record);
        let made = AvcConfig::of_sets(config.sps[0], config.pps[0]);
        assert_eq!(made, Some(config));
    }
}

#[test]
fn broken_avc_records() {
    let record = bytes(AVC_RECORD);
    let needed = record.len() - 4;
    for cut in 0..needed {
        assert_eq!(AvcConfig::parse(&record[..cut]), Err(FlvError::Truncated));
    }
    assert!(AvcConfig::parse(&record[..needed]).is_ok());
    let with = |at: usize, byte: u8| {
        let mut changed = record.clone();
        changed[at] = byte;
        AvcConfig::parse(&changed).map(|_| ())
    };
    assert_eq!(with(0, 0), Err(FlvError::UnknownVersion(0)));
    assert_eq!(with(4, 0xfe), Err(FlvError::BadLengthSize));
    assert_eq!(with(7, 0), Err(FlvError::EmptyParameterSet));
    assert_eq!(with(5, 0xff), Err(FlvError::Truncated));
}

/// FFmpeg's own, shortened by what is not read.
#[test]
fn metadata_of_an_encoder() {
    let hex = "02000d40736574446174614672616d65 02000a6f6e4d65746144617461 08 0000000d \
        0005 7769647468 00 4050000000000000 \
        0006 686569676874 00 4048000000000000 \
        0009 6672616d6572617465 00 4014000000000000 \
        000c 766964656f636f6465636964 00 401c000000000000 \
        000c 617564696f636f6465636964 00 4024000000000000 \
        0007 656e636f646572 02 000d 4c61766635392e32372e313030 000009";
    let values = amf0::read_all(&bytes(hex)).unwrap();
    let announced = Metadata {
        has_audio: true,
        has_video: true,
    };
    assert_eq!(metadata(&values), Some(announced));
    assert_eq!(metadata(&values[1..]), Some(announced));
    assert_eq!(metadata(&values[..1]), None);
    assert_eq!(metadata(&[]), None);
}

#[test]
fn metadata_is_a_hint() {
    let announced = |properties: &[(&str, Value)]| {
        let own = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
        let object = Value::Object(properties.iter().map(own).collect());
        metadata(&[Value::String("onMetaData".to_owned()), object]).unwrap()
    };
    let odd = announced(&[
        ("videocodecid", Value::String("avc1".to_owned())),
        ("audiocodecid", Value::Null),
    ]);
    let expected = Metadata {
        has_audio: false,
        has_video: true,
    };
    assert_eq!(odd, expected);
    let nothing = [Value::String("onMetaData".to_owned()), Value::Null];
    assert_eq!(metadata(&nothing), Some(Metadata::default()));
    let cue = [Value::String("onCuePoint".to_owned()), Value::Null];
    assert_eq!(metadata(&cue), None);
}
