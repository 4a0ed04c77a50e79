//! What a guest sends who publishes: frames of VP8 packets of browsers' usual
//! size, sealed with its keys.

use std::error::Error;

use super::guest::Guest;

/// Payload of one packet: with its 12-byte header 1,200 bytes.
pub const PAYLOAD_BYTES: usize = 1_188;
const HEADER_BYTES: usize = 12;
const VP8: u8 = 96;
/// Room for any profile's tail.
const TAIL_BYTES: usize = 32;

/// What one publisher has sent.
#[derive(Default)]
pub struct Stage {
    packets: u64,
    frames: u32,
}

impl Stage {
    /// The next frame, of `k` packets, as they are on the wire.
    pub fn frame(
        &mut self,
        guest: &mut Guest,
        k: usize,
        is_key: bool,
    ) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        let ssrc = guest.video_ssrc().ok_or("the offer names no SSRC")?;
        let keys = guest.keys.as_mut().ok_or("not connected")?;
        let timestamp = self.frames.wrapping_mul(3_000);
        self.frames += 1;
        let mut frame = Vec::new();
        for place in 0..k {
            self.packets += 1;
            let index = self.packets;
            let len = HEADER_BYTES + PAYLOAD_BYTES;
            let mut packet = vec![index as u8; len + TAIL_BYTES];
            packet[0] = 0x80;
            packet[1] = VP8 | u8::from(place + 1 == k) << 7;
            packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
            // RFC 7741 section 4.2, without a picture number; P = 0 begins a
            // key frame, whose start code and size follow.
            packet[12] = if place == 0 { 0x10 } else { 0 };
            let head = [u8::from(!is_key), 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0xe0, 1];
            packet[13..23].copy_from_slice(&head);
            let sender = &mut keys.sender;
            let sealed = sender.protect_rtp(ssrc, index, &mut packet, HEADER_BYTES, len);
            packet.truncate(sealed.map_err(|error| format!("{error:?}"))?);
            frame.push(packet);
        }
        Ok(frame)
    }

    /// The payload of the last packet sent.
    pub fn last_byte(&self) -> u8 {
        self.packets as u8
    }
}
