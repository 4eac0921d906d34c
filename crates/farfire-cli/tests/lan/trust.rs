//! Whom players believe, and what they are told when they do not.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::processes::{Host, Person};

/// The same link with another character in the middle of its pin.
fn altered(link: &str) -> String {
    let at = link.find("#p=").unwrap() + 10;
    let other = if &link[at..=at] == "7" { "8" } else { "7" };
    format!("{}{other}{}", &link[..at], &link[at + 1..])
}

/// Another identity on the port of `before`.
fn impostor(person: &Person, before: Host) -> Host {
    let port = before.port().to_string();
    before.quit();
    person.host(&["--port", &port])
}

#[test]
fn a_link_whose_pin_is_altered_by_one_character_is_refused() {
    let (host, ada) = (Person::new(), Person::new());
    let host = host.host(&[]);
    let link = altered(&host.link());
    // Told to trust what is new, it still believes the link.
    let ended = ada.run(&["join", &link, "--trust-new"]);
    let received = format!("received  {}", host.text("code"));
    ended.assert_failed(4, &received, "copy the link again");
    assert!(
        ended.errors.contains("is not the server that was meant"),
        "{ended:?}"
    );
    assert!(!ended.printed.contains("You are"), "{ended:?}");
    // A pin that cannot be one at all is no better.
    let damaged = host.link().replacen("#p=", "#p=U", 1);
    ada.run(&["join", &damaged])
        .assert_failed(4, "the link is damaged", "copy it again");
    host.quit();
}

#[test]
fn an_unknown_server_is_refused_until_somebody_vouches_for_it() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = host.host(&[]);
    let address = host.address();
    let refused = ada.run(&["join", &address]);
    refused.assert_failed(4, "has not been joined before", "--trust-new");
    assert!(refused.errors.contains(host.text("code")), "{refused:?}");
    assert!(
        ada.run(&["trust", "list"])
            .printed
            .contains("No server is known")
    );
    // The first time it has to be said.
    ada.run(&["join", &address, "--trust-new"])
        .assert_succeeded();
    host.running.record("joined");
    // The second time it is known, and nothing is said.
    let silent = ada.run(&["join", &address]);
    silent.assert_succeeded();
    assert!(!silent.printed.contains(host.text("code")), "{silent:?}");
    let list = ada.run(&["trust", "list"]);
    list.assert_succeeded();
    assert!(list.printed.contains(host.text("code")), "{list:?}");
    assert!(list.printed.contains(&address), "{list:?}");
    // Forgotten, it is unknown again.
    ada.run(&["trust", "forget", host.text("code")])
        .assert_succeeded();
    ada.run(&["join", &address])
        .assert_failed(4, "has not been joined before", "--trust-new");
    ada.run(&["trust", "forget", host.text("code")])
        .assert_failed(1, "is known", "trust list");
    host.quit();
}

#[test]
fn another_identity_at_a_known_address_is_refused_until_it_is_accepted() {
    let (host, other, ada) = (Person::new(), Person::new(), Person::new());
    let host = host.host(&[]);
    let (before, address) = (host.text("code").to_owned(), host.address());
    ada.run(&["join", &host.link()]).assert_succeeded();
    // It was remembered by its link; its address alone is enough now.
    ada.run(&["join", &address]).assert_succeeded();
    let impostor = impostor(&other, host);
    let received = impostor.text("code").to_owned();
    let refused = ada.run(&["join", &address, "--trust-new"]);
    let accept = format!("farfire trust accept {received}");
    refused.assert_failed(4, "is not the server you joined before", &accept);
    assert!(
        refused.errors.contains(&format!("expected  {before}")),
        "{refused:?}"
    );
    assert!(
        refused.errors.contains(&format!("received  {received}")),
        "{refused:?}"
    );
    assert!(refused.errors.contains("by link"), "{refused:?}");
    // What was never refused cannot be accepted.
    let never = ada.run(&["trust", "accept", &before.replace('-', " ")]);
    assert_ne!(never.code, Some(2), "{never:?}");
    ada.run(&["trust", "accept", &received]).assert_succeeded();
    ada.run(&["join", &address]).assert_succeeded();
    impostor.quit();
}

