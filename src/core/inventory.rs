//! Who is in which room, copied piece by piece: a core with thousands of rooms
//! must not stand still to tell of them. Nor one with thousands of viewers of
//! other cores' rooms, which come behind its own. Owns how far a copy is. What changes
//! meanwhile behind it is not told, what changes before it is; a stream of
//! somebody who came behind it is left out.

use std::ops::Bound;

use crate::base::snapshot::{AfarPlay, ParticipantSnapshot, RoomSnapshot};
use crate::core::machine::Core;
use crate::room::peer::AfarSeat;

pub(super) struct Inventory {
    pub rooms: Vec<RoomSnapshot>,
    pub afar_plays: Vec<AfarPlay>,
    pub participants: u64,
    with_rooms: bool,
    place: Place,
    /// The key last copied at this place, of rooms, members or streams.
    last: Option<String>,
}

enum Place {
    /// Between rooms.
    Rooms,
    /// In the room copied last.
    Members,
    Streams,
    /// Behind all rooms and this seat.
    Afar(Bound<AfarSeat>),
}

impl Inventory {
    /// Without rooms, participants are counted only.
    pub fn new(with_rooms: bool) -> Self {
        Inventory {
            rooms: Vec::new(),
            afar_plays: Vec::new(),
            participants: 0,
            with_rooms,
            place: Place::Rooms,
            last: None,
        }
    }

    fn after(&self) -> Bound<&str> {
        match &self.last {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        }
    }

    /// On with the next room.
    fn leave_room(&mut self) {
        self.place = Place::Rooms;
        self.last = self.rooms.last().map(|room| room.name.clone());
    }
}

impl Core {
    /// Copies up to `items` rooms, members, streams and viewers of other cores'
    /// rooms; whether that were all.
    pub(super) fn take_inventory(&self, inventory: &mut Inventory, mut items: usize) -> bool {
        while items > 0 {
            let copied = match inventory.place {
                Place::Rooms if inventory.with_rooms => self.copy_room(inventory),
                Place::Rooms => self.count_rooms(inventory, items),
                Place::Members => self.copy_members(inventory, items),
                Place::Streams => self.copy_streams(inventory, items),
                Place::Afar(after) => self.copy_afar(inventory, after, items),
            };
            let Some(copied) = copied else {
                return true;
            };
            items = items.saturating_sub(copied.max(1));
        }
        false
    }

    fn copy_room(&self, inventory: &mut Inventory) -> Option<usize> {
        let range = (inventory.after(), Bound::Unbounded);
        let Some((name, room)) = self.rooms.range::<str, _>(range).next() else {
            inventory.place = Place::Afar(Bound::Unbounded);
            return Some(0);
        };
        inventory.participants += room.roster.len() as u64;
        inventory.rooms.push(RoomSnapshot {
            name: name.clone(),
            ..RoomSnapshot::default()
        });
        inventory.place = Place::Members;
        inventory.last = None;
        Some(1)
    }

    fn count_rooms(&self, inventory: &mut Inventory, items: usize) -> Option<usize> {
        let range = (inventory.after(), Bound::Unbounded);
        let (mut count, mut participants, mut last) = (0, 0, None);
        for (name, room) in self.rooms.range::<str, _>(range).take(items) {
            participants += room.roster.len() as u64;
            (count, last) = (count + 1, Some(name));
        }
        inventory.participants += participants;
        inventory.last = Some(last?.clone());
        Some(count)
    }

    fn copy_members(&self, inventory: &mut Inventory, items: usize) -> Option<usize> {
        let name = inventory.rooms.last().map(|room| room.name.as_str());
        let Some(room) = name.and_then(|name| self.rooms.get(name)) else {
            inventory.leave_room();
            return Some(1);
        };
        let logins = room.roster.logins_after(inventory.after()).take(items);
        let copied: Vec<ParticipantSnapshot> = logins
            .map(|login| ParticipantSnapshot {
                login: login.to_string(),
                ..ParticipantSnapshot::default()
            })
            .collect();
        let count = copied.len();
        if count < items {
            inventory.place = Place::Streams;
            inventory.last = None;
        } else {
            inventory.last = copied.last().map(|participant| participant.login.clone());
        }
        if let Some(room) = inventory.rooms.last_mut() {
            room.participants.extend(copied);
        }
        Some(count)
    }

