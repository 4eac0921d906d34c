//! Bad input: each mistake has a message of its own, which says what to do next, and its exit code.

use std::{fs, net::UdpSocket};

use crate::processes::Person;

#[test]
fn a_damaged_link_says_what_is_damaged() {
    let ada = Person::new();
    let pin = "0".repeat(52);
    for (link, error) in [
        (format!("farfire://192.168.1.7/x#p={pin}"), "port"),
        (format!("farfire://:4433/x#p={pin}"), "host name"),
        (format!("https://192.168.1.7:4433/x#p={pin}"), "farfire://"),
        (format!("farfire://192.168.1.7:4433/x#p={pin}&t=0"), "token"),
        (format!("farfire://192.168.1.7:4433/%zz#p={pin}"), "name"),
    ] {
        let ended = ada.run(&["join", &link]);
        ended.assert_failed(2, "the link is damaged", "copy it again");
        assert!(
            ended.errors.contains(error),
            "{error:?} is not in {ended:#?}"
        );
    }
    for link in [
        "farfire://192.168.1.7:4433/x",
        "farfire://192.168.1.7:4433/x#p=0",
    ] {
        let ended = ada.run(&["join", link]);
        ended.assert_failed(4, "the link is damaged", "copy it again");
        assert!(ended.errors.contains("pin"), "{ended:#?}");
    }
}

#[test]
fn a_typo_in_a_code_is_noticed_before_anything_is_looked_for() {
    let ada = Person::new();
    for (code, error) in [
        ("0000-0000-0001-0", "a character of the code is wrong"),
        ("0000-0000-0000", "13 characters"),
        ("0000-000U-0000-0", "'U' at position 9"),
    ] {
        let ended = ada.run(&["join", code]);
        ended.assert_failed(2, error, "from the host's screen");
    }
    ada.run(&["trust", "accept", "0000-0000-0001-0"])
        .assert_failed(2, "the code is wrong", "from the host's screen");
}

#[test]
fn an_address_where_nobody_answers_is_unreachable() {
    let ada = Person::new();
    // Taken by somebody who says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ended = ada.run(&["join", &address]);
    ended.assert_failed(1, &format!("no answer from {address}"), "farfire doctor");
    ada.run(&["join", "no-such-host.invalid:4433"])
        .assert_failed(1, "no-such-host.invalid:4433", "HOST:PORT");
    ada.run(&["join", "192.168.1.7:99999"])
        .assert_failed(2, "is no address", "HOST:PORT");
}

#[test]
fn a_full_server_says_so() {
    let (host, ada, bo) = (Person::new(), Person::new(), Person::new());
    let host = host.host(&["--max-players", "1"]);
    let _ada = ada.join(&host.link(), "Ada");
    bo.run(&["join", &host.link()])
        .assert_failed(1, "full", "--max-players");
    host.quit();
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let person = Person::new();
    person.host(&[]).quit();
    let key = person.file("certs/server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let command = "chmod 600 certs/server.key";
    for arguments in [&["host", "--port", "0"][..], &["cert", "show"]] {
        person
            .run(arguments)
            .assert_failed(1, "others on this machine can read the key", command);
    }
    let doctor = person.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:#?}");
    assert!(doctor.printed.contains(command), "{doctor:#?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let person = Person::new();
    let other = UdpSocket::bind("[::]:0")
        .or_else(|_| UdpSocket::bind("0.0.0.0:0"))
        .unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let ended = person.run(&["host", "--port", &port, "--no-discovery"]);
    ended.assert_failed(1, &format!("UDP port {port} is taken"), "--port 0");
}

#[test]
fn known_servers_that_are_damaged_are_left_as_they_are() {
    let ada = Person::new();
    let file = ada.file("known_servers.toml");
    fs::write(&file, "this is no list\n").unwrap();
    let ended = ada.run(&["join", "127.0.0.1:4433"]);
    ended.assert_failed(1, "line 1 of", "correct it");
    assert_eq!(fs::read_to_string(&file).unwrap(), "this is no list\n");
}

#[test]
fn names_that_nobody_can_have_are_refused() {
    let (host, ada) = (Person::new(), Person::new());
    let host = host.host(&[]);
    let ended = ada.run(&["join", &host.link(), "--name", "\u{7}"]);
    ended.assert_failed(1, "name", "--name NAME");
    ada.run(&["join", &host.link(), "--name", "Host"])
        .assert_failed(1, "nobody but the host is called host", "--name NAME");
    host.quit();
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let person = Person::new();
    for arguments in [
        &["host", "--max-players", "0"][..],
        &["host", "--net", "5g"],
        &["host", "--token", "--open"],
        &["join"],
        &["discover", "--seconds", "0"],
        &["trust", "accept"],
        &["completions", "tcsh"],
        &["doctor", "--port", "0"],
    ] {
        person.run(arguments).assert_failed(2, "", "--help");
    }
}
