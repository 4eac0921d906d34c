//! A map by the ids of remotes, which are small, dense and bounded: a list with gaps.

/// A place for each id up to the highest one; whoever inserts has checked that there may be such a remote.
#[derive(Debug)]
pub(super) struct ById<T>(Vec<Option<Box<T>>>);

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ById<T> {
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.0.get(id as usize)?.as_deref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.0.get_mut(id as usize)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, id: u32, value: T) {
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(Box::new(value));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let ids = (0..).zip(&self.0);
        ids.filter_map(|(id, value)| Some((id, value.as_deref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let ids = (0..).zip(&mut self.0);
        ids.filter_map(|(id, value)| Some((id, value.as_deref_mut()?)))
    }
}