    fn copy_streams(&self, inventory: &mut Inventory, items: usize) -> Option<usize> {
        let mut copy = inventory.rooms.pop()?;
        let Some(room) = self.rooms.get(&copy.name) else {
            inventory.rooms.push(copy);
            inventory.leave_room();
            return Some(1);
        };
        let (mut count, mut last) = (0, None);
        let mut players = ParticipantSnapshot {
            plays: std::mem::take(&mut copy.players),
            ..ParticipantSnapshot::default()
        };
        for stream in room.roster.streams_after(inventory.after()).take(items) {
            (count, last) = (count + 1, Some(&stream.media_session_id));
            // In the order of their logins, as the room has them.
            let participants = &mut copy.participants;
            let found = participants.binary_search_by(|p| p.login.cmp(&stream.login));
            match found.ok().and_then(|at| participants.get_mut(at)) {
                Some(participant) => self.add_stream_snapshot(stream, participant),
                None if stream.is_player() => self.add_stream_snapshot(stream, &mut players),
                None => {}
            }
        }
        copy.players = players.plays;
        inventory.rooms.push(copy);
        if count < items {
            inventory.leave_room();
        } else {
            inventory.last = last.cloned();
        }
        Some(count)
    }

    fn copy_afar(
        &self,
        inventory: &mut Inventory,
        after: Bound<AfarSeat>,
        items: usize,
    ) -> Option<usize> {
        let (last, count) = self.copy_afar_plays(after, items, &mut inventory.afar_plays);
        inventory.place = Place::Afar(Bound::Excluded(last?));
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;
    use crate::core::border::CoreId;
    use crate::sim::browser::Plan;
    use crate::sim::world::{Options, World};

    const CORES: u16 = 3;
    const VIEWERS: usize = 7;

    /// Two rooms that are both on every core.
    fn world() -> World {
        let mut world = World::new(Options {
            cores: CORES,
            ..Options::clean(3)
        });
        for room in ["hall", "room"] {
            world.enter("cam", room, Plan::STAGE);
        }
        world.run_for(Span::from_secs(2));
        for number in 0..VIEWERS {
            for room in ["hall", "room"] {
                world.enter(&format!("viewer{number}"), room, Plan::AUDIENCE);
            }
        }
        world.run_for(Span::from_secs(3));
        world
    }

    #[test]
    fn pieces_of_any_size_make_the_same_whole_and_none_is_larger() {
        let mut world = world();
        let (mut rooms, mut afar) = (0, 0);
        for number in 0..CORES {
            let (core, out) = world.core_mut(CoreId(number));
            let whole = core.snapshot(out);
            rooms += whole.rooms.len();
            afar += whole.afar_plays.len();
            for items in [1, 2, 5, 256] {
                let mut inventory = Inventory::new(true);
                let mut copied = 0;
                loop {
                    let is_all = core.take_inventory(&mut inventory, items);
                    let now = size(&inventory);
                    assert!(now - copied <= items, "{} of {items}", now - copied);
                    copied = now;
                    if is_all {
                        break;
                    }
                }
                assert_eq!(told(&inventory.rooms), told(&whole.rooms));
                assert_eq!(told(&inventory.afar_plays), told(&whole.afar_plays));
                assert_eq!(inventory.participants, whole.gauges.participants);
            }
        }
        assert_eq!(rooms, 2);
        assert!(afar > VIEWERS, "{afar}");
    }

    #[test]
    fn without_rooms_viewers_of_other_cores_are_not_copied() {
        let mut world = world();
        for number in 0..CORES {
            let (core, _) = world.core_mut(CoreId(number));
            let mut inventory = Inventory::new(false);
            while !core.take_inventory(&mut inventory, 1) {}
            assert_eq!(size(&inventory), 0);
        }
    }

    /// Rooms, members, streams and viewers of other cores.
    fn size(inventory: &Inventory) -> usize {
        let rooms = inventory.rooms.iter().map(|room| {
            let people = &room.participants;
            let streams: usize = people.iter().map(|p| p.streams.len() + p.plays.len()).sum();
            1 + room.players.len() + people.len() + streams
        });
        rooms.sum::<usize>() + inventory.afar_plays.len()
    }

    fn told(state: &impl std::fmt::Debug) -> String {
        format!("{state:?}")
    }
}
