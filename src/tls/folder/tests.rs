use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Barrier;

use super::*;

const NOW: i64 = 1_793_000_000;
const YEAR: i64 = 365 * 24 * 60 * 60;

fn load(dir: &Path) -> Result<Identity, IdentityError> {
    Folder::new(dir).load_or_create(NOW)
}

fn names_in(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Everything an error says, its sources included.
fn text(error: &dyn Error) -> String {
    let source = error.source().map(text).unwrap_or_default();
    format!("{error}\n{error:?}\n{source}")
}

#[test]
fn the_second_start_finds_the_identity_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let nested = dir.path().join("game").join("certs");
    let first = Identity::load_or_create(&nested).unwrap();
    let key = fs::read(nested.join("server.key")).unwrap();
    let certificate = fs::read(nested.join("server.crt")).unwrap();
    let second = Identity::load_or_create(&nested).unwrap();
    assert_eq!(first.pin(), second.pin());
    assert_eq!(fs::read(nested.join("server.key")).unwrap(), key);
    assert_eq!(fs::read(nested.join("server.crt")).unwrap(), certificate);
    let expected = [".gitignore", "server.crt", "server.key"].map(str::to_owned);
    assert_eq!(names_in(&nested), BTreeSet::from(expected));
    assert_eq!(
        fs::read_to_string(nested.join(".gitignore")).unwrap(),
        "*.key\n*.crt\n"
    );
}

#[test]
fn an_own_gitignore_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".gitignore"), "mine").unwrap();
    load(dir.path()).unwrap();
    assert_eq!(
        fs::read_to_string(dir.path().join(".gitignore")).unwrap(),
        "mine"
    );
}

#[test]
fn starting_at_once_gives_one_identity() {
    for _ in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(6);
        let start = || {
            barrier.wait();
            load(dir.path()).unwrap().pin()
        };
        let pins: BTreeSet<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(start)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(pins.len(), 1);
        assert_eq!(names_in(dir.path()).len(), 3, "nothing is left behind");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_access_the_key() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let pin = load(dir.path()).unwrap().pin();
    let key = dir.path().join("server.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    for loose in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&key, fs::Permissions::from_mode(loose)).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(
            matches!(&error, IdentityError::LooseMode { path, mode } if *path == key && *mode == loose)
        );
        assert!(
            error
                .to_string()
                .contains(&format!("chmod 600 {}", key.display()))
        );
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(load(dir.path()).unwrap().pin(), pin);
}

#[test]
fn damage_is_reported_and_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    for name in ["server.key", "server.crt"] {
        let path = dir.path().join(name);
        let whole = fs::read_to_string(&path).unwrap();
        let flipped = whole.replace(|symbol: char| symbol.is_ascii_lowercase(), "A");
        for damaged in [
            "",
            "garbage",
            &whole[..whole.len() / 2],
            &whole[..40],
            &flipped,
        ] {
            fs::write(&path, damaged).unwrap();
            match load(dir.path()).unwrap_err() {
                error @ IdentityError::Damaged { .. } => {
                    assert!(
                        error.to_string().contains(&path.display().to_string()),
                        "{error}"
                    );
                    assert!(!text(&error).contains("PRIVATE KEY-"), "{error:?}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
        fs::write(&path, whole).unwrap();
    }
    load(dir.path()).unwrap();
}

#[test]
fn half_an_identity_is_reported_and_not_completed() {
    for (missing, present) in [("server.key", "server.crt"), ("server.crt", "server.key")] {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path()).unwrap();
        let (missing, present) = (dir.path().join(missing), dir.path().join(present));
        fs::remove_file(&missing).unwrap();
        match load(dir.path()).unwrap_err() {
            IdentityError::Incomplete {
                missing: a,
                present: b,
            } => assert_eq!((a, b), (missing.clone(), present)),
            other => panic!("{other:?}"),
        }
        assert!(!missing.exists());
    }
}

#[test]
fn files_of_two_identities_do_not_mix() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    load(one.path()).unwrap();
    load(other.path()).unwrap();
    fs::copy(
        other.path().join("server.crt"),
        one.path().join("server.crt"),
    )
    .unwrap();
    assert!(matches!(
        load(one.path()),
        Err(IdentityError::Mismatch { .. })
    ));
}

#[test]
fn a_path_that_is_no_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = load(&file).unwrap_err();
    assert!(
        matches!(&error, IdentityError::Io { path, .. } if path.starts_with(&file)),
        "{error:?}"
    );
}

