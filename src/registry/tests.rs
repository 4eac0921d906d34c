use std::sync::atomic::AtomicUsize;

use super::*;
use crate::remote::{RemoteEvent, RemoteKind};

fn announcement(id: u32, name: &str, shape: &str) -> Announcement {
    let remote = RemoteInfo::new(name, RemoteKind::Event, shape).expect("a short name");
    Announcement { id, remote }
}

/// A client's registry, and how often it told that something changed.
fn client() -> (Registry<()>, Arc<AtomicUsize>) {
    let (registry, told) = (Registry::new(false), Arc::<AtomicUsize>::default());
    let counter = told.clone();
    registry.on_change(move |_| _ = counter.fetch_add(1, Ordering::Relaxed));
    (registry, told)
}

/// Of names that nobody here uses, the table holds nothing, and nobody looks at anything again.
#[test]
fn announcements_that_concern_nobody_change_nothing() {
    let (registry, told) = client();
    registry.expect(&RemoteEvent::<u32>::new("mine"));
    let generation = registry.generation();
    let before = told.load(Ordering::Relaxed);
    for id in 1..=MAX_REMOTES as u32 {
        assert!(registry.announce([announcement(id, &format!("theirs {id}"), "u32")]));
    }
    assert_eq!((registry.len(), registry.table.room_for_ids()), (1, 0));
    assert_eq!(registry.generation(), generation);
    assert_eq!(told.load(Ordering::Relaxed), before);
    assert!(!registry.announce([announcement(1, "another", "u32")]));
    assert_eq!(registry.announced_name(7).as_deref(), Some("theirs 7"));
}

/// What was found once stays where it is, however many are announced later.
#[test]
fn announcements_of_what_is_used_here_move_nothing() {
    let (registry, told) = client();
    let names: Vec<_> = (1..=400).map(|id| format!("remote {id}")).collect();
    let declare = |name: &String| {
        let remote = RemoteEvent::<u32>::named(name).expect("a name");
        registry.expect(&remote)
    };
    let entries: Vec<_> = names.iter().map(declare).collect();
    let before = told.load(Ordering::Relaxed);
    for (name, id) in names.iter().zip(1..) {
        assert!(registry.announce([announcement(id, name, "u32")]));
        let bound = registry.by_id(id).expect("it is bound");
        assert!(Arc::ptr_eq(&bound, &entries[id as usize - 1]));
    }
    assert_eq!(told.load(Ordering::Relaxed) - before, names.len());
    for ((name, entry), id) in names.iter().zip(&entries).zip(1..) {
        assert!(
            registry
                .by_id(id)
                .is_some_and(|found| Arc::ptr_eq(&found, entry))
        );
        assert!(Arc::ptr_eq(&declare(name), entry));
    }
    assert!(registry.by_id(401).is_none() && registry.by_id(0).is_none());
    assert!(registry.table.room_for_ids() <= 1024);
}

/// As many as there may be, of which many share a place in the table, and no more.
#[test]
fn every_remote_is_found_and_one_too_many_is_refused() {
    let registry = Registry::<()>::new(true);
    let name = |number: usize| format!("many {number}");
    for number in 0..MAX_REMOTES {
        let remote = RemoteEvent::<u32>::named(name(number)).expect("a name");
        assert_eq!(registry.expect(&remote).slot as usize, number);
    }
    for number in 0..MAX_REMOTES {
        let remote = RemoteEvent::<u32>::named(name(number)).expect("a name");
        let slot = registry.entry(&remote).map(|entry| entry.slot);
        assert_eq!(slot, Ok(number as u32));
    }
    let one_too_many = RemoteEvent::<u32>::new("one too many");
    assert!(matches!(
        registry.entry(&one_too_many),
        Err(DeclareError::TooMany)
    ));
}

/// A remote that is declared after it was announced has its id at once.
#[test]
fn what_was_announced_before_it_is_declared_is_bound() {
    let (registry, _) = client();
    let id = MAX_REMOTES as u32;
    assert!(registry.announce([announcement(id, "late", "u32")]));
    assert!(registry.by_id(id).is_none());
    let entry = registry.expect(&RemoteEvent::<u32>::new("late"));
    assert_eq!(entry.id(), Some(id));
    assert!(registry.by_id(id).is_some());
}
