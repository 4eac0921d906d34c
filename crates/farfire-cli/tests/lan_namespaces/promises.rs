//! What holds between two machines.

use serde_json::Value;

use crate::{
    network::{HOST, Lan, MOVED, PLAYER},
    processes::{Ended, Host, Person, Running},
};

/// Every promise, by its name.
pub(crate) const PROMISES: &[(&str, fn())] = &[
    (
        "a_server_is_found_and_joined_by_link",
        a_server_is_found_and_joined_by_link,
    ),
    (
        "a_server_is_joined_by_its_code",
        a_server_is_joined_by_its_code,
    ),
    (
        "a_server_is_joined_by_its_address",
        a_server_is_joined_by_its_address,
    ),
    (
        "a_player_whose_address_changes_stays_the_same_player",
        a_player_whose_address_changes_stays_the_same_player,
    ),
    (
        "an_impostor_at_the_same_address_is_refused",
        an_impostor_at_the_same_address_is_refused,
    ),
    (
        "packets_of_1280_bytes_are_enough",
        packets_of_1280_bytes_are_enough,
    ),
];

const USUAL: u16 = 1500;

/// Runs a command on the player's machine to its end, without input.
fn run(lan: &Lan, person: &Person, arguments: &[&str]) -> Ended {
    let mut running = lan.player(person, arguments);
    running.end_input();
    running.end()
}

fn join(lan: &Lan, person: &Person, target: &str) -> Running {
    let mut running = lan.player(person, &["join", target, "--json", "--name", "Ada"]);
    running.record("welcome");
    running
}

/// Looks until the server of this code is found: a cable that has just been plugged in takes a moment.
fn wait_until_found(lan: &Lan, person: &Person, code: &str) -> Value {
    let found = (0..10).find_map(|_| {
        let ended = run(lan, person, &["discover", "--json", "--seconds", "2"]);
        ended.assert_succeeded();
        let records = ended
            .printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let mut records = records.filter(|record: &Value| record["code"] == code);
        records.next()
    });
    found.expect("the server is found")
}

/// A word from the player reaches the host, and its answer the player.
fn assert_talking(host: &mut Host, player: &mut Running, word: &str) {
    player.say(word);
    host.running
        .record_where("said", |said| said["text"] == word);
    let answer = format!("heard {word}");
    host.running.say(&format!("say {answer}"));
    player.record_where("said", |said| said["text"] == answer.as_str());
}

/// What the host knows of its one player.
fn listed(host: &mut Host) -> Value {
    host.running.say("players");
    let player = host.running.record("player");
    host.running.record("players");
    player
}

fn a_server_is_found_and_joined_by_link() {
    let (lan, person, ada) = (Lan::new(USUAL), Person::new(), Person::new());
    let mut host = lan.host(&person, &["--token"]);
    assert_eq!(host.invitation["announced"], true, "{}", host.invitation);
    assert!(
        host.text("link")
            .starts_with(&format!("farfire://{HOST}:4433/desert-duel"))
    );
    let found = wait_until_found(&lan, &ada, host.text("code"));
    assert_eq!(
        (&found["verified"], &found["needs_token"]),
        (&false.into(), &true.into())
    );
    let mut player = join(&lan, &ada, host.text("link"));
    let joined = host.running.record("joined");
    assert!(
        joined["address"].as_str().unwrap().starts_with(PLAYER),
        "{joined}"
    );
    assert_talking(&mut host, &mut player, "hello");
    host.quit();
    player.end().assert_succeeded();
}

fn a_server_is_joined_by_its_code() {
    let (lan, person, ada) = (Lan::new(USUAL), Person::new(), Person::new());
    let mut host = lan.host(&person, &[]);
    let code = host.text("code").to_owned();
    wait_until_found(&lan, &ada, &code);
    let mut player = join(&lan, &ada, &code);
    assert_talking(&mut host, &mut player, "hello");
    host.quit();
    player.end().assert_succeeded();
}

fn a_server_is_joined_by_its_address() {
    let (lan, person, ada) = (Lan::new(USUAL), Person::new(), Person::new());
    let host = lan.host(&person, &["--no-discovery"]);
    run(&lan, &ada, &["join", HOST]).assert_failed(4, "has not been joined before", "--trust-new");
    run(&lan, &ada, &["join", HOST, "--trust-new"]).assert_succeeded();
    run(&lan, &ada, &["join", HOST]).assert_succeeded();
    host.quit();
}

fn a_player_whose_address_changes_stays_the_same_player() {
    let (lan, person, ada) = (Lan::new(USUAL), Person::new(), Person::new());
    let mut host = lan.host(&person, &["--no-discovery"]);
    let mut player = join(&lan, &ada, host.text("link"));
    assert_talking(&mut host, &mut player, "before");
    let before = listed(&mut host);
    assert!(
        before["address"].as_str().unwrap().starts_with(PLAYER),
        "{before}"
    );
    lan.move_player();
    assert_talking(&mut host, &mut player, "after");
    let after = listed(&mut host);
    assert_eq!(after["id"], before["id"]);
    assert!(
        after["address"].as_str().unwrap().starts_with(MOVED),
        "{after}"
    );
    host.running.say("quit");
    let ended = host.running.end();
    assert!(
        !ended.printed.contains("\"record\":\"left\",\"id\":1"),
        "{ended:#?}"
    );
    player.end().assert_succeeded();
}

fn an_impostor_at_the_same_address_is_refused() {
    let (lan, person, other, ada) = (Lan::new(USUAL), Person::new(), Person::new(), Person::new());
    let host = lan.host(&person, &["--no-discovery"]);
    let (link, code) = (host.text("link").to_owned(), host.text("code").to_owned());
    run(&lan, &ada, &["join", &link]).assert_succeeded();
    host.quit();
    let mut impostor = lan.host(&other, &["--no-discovery"]);
    for target in [HOST, &link] {
        let refused = run(&lan, &ada, &["join", target, "--trust-new"]);
        assert_eq!(refused.code, Some(4), "{refused:#?}");
        assert!(refused.errors.contains(&code), "{refused:#?}");
        assert!(
            refused.errors.contains(impostor.text("code")),
            "{refused:#?}"
        );
    }
    impostor.running.say("quit");
    let ended = impostor.running.end();
    assert!(!ended.printed.contains("joined"), "{ended:#?}");
}

fn packets_of_1280_bytes_are_enough() {
    const SMALL: u16 = 1280;
    let (lan, person, ada) = (Lan::new(SMALL), Person::new(), Person::new());
    assert!(lan.mtu().contains("mtu 1280 "), "{}", lan.mtu());
    let mut host = lan.host(&person, &["--no-discovery"]);
    let mut player = join(&lan, &ada, host.text("link"));
    // More than a packet in one go, both ways.
    for number in 0..50 {
        player.say(&format!("{number} {}", "x".repeat(190)));
    }
    host.running.record_where("said", |said| {
        said["text"].as_str().unwrap().starts_with("49 ")
    });
    player.record_where("said", |said| {
        said["text"].as_str().unwrap().starts_with("49 ")
    });
    assert_talking(&mut host, &mut player, "hello");
    host.quit();
    player.end().assert_succeeded();
}
