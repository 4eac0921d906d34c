//! How buffers and lists grow of which most players need little. Knows nothing about what is in them.

/// How much room a buffer makes when it has none: the more often, the more.
///
/// Most players are told little most of the time, and hold next to nothing for it; one that is told much
/// has its room after a few times, and no allocation for an event from then on.
#[derive(Debug, Default)]
pub(super) struct Growth {
    last: usize,
    /// There were events since it was last asked.
    pub(super) used: bool,
}

impl Growth {
    /// What to make room for, if `size` is needed.
    pub(super) fn next(&mut self, size: usize, most: usize) -> usize {
        self.last = (self.last * 2).clamp(FIRST_STEP, most);
        self.last.max(size)
    }

    /// Whether the buffer is of the first size, and there were no events since it was last asked.
    pub(super) fn is_idle(&self) -> bool {
        !self.used && self.last <= FIRST_STEP
    }

    /// Whether there were events since this was last asked; if not, it begins anew.
    pub(super) fn was_used(&mut self) -> bool {
        let used = std::mem::take(&mut self.used);
        if !used {
            self.last = 0;
        }
        used
    }
}

/// Appends to a list that mostly has one entry: `Vec` begins with room for four.
pub(crate) fn push_to_few<T>(list: &mut Vec<T>, entry: T) {
    if list.capacity() == 0 {
        list.reserve_exact(1);
    }
    list.push(entry);
}

/// What a buffer begins with: a ping or two, or a few small events.
const FIRST_STEP: usize = 128;
