//! Servers that are found without an address, on this machine alone.

use serde_json::Value;

use crate::processes::{Host, Person};

fn announced(person: &Person, more: &[&str]) -> Host {
    let mut arguments = vec!["host", "--json", "--local", "--port", "0"];
    arguments.extend(more);
    let mut running = person.start(&arguments);
    let invitation = running.record("host");
    assert_eq!(invitation["announced"], true, "{invitation}");
    Host {
        running,
        invitation,
    }
}

/// The server of this code, as `farfire discover` lists it.
fn found(person: &Person, code: &str) -> Option<Value> {
    let ended = person.run(&["discover", "--local", "--json", "--seconds", "3"]);
    ended.assert_succeeded();
    let records = ended
        .printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut records = records.filter(|record: &Value| record["code"] == code);
    records.next()
}

/// Looks until it is there: a busy machine may be late.
fn wait_for(person: &Person, code: &str) -> Value {
    let found = (0..10).find_map(|_| found(person, code));
    found.expect("the server is announced")
}

#[test]
fn a_server_is_unverified_until_it_was_joined_by_its_code() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = announced(&host, &["--name", "desert-duel", "--max-players", "3"]);
    let code = host.text("code").to_owned();
    let server = wait_for(&ada, &code);
    assert_eq!(server["name"], "desert-duel");
    assert_eq!(server["verified"], false);
    assert_eq!(server["needs_token"], false);
    assert_eq!(
        (&server["players"], &server["max_players"]),
        (&0.into(), &3.into())
    );

    // Typed as people type.
    let typed = code.to_lowercase().replace('-', " ");
    ada.run(&["join", &typed, "--local"]).assert_succeeded();
    host.running.record("joined");
    assert_eq!(wait_for(&ada, &code)["verified"], true);
    let list = ada.run(&["trust", "list", "--json"]);
    let known: Value = serde_json::from_str(&list.printed).unwrap();
    assert_eq!(known["via"], "code");

    let screen = ada.run(&["discover", "--local"]);
    let line = screen.printed.lines().find(|line| line.contains(&code));
    assert!(
        line.unwrap().ends_with("verified: joined before"),
        "{screen:#?}"
    );
    host.quit();
}

#[test]
fn a_code_of_nobody_here_is_not_found() {
    let ada = Person::new();
    let ended = ada.run(&["join", "0000-0000-0000-0", "--local"]);
    ended.assert_failed(1, "no server of code 0000-0000-0000-0", "ask for its link");
}

#[test]
fn with_a_token_a_code_is_not_enough() {
    let (host, ada) = (Person::new(), Person::new());
    let host = announced(&host, &["--token"]);
    assert_eq!(wait_for(&ada, host.text("code"))["needs_token"], true);
    ada.run(&["join", host.text("code"), "--local"])
        .assert_failed(1, "only those who have its link", "ask for the link");
    host.quit();
}
