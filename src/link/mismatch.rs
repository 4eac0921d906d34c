//! What the peer declares differently from the server, or means by names that the server does not use yet.
//!
//! The peer's list is hostile: what is kept of it has a bound. Knows nothing about registries: it is
//! shown every remote that the peer is told of.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Link;
use crate::{
    registry::describe,
    wire::remote::{Announcement, DeclaredRemotes, RemoteInfo},
};

#[derive(Default)]
pub(super) struct Mismatches {
    /// Whether there is any: an honest peer costs one look.
    any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_id: BTreeMap<u32, Arc<RemoteInfo>>,
    /// What the peer declares that the server does not, as long as it does not.
    unmatched: BTreeMap<Box<str>, RemoteInfo>,
}

impl Mismatches {
    fn get(&self, id: u32) -> Option<Arc<RemoteInfo>> {
        match self.any.load(Ordering::Acquire) {
            true => self.lock().by_id.get(&id).cloned(),
            false => None,
        }
    }

    /// Compares some of what the peer declares with `ours`, and keeps some of what it has beyond that. Of a name
    /// that is there twice, the first counts.
    fn note<'a>(
        &self,
        theirs: impl Iterator<Item = RemoteInfo<&'a str>>,
        ours: &mut ByName<'_>,
        found: &mut Differences,
    ) {
        let mut known = self.lock();
        for info in theirs {
            match ours.get_mut(info.name()) {
                Some(ours) => {
                    if let Some(ours) = ours.take()
                        && ours.remote.differs(&info)
                    {
                        self.differs(&mut known, found, ours, info.to_owned());
                    }
                }
                None if known.unmatched.len() < MOST_UNMATCHED => {
                    let place = known.unmatched.entry(info.name().into());
                    place.or_insert_with(|| info.to_owned());
                }
                None => {}
            }
        }
    }

    /// Compares `ours`, which the server had not before, with what the peer means by the same names, each
    /// once.
    fn compare(&self, ours: &[Announcement]) -> Differences {
        let mut known = self.lock();
        let mut found = Differences::default();
        if known.unmatched.is_empty() {
            return found;
        }
        for ours in ours {
            if let Some(theirs) = known.unmatched.remove(ours.remote.name())
                && ours.remote.differs(&theirs)
            {
                self.differs(&mut known, &mut found, ours, theirs);
            }
        }
        found
    }

    fn differs(
        &self,
        known: &mut Known,
        found: &mut Differences,
        Announcement { id, remote }: &Announcement,
        theirs: RemoteInfo,
    ) {
        let theirs = Arc::new(theirs);
        known.by_id.insert(*id, theirs.clone());
        self.any.store(true, Ordering::Release);
        // A client that declares everything differently says so at every attempt to join.
        match known.by_id.len() {
            count if count <= REPORTED => found.named.push((remote.clone(), theirs)),
            count => found.more |= count == REPORTED + 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's remotes, each until the peer has named it.
type ByName<'a> = HashMap<&'a str, Option<&'a Announcement>>;

fn by_name(ours: &[Announcement]) -> ByName<'_> {
    let ours = ours.iter().map(|ours| (ours.remote.name(), Some(ours)));
    ours.collect()
}

/// What the peer declares differently, to be told when no lock is held: a log is the program's code.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Differences {
    /// Ours and theirs.
    named: Vec<(RemoteInfo, Arc<RemoteInfo>)>,
    /// There are others that are not named.
    more: bool,
}

impl Differences {
    /// Says so of the peer with this number; only those remotes fail.
    pub(super) fn report(self, player: u64) {
        for (ours, theirs) in self.named {
            tracing::warn!(
                player,
                remote = theirs.name(),
                ours = describe(&ours),
                theirs = describe(&theirs),
                "a client declares this remote differently: it cannot be used"
            );
        }
        if self.more {
            tracing::warn!(player, "a client declares more remotes differently");
        }
    }
}

