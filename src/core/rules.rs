//! What the operator lets people do; by default, everything.

use crate::base::time::Span;
use crate::core::rates::RateSettings;
use crate::core::record::RecordRules;
use crate::ops::access::Access;
use crate::ops::config::RoomCodecs;

#[derive(Clone)]
pub struct Rules {
    /// Who may join, publish and play.
    pub access: Access,
    /// What operators show; none: they are answered on loopback only.
    pub admin_token: Option<String>,
    /// Pages of which origins may connect; empty: of any.
    pub origins: Vec<String>,
    pub rates: RateSettings,
    /// Connections one address may have open at each core; 0: any number.
    pub connections_per_address: u32,
    /// Participants of a room; 0: as many as the server bears.
    pub participants_max: usize,
    /// What is recorded, and how.
    pub record: RecordRules,
    /// Packets of a frame are made equally long.
    pub padding: bool,
    /// How long a frame's first packets wait for its last.
    pub hold: Span,
    /// How busy a room's home core may be, of a thousand, before its viewers
    /// are seated elsewhere; beyond 1,000: never.
    pub spread_above_permille: u32,
    /// Rooms with an order of preference of their own, by name.
    pub room_codecs: Vec<RoomCodecs>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            access: Access::open(),
            admin_token: None,
            origins: Vec::new(),
            rates: RateSettings::default(),
            connections_per_address: 0,
            participants_max: 0,
            record: RecordRules::default(),
            padding: true,
            hold: Span::from_ms(1),
            spread_above_permille: 500,
            room_codecs: Vec::new(),
        }
    }
}
