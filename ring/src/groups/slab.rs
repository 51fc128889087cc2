//! Things in numbered places, reused after removal.

/// Grows to the most things it ever held at once.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts `thing` somewhere; says where.
    pub(super) fn insert(&mut self, thing: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(thing);
            return place;
        }
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Some(thing));
        place
    }

    /// What is at `place`.
    pub(super) fn at(&self, place: u32) -> Option<&T> {
        self.places.get(place as usize)?.as_ref()
    }

    /// What is at `place`.
    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut T> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// Takes what is at `place` away.
    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let thing = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(thing)
    }

    /// Places, with or without something in them.
    pub(super) const fn places(&self) -> usize {
        self.places.len()
    }

    /// How many things it holds.
    pub(super) const fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
