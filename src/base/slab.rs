//! A generational slab: O(1) insert, look-up and removal by a key that goes
//! stale when its slot is reused, so an old key never reaches a new tenant.

use std::fmt;
use std::marker::PhantomData;

/// A slot index with the generation it was issued for.
pub struct Key<T> {
    index: u32,
    generation: u32,
    owner: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The slot number: dense, reused after removal.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The key as one integer, for tokens that leave the process.
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    pub const fn from_bits(bits: u64) -> Self {
        Key {
            index: bits as u32,
            generation: (bits >> 32) as u32,
            owner: PhantomData,
        }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
impl<T> Eq for Key<T> {}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_bits().cmp(&other.to_bits())
    }
}
impl<T> std::hash::Hash for Key<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The slab itself. Capacity grows to `capacity_max` and never beyond it.
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    capacity_max: u32,
}

impl<T> Slab<T> {
    pub fn new(capacity_max: u32) -> Self {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
            capacity_max,
        }
    }

    /// Inserts `value`; `None` when the slab holds `capacity_max` values.
    pub fn insert(&mut self, value: T) -> Option<Key<T>> {
        self.insert_with(|_| value)
    }

    /// Inserts what `make` builds for the key it will have.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<T>) -> T) -> Option<Key<T>> {
        if self.free.is_empty() {
            let index = u32::try_from(self.slots.len()).ok()?;
            if index >= self.capacity_max {
                return None;
            }
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            self.free.push(index);
        }
        let index = self.free.pop()?;
        let slot = self.slots.get_mut(index as usize)?;
        let key = Key {
            index,
            generation: slot.generation,
            owner: PhantomData,
        };
        slot.value = Some(make(key));
        Some(key)
    }

    pub fn get(&self, key: Key<T>) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.value.as_ref()
    }

    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.value.as_mut()
    }

    /// Takes the value out; the key and its copies are stale from here on.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn keys(&self) -> Vec<Key<T>> {
        self.iter().map(|(key, _)| key).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let value = slot.value.as_ref()?;
            let key = Key {
                index,
                generation: slot.generation,
                owner: PhantomData,
            };
            Some((key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_key_reaches_nothing() {
        let mut slab = Slab::new(2);
        let old = slab.insert("a").unwrap();
        assert_eq!(slab.remove(old), Some("a"));
        let new = slab.insert("b").unwrap();
        assert_eq!(old.index(), new.index());
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&"b"));
    }

    #[test]
    fn refuses_beyond_capacity() {
        let mut slab = Slab::new(1);
        let key = slab.insert(1).unwrap();
        assert!(slab.insert(2).is_none());
        slab.remove(key);
        assert!(slab.insert(3).is_some());
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn key_survives_its_integer_form() {
        let mut slab = Slab::new(1);
        let key = slab.insert(7).unwrap();
        assert_eq!(slab.get(Key::from_bits(key.to_bits())), Some(&7));
    }
}
