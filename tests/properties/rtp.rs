//! RTP: what a header claims lies inside the packet; a header written from the
//! fields of a parsed one parses to those fields.

use ringhall::wire::rtp::{
    EgressExtensions, EgressHeader, Header, payload_len, rtx_original_sequence, write_header,
};

pub fn check(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        return;
    };
    assert!((12..=data.len()).contains(&header.len));
    assert!(header.extension.start <= header.extension.end);
    assert_eq!(header.extension.end, header.len);
    if let Ok(len) = payload_len(&header, data) {
        assert!(header.len + len <= data.len());
        let payload = &data[header.len..header.len + len];
        if let Some((_, original)) = rtx_original_sequence(payload) {
            assert_eq!(original.len() + 2, len);
        }
    }
    for id in 0..=255 {
        if let Some(element) = header.extension(data, id) {
            assert!(element.len() <= header.extension.end - header.extension.start);
        }
    }
    // A prefix either fails or parses to the same header.
    for len in 0..data.len().min(header.len + 1) {
        assert_eq!(Header::parse(&data[..len]).is_ok(), len >= header.len);
    }
    rewrite(data, &header);
}

fn rewrite(data: &[u8], header: &Header) {
    let egress = EgressHeader {
        marker: header.marker,
        padding: header.padding,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    let short = |mid: &&[u8]| mid.len() <= 16;
    let extensions = EgressExtensions {
        mid: header.mid(data, 4).filter(short).map(|mid| (4, mid)),
        audio_level: header.audio_level(data, 1).map(|level| (1, level)),
        orientation: header.orientation(data, 3).map(|bits| (3, bits)),
    };
    let mut out = [0xffu8; 64];
    let len = write_header(&mut out, &egress, &extensions).expect("fits 64 bytes");
    for shorter in 0..len {
        assert_eq!(
            write_header(&mut vec![0; shorter], &egress, &extensions),
            None
        );
    }
    let packet = &out[..len];
    let again = Header::parse(packet).expect("parses");
    assert_eq!(again.len, len);
    assert_eq!(
        egress,
        EgressHeader {
            marker: again.marker,
            padding: again.padding,
            payload_type: again.payload_type,
            sequence: again.sequence,
            timestamp: again.timestamp,
            ssrc: again.ssrc,
        }
    );
    assert_eq!(again.mid(packet, 4), extensions.mid.map(|(_, mid)| mid));
    assert_eq!(
        again.audio_level(packet, 1),
        extensions.audio_level.map(|(_, level)| level)
    );
    assert_eq!(
        again.orientation(packet, 3),
        extensions.orientation.map(|(_, bits)| bits)
    );
}

pub fn seeds() -> Vec<Vec<u8>> {
    let fixed = [0x80u8, 0x80 | 96, 0xff, 0xfe, 0, 1, 2, 3, 9, 9, 9, 9];
    let with = |first: u8, rest: &[u8]| {
        let mut packet = [&fixed[..], rest].concat();
        packet[0] = first;
        packet
    };
    vec![
        with(0x80, b"payload"),
        // One-byte extensions: level, mid, orientation, padding bytes.
        with(
            0x90,
            &[
                0xbe, 0xde, 0, 3, 0x10, 0x85, 0, 0x41, b'v', b'0', 0x30, 3, 0, 0, 0, 0, 1, 2,
            ],
        ),
        // Two-byte extensions, one empty.
        with(
            0x90,
            &[
                0x10, 0, 0, 3, 1, 1, 0x7f, 4, 2, b'a', b'0', 3, 0, 0, 0, 0, 5,
            ],
        ),
        // CSRCs, and padding of three bytes.
        with(0xa2, &[1, 1, 1, 1, 2, 2, 2, 2, 7, 7, 0, 0, 3]),
        // Padding longer than the payload.
        with(0xa0, &[0, 200]),
        // Extensions past the end.
        with(0x90, &[0xbe, 0xde, 0xff, 0xff, 1]),
        // An element past its block.
        with(0x90, &[0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0, 9]),
    ]
}
