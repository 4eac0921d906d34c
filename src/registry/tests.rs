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

/// Of names that nobody here uses, nothing is copied, and nobody looks at anything again.
#[test]
fn announcements_that_concern_nobody_change_nothing() {
    let (registry, told) = client();
    registry.expect(&RemoteEvent::<u32>::new("mine"));
    let (table, generation) = (registry.table.load_full(), registry.generation());
    let before = told.load(Ordering::Relaxed);
    for id in 1..=MAX_REMOTES as u32 {
        assert!(registry.announce([announcement(id, &format!("theirs {id}"), "u32")]));
    }
    assert!(Arc::ptr_eq(&table, &registry.table.load_full()));
    assert_eq!(registry.generation(), generation);
    assert_eq!(told.load(Ordering::Relaxed), before);
    assert!(!registry.announce([announcement(1, "another", "u32")]));
    assert_eq!(registry.announced_name(7).as_deref(), Some("theirs 7"));
}

/// The table is copied as often as its room doubles, and not for every announcement.
#[test]
fn announcements_of_what_is_used_here_copy_the_table_seldom() {
    let (registry, told) = client();
    let names: Vec<_> = (1..=400).map(|id| format!("remote {id}")).collect();
    for name in &names {
        let remote = RemoteEvent::<u32>::named(name).expect("a name");
        registry.expect(&remote);
    }
    let (mut copies, before) = (0, told.load(Ordering::Relaxed));
    for (name, id) in names.iter().zip(1..) {
        let table = registry.table.load_full();
        assert!(registry.announce([announcement(id, name, "u32")]));
        copies += usize::from(!Arc::ptr_eq(&table, &registry.table.load_full()));
        let entry = registry.by_id(id).expect("it is bound");
        assert_eq!(entry.spec.name, name);
    }
    assert!(copies <= 10, "{copies} copies");
    assert_eq!(told.load(Ordering::Relaxed) - before, names.len());
    assert!((1..=400).all(|id| registry.by_id(id).is_some()));
    assert!(registry.by_id(401).is_none() && registry.by_id(0).is_none());
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
