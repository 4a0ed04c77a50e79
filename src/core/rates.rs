//! How much one address may ask of this core. Each core counts what it sees
//! itself: an address gets its rate at least, and at most that of every core.

use std::net::IpAddr;

use crate::base::hash::Map;
use crate::base::rate::{AddressKey, RateLimiter, address_key};
use crate::base::time::Time;

/// Per second and address, ten times that at once; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSettings {
    pub connections: u32,
    pub joins: u32,
    pub messages: u32,
}

/// What [`RateSettings`] allow at once, in seconds' worth: a page that opens, a
/// class that comes in together behind one address.
const BURST_S: u32 = 10;

/// Open connections by address.
#[derive(Default)]
pub(super) struct OpenConnections(Map<AddressKey, u32>);

impl OpenConnections {
    /// Counts one more; `false` if the address has more than `max` now.
    pub fn add(&mut self, address: IpAddr, max: u32) -> bool {
        let count = self.0.entry(address_key(address)).or_default();
        *count += 1;
        max == 0 || *count <= max
    }

    pub fn remove(&mut self, address: IpAddr) {
        let key = address_key(address);
        if let Some(count) = self.0.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }
}

pub(super) struct Rates {
    pub connections: Rate,
    pub joins: Rate,
    pub messages: Rate,
}

impl Rates {
    pub fn new(settings: &RateSettings) -> Self {
        Rates {
            connections: Rate::new(settings.connections),
            joins: Rate::new(settings.joins),
            messages: Rate::new(settings.messages),
        }
    }
}

pub(super) struct Rate(RateLimiter<AddressKey>);

impl Rate {
    fn new(per_s: u32) -> Self {
        Rate(RateLimiter::new(per_s, per_s.saturating_mul(BURST_S)))
    }

    pub fn allow(&mut self, now: Time, address: IpAddr) -> bool {
        self.0.allow(now, address_key(address))
    }
}
