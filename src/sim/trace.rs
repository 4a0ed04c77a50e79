//! The fingerprint of a run: one number over everything that happened, in
//! order. Covers times, who, and plain texts; never ciphertext, since key
//! exchange may draw on the host's randomness.

use crate::base::time::Time;

/// What an entry of the trace is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signalling message heard by a browser.
    Heard,
    /// A signalling message said by a browser.
    Said,
    /// RTP sent by a browser, in clear.
    RtpSent,
    /// RTP received by a browser, in clear.
    RtpReceived,
    RtcpSent,
    RtcpReceived,
    /// An event of a core.
    Event,
}

/// FNV-1a over the entries.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    entries: u64,
}

impl Trace {
    pub fn new() -> Self {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            entries: 0,
        }
    }

    pub fn note(&mut self, now: Time, who: usize, kind: Kind, text: &[u8]) {
        self.entries += 1;
        self.bytes(&now.as_us().to_le_bytes());
        self.bytes(&(who as u64).to_le_bytes());
        self.bytes(&[kind as u8]);
        self.bytes(text);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Entries noted: two empty traces agree about nothing.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