#[test]
fn renewal_keeps_the_key_and_the_pin() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let certificate = || fs::read(dir.path().join("server.crt")).unwrap();
    let pin = folder.load_or_create(NOW).unwrap().pin();
    let key = fs::read(dir.path().join("server.key")).unwrap();
    let first = certificate();

    assert_eq!(folder.load_or_create(NOW + YEAR / 2).unwrap().pin(), pin);
    assert_eq!(certificate(), first, "half of its life is left");

    assert_eq!(
        folder.load_or_create(NOW + YEAR * 3 / 4).unwrap().pin(),
        pin
    );
    let second = certificate();
    assert_ne!(second, first, "renewed in its last third");

    assert_eq!(folder.load_or_create(NOW + YEAR * 5).unwrap().pin(), pin);
    let third = certificate();
    assert_ne!(third, second, "renewed when it had expired");

    assert_eq!(folder.load_or_create(NOW).unwrap().pin(), pin);
    assert_ne!(
        certificate(),
        third,
        "renewed when the clock had been wrong"
    );

    assert_eq!(fs::read(dir.path().join("server.key")).unwrap(), key);
    assert_eq!(names_in(dir.path()).len(), 3, "nothing is left behind");
}

#[test]
fn the_next_identity_takes_its_place_after_thirty_days() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let present = folder.load_or_create(NOW).unwrap();
    assert_eq!(present.next(), None);
    let next = folder.prepare_next(NOW).unwrap();
    assert_ne!(next.pin, present.pin());
    assert_eq!(next.from, at(NOW + 30 * DAY));
    assert_eq!(
        folder.prepare_next(NOW + DAY).unwrap(),
        next,
        "there is one already"
    );
    assert_eq!(names_in(dir.path()).len(), 5);
    for days in [0, 29] {
        let identity = folder.load_or_create(NOW + days * DAY).unwrap();
        assert_eq!(
            (identity.pin(), identity.next()),
            (present.pin(), Some(next))
        );
    }
    let identity = folder.load_or_create(NOW + 30 * DAY).unwrap();
    assert_eq!((identity.pin(), identity.next()), (next.pin, None));
    assert_eq!(names_in(dir.path()).len(), 3, "nothing is left behind");
    assert_eq!(folder.load_or_create(NOW).unwrap().pin(), next.pin);
}

#[test]
fn rotating_needs_a_next_identity_and_waits_for_no_date() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let error = folder.rotate(NOW).unwrap_err();
    assert!(
        matches!(&error, IdentityError::NoNext { dir: at } if at == dir.path()),
        "{error:?}"
    );
    let next = folder.prepare_next(NOW).unwrap();
    assert_eq!(folder.rotate(NOW).unwrap().pin(), next.pin);
    assert!(matches!(
        folder.rotate(NOW),
        Err(IdentityError::NoNext { .. })
    ));
}

#[test]
fn a_switch_that_a_crash_interrupted_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    folder.load_or_create(NOW).unwrap();
    let next = folder.prepare_next(NOW).unwrap();
    fs::rename(dir.path().join("next.key"), dir.path().join("server.key")).unwrap();
    assert_eq!(folder.load_or_create(NOW).unwrap().pin(), next.pin);
    assert_eq!(names_in(dir.path()).len(), 3);
}

#[test]
fn a_preparation_that_a_crash_interrupted_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let present = folder.load_or_create(NOW).unwrap();
    let next = folder.prepare_next(NOW).unwrap();
    fs::remove_file(dir.path().join("next.crt")).unwrap();
    let identity = folder.load_or_create(NOW).unwrap();
    assert_eq!((identity.pin(), identity.next()), (present.pin(), None));
    assert_eq!(
        folder.prepare_next(NOW).unwrap().pin,
        next.pin,
        "the key that was made is used"
    );
}

#[test]
fn processes_that_rotate_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    folder.load_or_create(NOW).unwrap();
    let next = folder.prepare_next(NOW).unwrap();
    let barrier = Barrier::new(6);
    let load = || {
        barrier.wait();
        Folder::new(dir.path())
            .load_or_create(NOW + 31 * DAY)
            .unwrap()
            .pin()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(load)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), next.pin);
        }
    });
    assert_eq!(names_in(dir.path()).len(), 3, "nothing is left behind");
}

const DAY: i64 = 24 * 60 * 60;
