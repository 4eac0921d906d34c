//! The names of remotes: what may be one, and where those made at run time are kept.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// What a name in a `const` has to be; a mistake there does not compile.
pub(super) const fn check(name: &str) {
    assert!(!name.is_empty(), "a remote's name must not be empty");
    assert!(
        chars(name) <= MAX_NAME_CHARS,
        "a remote's name has at most 100 characters"
    );
}

/// Takes a name that the program made, and keeps it for good.
pub(super) fn at_run_time(name: &str) -> Result<&'static str, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if chars(name) > MAX_NAME_CHARS {
        return Err(NameError::TooLong {
            characters: chars(name),
        });
    }
    if is_reserved(name) {
        return Err(NameError::Reserved);
    }
    intern(name)
}

/// Run-time names live as long as the process, like the `const` ones, so that every remote is
/// `Copy`; the pool holds each name once and has a limit.
fn intern(name: &str) -> Result<&'static str, NameError> {
    static POOL: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = pool.get_or_insert_default();
    if let Some(known) = pool.get(name) {
        return Ok(known);
    }
    if pool.len() >= MAX_RUNTIME_NAMES {
        return Err(NameError::TooMany);
    }
    let kept: &'static str = Box::leak(name.into());
    pool.insert(kept);
    Ok(kept)
}

/// FNV-1a, computed when the remote is declared, so that a lookup hashes nothing.
pub(crate) const fn hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// Whether the name is one that only farfire's own remotes have.
pub(crate) const fn is_reserved(name: &str) -> bool {
    let (bytes, prefix) = (name.as_bytes(), RESERVED.as_bytes());
    let mut at = 0;
    while at < prefix.len() {
        if at >= bytes.len() || bytes[at] != prefix[at] {
            return false;
        }
        at += 1;
    }
    true
}

const fn chars(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        // Every character has one byte that continues none.
        count += ((bytes[at] & 0xc0) != 0x80) as usize;
        at += 1;
    }
    count
}

/// Why a run-time name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    #[error("a remote's name must not be empty")]
    Empty,
    /// The name is longer than 100 characters.
    #[error("a remote's name has at most 100 characters, this one has {characters}")]
    TooLong {
        /// The length of the refused name.
        characters: usize,
    },
    /// Names that begin with `farfire.` are farfire's own.
    #[error("remotes whose names begin with \"farfire.\" are farfire's own: choose another name")]
    Reserved,
    /// The process has already made 65,536 different run-time names, which are kept for good.
    #[error(
        "this process has made 65536 remotes with run-time names: send the varying part as an argument"
    )]
    TooMany,
}

/// Long enough for any path-like name; as many as Roblox allows (R3).
const MAX_NAME_CHARS: usize = 100;
/// What the names of farfire's own remotes begin with.
const RESERVED: &str = "farfire.";
/// More than a connection can announce many times over; bounds what `named` can leak.
const MAX_RUNTIME_NAMES: usize = 65_536;
