//! The table of rules is in the integration tests; here is what the file promises.

use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::file::{Contents, parse, render};
use super::*;

fn pin(byte: u8) -> Pin {
    Pin::from_bytes([byte; 32])
}

fn store() -> (tempfile::TempDir, KnownServers) {
    let dir = tempfile::tempdir().unwrap();
    let known = KnownServers::open(dir.path().join("a/known_servers.toml")).unwrap();
    (dir, known)
}

#[test]
fn a_server_is_remembered_and_forgotten() {
    let (_dir, known) = store();
    assert_eq!(known.list().unwrap(), []);
    known
        .accept(pin(1), "desert-duel", "Desk.local:4433", Via::Manual)
        .unwrap();
    known
        .joined(pin(2), "", "10.0.0.5:4433", Some(Via::Link))
        .unwrap();
    // Nobody said how this one came to be trusted.
    known.joined(pin(3), "", "10.0.0.6:4433", None).unwrap();
    let again = KnownServers::open(known.path()).unwrap();
    let mut pins: Vec<_> = again
        .list()
        .unwrap()
        .iter()
        .map(|server| server.pin)
        .collect();
    pins.sort();
    assert_eq!(pins, [pin(1), pin(2)]);
    let server = again.find(&pin(1)).unwrap().unwrap();
    assert_eq!(
        (server.name.as_str(), server.via),
        ("desert-duel", Via::Manual)
    );
    assert_eq!(server.last_addrs, ["desk.local:4433"]);
    assert_eq!(server.first_seen, server.last_seen);
    assert!(server.first_seen.elapsed().unwrap() < Duration::from_secs(60));
    assert_eq!(again.forget(&pin(1).code()).unwrap(), 1);
    assert_eq!(again.forget(&pin(1).code()).unwrap(), 0);
    assert_eq!(known.find(&pin(1)).unwrap(), None);
}

#[test]
fn the_file_looks_as_it_should() {
    let mut contents = Contents::default();
    contents.remember(
        pin(0),
        "desert-duel",
        "192.168.1.7:4433",
        Some(Via::Link),
        1_793_730_125,
    );
    let text = render(&contents);
    let zeros = "0".repeat(52);
    let expected = format!(
        "version = 1\n\n[[server]]\npin = \"{zeros}\"\nname = \"desert-duel\"\nlast_addrs = [\"192.168.1.7:4433\"]\n\
         first_seen = 2026-11-03T18:22:05Z\nlast_seen = 2026-11-03T18:22:05Z\nvia = \"link\"\n"
    );
    assert!(text.ends_with(&expected), "{text}");
    assert_eq!(parse(text.as_bytes()), Ok(contents));
}

#[test]
fn addresses_and_names_are_bounded_and_the_latest_is_first() {
    let (_dir, known) = store();
    for port in 1..20 {
        known
            .accept(pin(1), &"n\n".repeat(100), &format!("a:{port}"), Via::Link)
            .unwrap();
    }
    known.accept(pin(1), "", "a:15", Via::Link).unwrap();
    // Neither of these is an address.
    known
        .accept(pin(1), "", &format!("{}:1", "a".repeat(300)), Via::Link)
        .unwrap();
    known.accept(pin(1), "", "a\n:1", Via::Link).unwrap();
    let server = known.find(&pin(1)).unwrap().unwrap();
    let expected = [
        "a:15", "a:19", "a:18", "a:17", "a:16", "a:14", "a:13", "a:12",
    ];
    assert_eq!(server.last_addrs, expected);
    assert_eq!(server.name, "n".repeat(64));
}

#[test]
fn the_one_not_joined_for_longest_makes_room() {
    let mut contents = Contents::default();
    let nth = |number: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Pin::from_bytes(bytes)
    };
    for number in 0..1024 {
        contents.remember(
            nth(number),
            "",
            "",
            Some(Via::Link),
            1_000 + i64::from(number),
        );
    }
    contents.remember(nth(0), "", "", None, 5_000);
    contents.remember(nth(2_000), "", "", Some(Via::Link), 10);
    assert_eq!(contents.server.len(), 1024);
    assert!(contents.of(&nth(0)).is_some() && contents.of(&nth(2_000)).is_some());
    assert!(contents.of(&nth(1)).is_none());
    assert_eq!(parse(render(&contents).as_bytes()), Ok(contents));
}