impl Link {
    /// Takes note of what the peer declares, and compares it with `ours`: all that the server has now. Others have
    /// their turns meanwhile, as lists may be long.
    pub(crate) async fn set_declared(&self, theirs: &DeclaredRemotes, ours: &[Announcement]) {
        let (mut ours, mut found) = (by_name(ours), Differences::default());
        let mut theirs = theirs.iter().peekable();
        loop {
            let some = theirs.by_ref().take(AT_A_TIME);
            self.mismatches.note(some, &mut ours, &mut found);
            if theirs.peek().is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        found.report(self.id);
    }

    /// Compares remotes of the server with the peer's.
    pub(super) fn compare(&self, ours: &[Announcement]) -> Differences {
        self.mismatches.compare(ours)
    }

    /// What the peer declares under the name of remote `id`, where that differs.
    pub(crate) fn mismatch(&self, id: u32) -> Option<Arc<RemoteInfo>> {
        self.mismatches.get(id)
    }
}

/// Remotes of the peer that are compared in one turn.
const AT_A_TIME: usize = 1024;
/// Remotes of one peer that are reported by name when both sides declare them differently.
const REPORTED: usize = 8;
/// What is kept of the peer's list for later: with names and shapes, which a hello bounds, less than
/// 192 KiB. Of more, the client alone notices that they differ.
const MOST_UNMATCHED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::RemoteKind;

    fn info(name: &str, shape: &str) -> RemoteInfo {
        RemoteInfo::new(name, RemoteKind::Event, shape).expect("a short name")
    }

    fn server(id: u32, name: &str) -> Announcement {
        let remote = info(name, "u32");
        Announcement { id, remote }
    }

    fn declared(infos: impl IntoIterator<Item = RemoteInfo>) -> DeclaredRemotes {
        DeclaredRemotes::new(&infos.into_iter().collect::<Vec<_>>())
    }

    fn names(found: &Differences) -> Vec<&str> {
        found.named.iter().map(|(ours, _)| ours.name()).collect()
    }

    #[test]
    fn each_name_is_compared_once_and_the_first_of_it_counts() {
        let mismatches = Mismatches::default();
        let theirs = [("a", "str"), ("a", "u32"), ("b", "u32"), ("b", "str")];
        let later = [("c", "str"), ("c", "u32"), ("d", "")];
        let theirs = theirs.into_iter().chain(later);
        let theirs = declared(theirs.map(|(name, shape)| info(name, shape)));
        let ours = [server(1, "a"), server(2, "b"), server(3, "e")];
        let mut found = Differences::default();
        mismatches.note(theirs.iter(), &mut by_name(&ours), &mut found);
        assert_eq!(names(&found), ["a"]);
        assert!(mismatches.compare(&ours).named.is_empty());
        let new = [server(4, "c"), server(5, "d")];
        assert_eq!(names(&mismatches.compare(&new)), ["c"]);
        assert!(mismatches.compare(&new).named.is_empty());
        let differs = (1..6).filter(|id| mismatches.get(*id).is_some());
        assert_eq!(differs.collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn what_is_kept_of_a_list_is_bounded_however_long_it_is() {
        let mismatches = Mismatches::default();
        let theirs = declared((0..4096).map(|n| info(&n.to_string(), "str")));
        let mut found = Differences::default();
        mismatches.note(theirs.iter(), &mut by_name(&[]), &mut found);
        assert!(found.named.is_empty());
        assert_eq!(mismatches.lock().unmatched.len(), MOST_UNMATCHED);
        let ours: Vec<_> = (0..4096).map(|n| server(n + 1, &n.to_string())).collect();
        let found = mismatches.compare(&ours);
        assert_eq!((found.named.len(), found.more), (REPORTED, true));
        assert_eq!(mismatches.lock().by_id.len(), MOST_UNMATCHED);
        assert!(mismatches.lock().unmatched.is_empty());
    }
}
