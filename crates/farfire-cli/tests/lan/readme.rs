//! The screens in the README are what the program prints, but for what differs from one evening to the next.

use std::fs;

use crate::processes::Person;

/// The block that begins with this command, without it.
fn block(command: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = fs::read_to_string(path).unwrap();
    let begin = format!("```text\n$ {command}");
    let (_, rest) = text.split_once(&begin).expect("the README shows it");
    let (_, rest) = rest.split_once('\n').unwrap();
    let (block, _) = rest.split_once("\n```").unwrap();
    block.lines().map(str::to_owned).collect()
}

/// A line without what differs: numbers, links, codes, addresses and the room between columns.
fn stable(line: &str) -> String {
    if line.starts_with("addresses") {
        return "addresses".into();
    }
    let words = line.split_whitespace().map(|word| {
        let bare = word.trim_matches(['"', '(', ')', ',', '`']);
        let is_code = bare.split('-').map(str::len).eq([4, 4, 4, 1]);
        let is_address = bare.contains(':') && bare.ends_with(|c: char| c.is_ascii_digit());
        if word == "-" {
            // A ping that was not measured yet.
            "# ms".into()
        } else if word.starts_with("farfire://") {
            "LINK".into()
        } else if is_code {
            "CODE".into()
        } else if is_address {
            "ADDRESS".into()
        } else {
            let mut number = String::new();
            for c in word.chars() {
                match c.is_ascii_digit() || c == '.' && number.ends_with('#') {
                    true if number.ends_with('#') => {}
                    true => number.push('#'),
                    false => number.push(c),
                }
            }
            number
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Every line of the README was printed, in that order.
#[track_caller]
fn assert_shown(shown: &[String], printed: &str, at_least: usize) {
    let mut lines = printed.lines().map(stable);
    let mut compared = 0;
    for line in shown.iter().filter(|line| !line.trim().is_empty()) {
        let wanted = stable(line);
        let found = lines.any(|line| line == wanted);
        assert!(
            found,
            "{line:?} ({wanted:?}) is in the README, and not next in {printed}"
        );
        compared += 1;
    }
    assert!(compared >= at_least, "only {compared} lines were compared");
}

#[test]
fn the_screens_of_host_join_and_discover_are_real() {
    let (person, ada) = (Person::new(), Person::new());
    let arguments = ["host", "--name", "desert-duel", "--local", "--port", "0"];
    let mut host = person.start(&arguments);
    let code = host.line("code", |line| line.starts_with("code"));
    let code = code.split_whitespace().nth(1).unwrap().to_owned();
    host.line("prompt", |line| line.starts_with("Waiting"));
    // Announced, it is found within a moment.
    let mut join = ada.start(&["join", &code, "--local", "--name", "Ada"]);
    join.line("welcome", |line| line.starts_with("You are Ada"));
    join.say("hello");
    join.line("hello", |line| line == "Ada: hello");
    join.say("/add 5");
    join.line("counter", |line| line.ends_with("the counter 5"));
    host.line("counter", |line| line.ends_with("the counter 5"));
    host.say("say welcome to the desert");
    join.line("welcome", |line| line.starts_with("host: "));
    host.say("players");
    host.line("player", |line| line.starts_with("Ada  "));
    let stranger = Person::new();
    let discover = stranger.run(&["discover", "--local"]);
    host.say("quit");
    let (host, join) = (host.end(), join.end());

    // What is live, and what is typed, is there only on a terminal.
    let on_terminal = |line: &String| {
        line.starts_with(['[', '\u{2500}', '>']) || line.starts_with("1 of 8 players")
    };
    let mut shown = block("farfire host");
    shown.retain(|line| !on_terminal(line));
    assert_shown(&shown, &host.printed, 11);
    assert_shown(&block("farfire join QXJB"), &join.printed, 5);
    // Other tests announce servers at the same time.
    let own = discover
        .printed
        .lines()
        .filter(|line| line.contains(&code) || !line.contains(" 127.0.0.1:"));
    assert_shown(
        &block("farfire discover"),
        &own.collect::<Vec<_>>().join("\n"),
        3,
    );
}

#[test]
fn the_screen_of_the_doctor_is_real() {
    let printed = Person::new().run(&["doctor"]).printed;
    let first = |line: &str| line.split("  ").next().unwrap().trim().to_owned();
    let names = |lines: Vec<String>| -> Vec<String> {
        let names = lines.iter().map(|line| first(line));
        names.filter(|name| !name.is_empty()).collect()
    };
    let shown = block("farfire doctor");
    let printed = printed.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(shown.clone()), names(printed.clone()));
    // What a machine is like differs; that a player can join does not.
    assert_shown(&shown[..1], &printed[0], 1);
}

#[test]
fn the_refusal_is_real() {
    let (host, other, ada) = (Person::new(), Person::new(), Person::new());
    let host = host.host(&["--name", "desert-duel"]);
    let (address, port) = (host.address(), host.port().to_string());
    // With the name in it, as a link has it.
    let link = host.link().replacen('#', "/desert-duel#", 1);
    ada.run(&["join", &link]).assert_succeeded();
    host.quit();
    let impostor = other.host(&["--port", &port]);
    let refused = ada.run(&["join", &address]);
    assert_eq!(refused.code, Some(4));
    assert_shown(&block("farfire join 192.168.1.7"), &refused.errors, 6);
    impostor.quit();
}