#[test]
fn with_a_token_only_the_present_link_lets_in() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = host.host(&["--token"]);
    let (link, address) = (host.link(), host.address());
    ada.run(&["join", &link]).assert_succeeded();
    // Known as it is, it wants the link.
    ada.run(&["join", &address]).assert_failed(
        1,
        "only those who have its link",
        "ask for the link",
    );
    host.running.say("renew");
    let renewed = host.running.record("link");
    let renewed = crate::processes::on_loopback(renewed["link"].as_str().unwrap(), host.port());
    assert_ne!(renewed, link);
    ada.run(&["join", &link])
        .assert_failed(1, "the link has expired", "ask the host");
    ada.run(&["join", &renewed]).assert_succeeded();
    host.quit();
}

#[test]
fn an_identity_is_shown_and_rotated() {
    let person = Person::new();
    person
        .run(&["cert", "show"])
        .assert_failed(1, "there is no identity", "farfire host");
    assert!(!person.file("certs").exists(), "looking made one");
    let host = person.host(&[]);
    let (code, pin) = (host.text("code").to_owned(), host.text("pin").to_owned());
    host.quit();
    let shown = person.run(&["cert", "show"]);
    shown.assert_succeeded();
    assert!(
        shown.printed.contains(&code) && shown.printed.contains(&pin),
        "{shown:?}"
    );
    let prepared = person.run(&["cert", "rotate", "--json"]);
    prepared.assert_succeeded();
    let prepared: serde_json::Value = serde_json::from_str(&prepared.printed).unwrap();
    assert_ne!(prepared["code"], code.as_str());
    // Still the one before, and the next is announced.
    let shown = person.run(&["cert", "show"]);
    assert!(shown.printed.contains(&code), "{shown:?}");
    assert!(
        shown.printed.contains(prepared["code"].as_str().unwrap()),
        "{shown:?}"
    );
    person.run(&["cert", "rotate", "--now"]).assert_succeeded();
    let host = person.host(&[]);
    assert_eq!(host.text("code"), prepared["code"]);
    host.quit();
}

#[test]
fn a_next_identity_that_was_announced_is_believed_when_it_comes() {
    let (person, ada) = (Person::new(), Person::new());
    let host = person.host(&[]);
    let (before, port) = (host.text("code").to_owned(), host.port().to_string());
    let (address, link) = (host.address(), host.link());
    let mut playing = ada.join(&link, "Ada");
    // The host that runs notices, and tells those who play.
    person.run(&["cert", "rotate"]).assert_succeeded();
    let began = Instant::now();
    while !ada
        .run(&["trust", "list", "--json"])
        .printed
        .contains("next_code")
    {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it is not announced"
        );
        // The file is written by another process, which tells nobody: looked at until the guard.
        thread::sleep(Duration::from_millis(100));
    }
    playing.say("/quit");
    playing.end().assert_succeeded();
    host.quit();
    person.run(&["cert", "rotate", "--now"]).assert_succeeded();
    let host = person.host(&["--port", &port]);
    assert_ne!(host.text("code"), before);
    ada.run(&["join", &address]).assert_succeeded();
    host.quit();
}

#[test]
fn a_host_whose_identity_is_replaced_shows_the_new_link() {
    let (person, ada) = (Person::new(), Person::new());
    let mut host = person.host(&[]);
    let before = host.link();
    person.run(&["cert", "rotate"]).assert_succeeded();
    person.run(&["cert", "rotate", "--now"]).assert_succeeded();
    let replaced = host.running.record("identity");
    assert_ne!(replaced["code"], host.text("code"));
    ada.run(&["join", &before]).assert_failed(
        4,
        "is not the server that was meant",
        "copy the link again",
    );
    let link = replaced["link"].as_str().unwrap();
    ada.run(&["join", link]).assert_succeeded();
    host.quit();
}

#[test]
fn nobody_else_can_read_what_is_kept() {
    let (host, ada) = (Person::new(), Person::new());
    let host = host.host(&["--token"]);
    ada.run(&["join", &host.link()]).assert_succeeded();
    let known = fs::read_to_string(ada.file("known_servers.toml")).unwrap();
    let (_, token) = host.text("link").split_once("&t=").unwrap();
    assert!(!known.contains(token), "the token is kept: {known}");
    host.quit();
}
