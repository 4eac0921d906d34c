//! What `farfire doctor` finds.

use std::net::UdpSocket;

use serde_json::Value;

use crate::processes::Person;

#[test]
fn everything_has_a_verdict_and_what_is_not_fine_a_remedy() {
    let person = Person::new();
    let ended = person.run(&["doctor", "--json"]);
    let findings: Vec<Value> = ended
        .printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let what: Vec<_> = findings
        .iter()
        .map(|of| of["what"].as_str().unwrap())
        .collect();
    let expected = [
        "game",
        "port",
        "interfaces",
        "multicast",
        "firewall",
        "buffers",
        "clock",
        "identity",
        "known servers",
    ];
    assert_eq!(what, expected);
    assert_eq!(findings[0]["verdict"], "ok", "{}", findings[0]);
    for finding in &findings {
        let needs_remedy = ["note", "PROBLEM"].contains(&finding["verdict"].as_str().unwrap());
        assert!(finding["try"].is_string() || !needs_remedy, "{finding}");
    }
    let problems = findings
        .iter()
        .filter(|of| of["verdict"] == "PROBLEM")
        .count();
    assert_eq!(ended.code, Some(i32::from(problems > 0)), "{ended:#?}");
}

#[test]
fn a_port_that_is_taken_is_a_note_with_a_remedy() {
    let person = Person::new();
    let other = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let ended = person.run(&["doctor", "--port", &port]);
    let mut lines = ended.printed.lines();
    let line = lines.find(|line| line.starts_with("port ")).unwrap();
    assert!(line.contains("note") && line.contains(&port), "{line}");
    assert!(
        lines.next().unwrap().contains("farfire host --port 0"),
        "{ended:#?}"
    );
    drop(other);
    let ended = person.run(&["doctor", "--port", &port]);
    let line = ended
        .printed
        .lines()
        .find(|line| line.starts_with("port "))
        .unwrap();
    assert!(line.contains("ok"), "{line}");
    assert!(
        !ended.printed.contains('\u{1b}'),
        "escape sequences in a pipe"
    );
}

#[test]
fn known_servers_that_are_damaged_are_a_problem() {
    let person = Person::new();
    std::fs::write(person.file("known_servers.toml"), "this is no list\n").unwrap();
    let ended = person.run(&["doctor"]);
    ended.assert_failed(1, "may keep people from playing", "farfire doctor");
    let line = ended
        .printed
        .lines()
        .find(|line| line.starts_with("known servers"));
    assert!(line.unwrap().contains("PROBLEM"), "{ended:#?}");
}