#[test]
fn processes_that_write_at_once_lose_nothing() {
    let (_dir, known) = store();
    let begin = Barrier::new(8);
    thread::scope(|scope| {
        for writer in 0..8u8 {
            // One of its own, as another process has it.
            let known = KnownServers::open(known.path()).unwrap();
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                for number in 0..10 {
                    known
                        .accept(pin(writer * 10 + number), "", "", Via::Link)
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(known.list().unwrap().len(), 80);
}

#[test]
fn a_held_lock_is_an_error_in_the_end_and_the_end_of_its_holder_frees_it() {
    let (_dir, known) = store();
    known.accept(pin(1), "", "", Via::Link).unwrap();
    let path = known.path().with_extension("lock");
    let mut lock = fd_lock::RwLock::new(std::fs::File::open(&path).unwrap());
    let held = lock.write().unwrap();
    // Reading needs no lock.
    assert_eq!(known.list().unwrap().len(), 1);
    let error = known.accept(pin(2), "", "", Via::Link).unwrap_err();
    assert!(matches!(error, KnownServersError::Locked { .. }), "{error}");
    drop(held);
    drop(lock);
    known.accept(pin(2), "", "", Via::Link).unwrap();
}

#[test]
fn a_damaged_file_is_named_with_its_line_and_left_alone() {
    let (_dir, known) = store();
    known.accept(pin(1), "a", "a:1", Via::Link).unwrap();
    let good = std::fs::read_to_string(known.path()).unwrap();
    let line_of = |part: &str| {
        good.lines()
            .position(|line| line.starts_with(part))
            .unwrap()
            + 1
    };
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (bad, line) in [
        (replaced("version = 1", "version = 2"), line_of("version")),
        (replaced("pin = \"0", "pin = \"U"), line_of("pin")),
        (
            replaced("name = \"a\"", "name = \"a\\u0007\""),
            line_of("name"),
        ),
        (
            replaced("last_addrs = [\"a:1\"]", "last_addrs = [\"a\"]"),
            line_of("last_addrs"),
        ),
        (replaced("via = \"link\"", "via = \"luck\""), line_of("via")),
        (replaced("via = \"link\"", "via ="), line_of("via")),
        (
            replaced("via = \"link\"", "via = \"link\"\nextra = 1"),
            line_of("via") + 1,
        ),
        (
            replaced("first_seen = 2", "first_seen = 1"),
            line_of("first_seen"),
        ),
        (replaced("Z\n", "\n"), line_of("first_seen")),
    ] {
        std::fs::write(known.path(), &bad).unwrap();
        for error in [
            known.list().unwrap_err(),
            known.accept(pin(2), "", "", Via::Link).unwrap_err(),
            KnownServers::open(known.path()).unwrap_err(),
        ] {
            match &error {
                KnownServersError::Damaged {
                    path, line: found, ..
                } => {
                    assert_eq!((&**path, *found), (known.path(), line), "{error}\n{bad}");
                }
                other => panic!("{other}"),
            }
            assert!(
                error.to_string().contains(&format!("line {line} of ")),
                "{error}"
            );
        }
        assert_eq!(std::fs::read_to_string(known.path()).unwrap(), bad);
    }
    std::fs::write(known.path(), [good.as_bytes(), b"# \xff"].concat()).unwrap();
    let error = known.list().unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
    // The pin twice: which of the two would it be?
    let entry = &good[good.find("[[server]]").unwrap()..];
    std::fs::write(known.path(), format!("{good}\n{entry}")).unwrap();
    let error = known.list().unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn a_file_beyond_its_bounds_is_refused_without_being_read_to_the_end() {
    let (_dir, known) = store();
    std::fs::create_dir_all(known.path().parent().unwrap()).unwrap();
    let file = std::fs::File::create(known.path()).unwrap();
    // A hole of a terabyte, where the system has them.
    let _ = file.set_len(1 << 40).or_else(|_| file.set_len(1 << 23));
    let error = known.list().unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
    let entry = |number: u32| {
        let pin = format!("{number:04}").repeat(13);
        format!(
            "[[server]]\npin = \"{pin}\"\nfirst_seen = 2026-01-01T00:00:00Z\nlast_seen = 2026-01-01T00:00:00Z\nvia = \"link\"\n"
        )
    };
    let many: String = (0..1025)
        .map(|number| entry(number * 7 % 9999 / 2 * 10))
        .collect();
    assert!(parse(format!("version = 1\n{many}").as_bytes()).is_err());
    let deep = format!("version = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(deep.as_bytes()).is_err());
}

#[test]
fn an_announced_identity_takes_the_place_of_the_one_before() {
    let (_dir, known) = store();
    known.accept(pin(1), "duel", "a:1", Via::Link).unwrap();
    known.announced(pin(1), pin(2)).unwrap().run().unwrap();
    // From now on both are believed, wherever the one was.
    assert_eq!(known.pins().unwrap(), [pin(1), pin(2)]);
    assert_eq!(known.pins_for(pin(1)).unwrap(), [pin(1), pin(2)]);
    assert_eq!(known.find(&pin(2)).unwrap().unwrap().pin, pin(1));
    // It is seen, and the one before is believed no more.
    known.joined(pin(2), "", "a:1", None).unwrap();
    assert_eq!(known.pins().unwrap(), [pin(2)]);
    assert_eq!(
        known.pins_for(pin(1)).unwrap(),
        [pin(2)],
        "an old link finds the server"
    );
    let server = known.find(&pin(1)).unwrap().unwrap();
    assert_eq!(
        (server.pin, server.name.as_str(), server.via),
        (pin(2), "duel", Via::Link)
    );
    // Whoever stole the old key cannot have itself announced back in.
    known.announced(pin(2), pin(1)).unwrap().run().unwrap();
    assert_eq!(known.pins().unwrap(), [pin(2)]);
    // What was announced can be withdrawn.
    known.announced(pin(2), pin(3)).unwrap().run().unwrap();
    known.announced(pin(2), pin(2)).unwrap().run().unwrap();
    assert_eq!(known.pins().unwrap(), [pin(2)]);
    // Nobody is added by announcing.
    known.announced(pin(7), pin(8)).unwrap().run().unwrap();
    assert_eq!(known.list().unwrap().len(), 1);
}

#[test]
fn a_refused_server_is_told_apart_by_name_and_address() {
    let (_dir, known) = store();
    known.accept(pin(1), "Duel", "a:1", Via::Link).unwrap();
    let judge = |name: &str, address: &str| {
        known
            .refused(pin(9), name, [address, "10.0.0.9:4433"])
            .unwrap()
    };
    assert_eq!(judge("", "b:1"), Known::Nothing);
    assert_eq!(judge("other", "b:1"), Known::Nothing);
    for (name, address) in [("duel", "b:1"), ("", "A:1"), ("other", "a:1")] {
        match judge(name, address) {
            Known::Changed { before } => assert_eq!(before.pin, pin(1)),
            other => panic!("{other:?}"),
        }
    }
    // By its code it can be accepted later, in another program.
    assert_eq!(known.accept_code(&pin(8).code()).unwrap(), None);
    let accepted = known.accept_code(&pin(9).code()).unwrap().unwrap();
    assert_eq!(
        (accepted.pin, accepted.last_addrs),
        (pin(9), vec!["a:1".to_owned()])
    );
    assert!(known.pins().unwrap().contains(&pin(9)));
    assert_eq!(
        known.accept_code(&pin(9).code()).unwrap(),
        None,
        "it is not waiting any more"
    );
}

#[test]
fn refused_servers_do_not_pile_up() {
    let (_dir, known) = store();
    for byte in 0..40 {
        known
            .refused(pin(byte), "", ["a:1", "10.0.0.9:4433"])
            .unwrap();
    }
    assert_eq!(known.accept_code(&pin(23).code()).unwrap(), None);
    assert!(known.accept_code(&pin(24).code()).unwrap().is_some());
    assert_eq!(known.list().unwrap().len(), 1);
}

#[test]
fn the_mismatch_is_told_in_full() {
    let mut contents = Contents::default();
    contents.remember(
        pin(0),
        "desert-duel",
        "192.168.1.7:4433",
        Some(Via::Link),
        1_793_730_125,
    );
    let before = Box::new(KnownServer::from(contents.server[0].clone()));
    let known = Known::Changed { before };
    let text = known.explain("192.168.1.7:4433".parse().unwrap(), &pin(0xff));
    let expected = "192.168.1.7:4433 is not the server you joined before
  expected  0000-0000-0000-0   \"desert-duel\", first joined 3 Nov 2026 by link
  received  ZZZZ-ZZZZ-ZZZZ-B
  Either the host made a new identity (certs/ was deleted) or something on this
  network is answering in its place.
help: ask the host to run `farfire cert show`. If the codes match: farfire trust accept ZZZZ-ZZZZ-ZZZZ-B";
    let code = pin(0xff).code().to_string();
    assert_eq!(text, expected.replace("ZZZZ-ZZZZ-ZZZZ-B", &code));
}

proptest! {
    #[test]
    fn whatever_is_remembered_can_be_read(
        steps in proptest::collection::vec((any::<u8>(), ".{0,80}", ".{0,20}(:[0-9]{1,5})?", any::<i64>(), any::<u8>()), 0..40),
    ) {
        let mut contents = Contents::default();
        for (byte, name, address, now, kind) in steps {
            let via = [Via::Link, Via::Code, Via::Mdns, Via::Manual][usize::from(kind % 4)];
            let now = now.rem_euclid(1 << 33);
            match kind % 5 {
                0 => contents.keep_refused(pin(byte), &name, &address, now),
                1 => contents.server.iter_mut().for_each(|server| server.next = Some(pin(byte))),
                _ => contents.remember(pin(byte), &name, &address, Some(via), now),
            }
        }
        // As an announcement would, whose pin is another server's.
        contents.server.iter_mut().for_each(|server| server.next = server.next.filter(|next| *next != server.pin));
        prop_assert_eq!(parse(render(&contents).as_bytes()), Ok(contents));
    }

    #[test]
    fn no_file_panics(bytes: Vec<u8>, text in "(version = 1\n)?(\\[{1,2}(server|refused)\\]{1,2}\n|(pin|name|via|next|retired|first_seen) = [\"0-9a-zT:Z-]{0,60}\n){0,12}") {
        file_is_sound(&bytes);
        file_is_sound(text.as_bytes());
    }
}
