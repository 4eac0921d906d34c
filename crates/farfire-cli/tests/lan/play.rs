//! Hosts and players in one world.

use crate::processes::Person;

#[test]
fn words_and_numbers_reach_everybody_and_quit_ends_all() {
    let (host, ada, bo) = (Person::new(), Person::new(), Person::new());
    let mut host = host.host(&["--max-players", "3"]);
    let link = host.link();
    let mut ada = ada.join(&link, "Ada");
    // Bo sees what people see.
    let mut bo = bo.start(&["join", &link, "--name", "Bo"]);
    bo.line("welcome", |line| {
        line.starts_with("You are Bo; here are Ada.")
    });
    assert_eq!(ada.record("joined")["name"], "Bo");
    assert_eq!(host.running.record("joined")["name"], "Ada");
    assert_eq!(host.running.record("joined")["name"], "Bo");

    ada.say("hello all");
    bo.line("Ada's line", |line| line == "Ada: hello all");
    let said = host.running.record("said");
    assert_eq!(
        (said["who"].as_str(), said["text"].as_str()),
        (Some("Ada"), Some("hello all"))
    );
    host.running.say("say welcome");
    bo.line("the host's line", |line| line == "host: welcome");

    ada.say("/add 5");
    bo.line("the counter", |line| line == "Ada made the counter 5");
    bo.say("/add");
    let counted = ada.record_where("counted", |counted| counted["who"] == "Bo");
    assert_eq!(counted["value"], 6);
    host.running.say("add -10");
    assert_eq!(
        ada.record_where("counted", |of| of["who"] == "host")["value"],
        -4
    );

    host.running.say("players");
    let names = [host.running.record("player"), host.running.record("player")];
    assert_eq!([&names[0]["name"], &names[1]["name"]], ["Ada", "Bo"]);
    assert!(names[0]["network_ping_us"].as_u64().unwrap() > 0);
    assert_eq!(host.running.record("players")["count"], 2);

    host.quit();
    let ended = ada.end();
    ended.assert_succeeded();
    assert!(
        ended.printed.contains("The host ended the game."),
        "{ended:?}"
    );
    bo.end().assert_succeeded();
}

#[test]
fn a_player_who_is_kicked_reads_why() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = host.host(&[]);
    let ada = ada.join(&host.link(), "Ada L");
    host.running.record("joined");
    host.running.say("kick Nobody");
    let wrong = host.running.record("error");
    assert!(
        wrong["text"].as_str().unwrap().contains("no player"),
        "{wrong}"
    );
    host.running.say("kick \"ada l\" too loud");
    ada.end()
        .assert_failed(1, "kicked: too loud", "ask the host");
    assert_eq!(host.running.record("left")["name"], "Ada L");
    host.quit();
}

#[test]
fn leaving_does_what_was_typed_before() {
    let (host, ada, bo) = (Person::new(), Person::new(), Person::new());
    let mut host = host.host(&[]);
    let mut ada = ada.join(&host.link(), "Ada");
    ada.say("bye");
    ada.say("/add 2");
    ada.say("/quit");
    ada.end().assert_succeeded();
    assert_eq!(host.running.record("said")["text"], "bye");
    assert_eq!(host.running.record("counted")["value"], 2);
    assert_eq!(host.running.record("left")["name"], "Ada");
    // The end of the input is a quit as well.
    let mut bo = bo.join(&host.link(), "Bo");
    bo.end_input();
    bo.end().assert_succeeded();
    host.quit();
}

#[test]
fn the_network_is_changed_while_it_runs() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = host.host(&[]);
    let mut ada = ada.join(&host.link(), "Ada");
    host.running.say("net intercontinental");
    assert_eq!(host.running.record("net")["net"], "intercontinental");
    // Half of 220 ms each way, which the ping cannot undercut once it is measured.
    let far = loop {
        host.running.say("players");
        let ping = host.running.record("player")["network_ping_us"]
            .as_u64()
            .unwrap();
        host.running.record("players");
        if ping > 50_000 {
            break ping;
        }
        ada.say("tick");
        host.running.record("said");
    };
    assert!(far > 50_000);
    host.running.say("net off");
    assert_eq!(host.running.record("net")["net"], "off");
    host.running.say("net 5g");
    let wrong = host.running.record("error");
    assert!(wrong["text"].as_str().unwrap().contains("wifi"), "{wrong}");
    host.quit();
    ada.end().assert_succeeded();
}

#[test]
fn signals_end_a_host_and_its_players_are_told() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = host.host(&[]);
    let ada = ada.join(&host.link(), "Ada");
    host.running.record("joined");
    host.running.signal("TERM");
    host.running
        .end()
        .assert_failed(143, "ended by SIGTERM", "every player was told");
    ada.end().assert_succeeded();
}

#[test]
fn a_host_without_input_goes_on_and_a_signal_ends_a_player() {
    let (host, ada) = (Person::new(), Person::new());
    let mut host = host.host(&[]);
    host.running.end_input();
    let ada = ada.join(&host.link(), "Ada");
    assert_eq!(host.running.record("joined")["name"], "Ada");
    ada.signal("INT");
    ada.end()
        .assert_failed(130, "ended by Ctrl-C", "you have left");
    let left = host.running.record("left");
    assert_eq!(left["why"], "the client left");
}

#[test]
fn what_players_send_moves_no_cursor() {
    let (host, ada, bo) = (Person::new(), Person::new(), Person::new());
    let mut host = host.start(&["host", "--local", "--port", "0", "--no-discovery"]);
    let link = host.line("link", |line| line.starts_with("link "));
    let link = link.split_whitespace().nth(1).unwrap().to_owned();
    let mut ada = ada.join(&link, "Ada \u{202e}L");
    let mut bo = bo.start(&["join", &link, "--name", "Bo"]);
    bo.line("welcome", |line| line.starts_with("You are Bo"));
    ada.say("\u{1b}[2Jgone\u{9b}1m");
    for reader in [&mut host, &mut bo] {
        let line = reader.line("the line", |line| line.contains("gone"));
        assert_eq!(line, "Ada \u{fffd}L: \u{fffd}[2Jgone\u{fffd}1m");
    }
}
