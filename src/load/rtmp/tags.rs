//! Bodies of RTMP's media messages, stamped so that they stay decodable: a picture
//! by an SEI unit before its slices (ITU-T H.264 section D.1.6), a frame of AAC by
//! a data stream element before its channels (ISO 14496-3 section 4.4.2.4).

use crate::load::content::Content;
use crate::load::stamp::{STAMP_BYTES, Stamp};
use crate::wire::flv::{
    AudioPacket, AvcConfig, VideoPacket, parse_audio, parse_video, write_aac_frame,
    write_aac_sequence_header, write_avc_frame, write_avc_sequence_header,
};
use crate::wire::nal::{TYPE_PPS, TYPE_SPS, avcc, is_slice, nal_type, write_avcc};
use crate::wire::rtmp::message::{AUDIO, VIDEO};

const TYPE_SEI: u8 = 6;
/// `user_data_unregistered`: a UUID, and whatever its owner likes.
const USER_DATA: u8 = 5;
const UUID: [u8; 16] = *b"\x9d\x5a\xc1\x1e\x52\x68\x4c\x74\x8b\x61RhLtSt";
/// A stamp in half bytes: none is zero, so nothing has to be escaped.
const WRITTEN_BYTES: usize = 2 * STAMP_BYTES;
const HALF: u8 = 0x40;

/// AudioSpecificConfig of AAC-LC, 48 kHz, stereo.
const AAC_CONFIG: [u8; 2] = [0x11, 0x90];
/// A frame of it that is silent.
const AAC_SILENCE: [u8; 6] = [0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c];
/// Data stream element number 0, of so many bytes.
const AAC_DATA: [u8; 2] = [0x80, STAMP_BYTES as u8];

/// The body that says how pictures are coded. None without H.264.
pub fn video_header(content: &Content) -> Option<Vec<u8>> {
    let of = |kind| {
        let mut units = content.picture(0).iter().copied();
        units.find(|unit| nal_type(unit) == Some(kind))
    };
    let (mut record, mut body) = (Vec::new(), Vec::new());
    AvcConfig::of_sets(of(TYPE_SPS)?, of(TYPE_PPS)?)?.write(&mut record);
    write_avc_sequence_header(&mut body, &record);
    Some(body)
}

/// A picture of these units. Its parameter sets are left out: they are in the
/// header.
pub fn video(units: &[&[u8]], stamp: &Stamp) -> Vec<u8> {
    let mut data = Vec::new();
    write_avcc(&mut data, &sei(stamp));
    let slices = units
        .iter()
        .filter(|unit| nal_type(unit).is_some_and(is_slice));
    for unit in slices {
        write_avcc(&mut data, unit);
    }
    let mut body = Vec::with_capacity(data.len() + 5);
    write_avc_frame(&mut body, stamp.is_key, 0, &data);
    body
}

pub fn sound_header() -> Vec<u8> {
    let mut body = Vec::new();
    write_aac_sequence_header(&mut body, &AAC_CONFIG);
    body
}

/// A silent frame.
pub fn sound(stamp: &Stamp) -> Vec<u8> {
    let (mut data, mut body) = (AAC_DATA.to_vec(), Vec::new());
    stamp.append(&mut data);
    data.extend(AAC_SILENCE);
    write_aac_frame(&mut body, &data);
    body
}

/// The stamp of a message of the type `kind`. None of headers, and of whatever
/// was not sent by a load generator.
pub fn read(kind: u8, body: &[u8]) -> Option<Stamp> {
    match kind {
        VIDEO => match parse_video(body).ok()?.packet {
            VideoPacket::Frame { data, .. } => {
                avcc(data, 4).map_while(Result::ok).find_map(read_sei)
            }
            _ => None,
        },
        AUDIO => match parse_audio(body).ok()?.packet {
            AudioPacket::Frame(data) => {
                Stamp::read(data.strip_prefix(&AAC_DATA)?.get(..STAMP_BYTES)?)
            }
            _ => None,
        },
        _ => None,
    }
}

fn sei(stamp: &Stamp) -> Vec<u8> {
    let mut plain = Vec::with_capacity(STAMP_BYTES);
    stamp.append(&mut plain);
    let mut unit = vec![TYPE_SEI, USER_DATA, (UUID.len() + WRITTEN_BYTES) as u8];
    unit.extend(UUID);
    unit.extend(
        plain
            .iter()
            .flat_map(|byte| [HALF | byte >> 4, HALF | byte & 0xf]),
    );
    // The stop bit.
    unit.push(0x80);
    unit
}

fn read_sei(unit: &[u8]) -> Option<Stamp> {
    let head = [TYPE_SEI, USER_DATA, (UUID.len() + WRITTEN_BYTES) as u8];
    let written = unit.strip_prefix(&head)?.strip_prefix(&UUID)?;
    let (pairs, _) = written.get(..WRITTEN_BYTES)?.as_chunks();
    let plain: Vec<u8> = pairs
        .iter()
        .map(|[high, low]| high << 4 | low & 0xf)
        .collect();
    Stamp::read(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::VideoCodec;
    use crate::wire::nal::TYPE_IDR;

    fn stamp() -> Stamp {
        Stamp {
            number: 0x0000_0300,
            frame: 0x0000_0300,
            place: 0,
            packets: 1,
            is_key: true,
            sent_us: 0xff00_0000_0001,
        }
    }

    #[test]
    fn a_picture_bears_its_stamp_before_its_slices_and_nothing_to_escape() {
        let content = Content::new(Some(VideoCodec::H264), 300);
        let body = video(content.picture(0), &stamp());
        assert_eq!(read(VIDEO, &body), Some(stamp()));
        let tag = parse_video(&body).unwrap();
        assert!(tag.is_key);
        let VideoPacket::Frame { data, .. } = tag.packet else {
            panic!("{tag:?}");
        };
        let units: Vec<&[u8]> = avcc(data, 4).map(Result::unwrap).collect();
        let kinds: Vec<u8> = units.iter().filter_map(|unit| nal_type(unit)).collect();
        assert_eq!(kinds, [TYPE_SEI, TYPE_IDR]);
        assert!(units[0].windows(2).all(|pair| pair != [0, 0]));
        assert_eq!(units[0].len(), 3 + 16 + 48 + 1);
        assert_eq!(units[1], content.picture(0)[2]);
    }

    #[test]
    fn sound_bears_its_stamp() {
        assert_eq!(read(AUDIO, &sound(&stamp())), Some(stamp()));
    }

    #[test]
    fn headers_and_what_others_sent_have_none() {
        let content = Content::new(Some(VideoCodec::H264), 2_500);
        let header = video_header(&content).unwrap();
        assert!(matches!(
            parse_video(&header).unwrap().packet,
            VideoPacket::SequenceHeader(_)
        ));
        assert_eq!(read(VIDEO, &header), None);
        assert_eq!(read(AUDIO, &sound_header()), None);
        let mut body = Vec::new();
        write_avc_frame(&mut body, true, 0, &[0, 0, 0, 2, 0x65, 1]);
        assert_eq!(read(VIDEO, &body), None);
        let mut body = Vec::new();
        write_aac_frame(&mut body, &AAC_SILENCE);
        assert_eq!(read(AUDIO, &body), None);
        assert_eq!(read(AUDIO, &[]), None);
        assert_eq!(video_header(&Content::new(None, 0)), None);
    }
}
