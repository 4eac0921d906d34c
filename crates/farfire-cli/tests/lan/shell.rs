//! Help, completions and manual pages.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::processes::Person;

const COMMANDS: [&str; 9] = [
    "host",
    "join",
    "discover",
    "doctor",
    "cert",
    "trust",
    "playtest",
    "completions",
    "man",
];

#[test]
fn help_of_every_command_has_an_example() {
    let person = Person::new();
    let all = person.run(&["--help"]);
    all.assert_succeeded();
    assert!(
        all.printed
            .contains("4              the server's identity is not trusted")
    );
    for command in COMMANDS {
        assert!(
            all.printed.contains(&format!("  {command}")),
            "{command} is not listed"
        );
        let help = person.run(&[command, "--help"]);
        help.assert_succeeded();
        let example = format!("  farfire {command}");
        assert!(
            help.printed.contains(&example),
            "{command}: {}",
            help.printed
        );
        let exits = help.printed.contains("Exit codes:");
        assert!(
            exits || ["completions", "man"].contains(&command),
            "{command}"
        );
    }
}

#[test]
fn shells_know_the_commands_and_not_the_hidden_ones() {
    let person = Person::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = person.run(&["completions", shell]);
        script.assert_succeeded();
        for command in ["host", "join", "discover", "doctor"] {
            assert!(script.printed.contains(command), "{shell} lacks {command}");
        }
    }
}

/// What bash makes of it, where there is one.
#[cfg(unix)]
#[test]
fn bash_completes_a_command() {
    let script = Person::new().run(&["completions", "bash"]).printed;
    let question = "\nCOMP_WORDS=(farfire disc); COMP_CWORD=1\n\
                    _farfire farfire disc farfire\necho \"${COMPREPLY[@]}\"\n";
    let bash = Command::new("bash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut bash) = bash else {
        eprintln!("skipped: there is no bash here");
        return;
    };
    let input = bash.stdin.as_mut().unwrap();
    input.write_all((script + question).as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "discover");
}

#[test]
fn every_command_has_a_manual_page() {
    let person = Person::new();
    let page = person.run(&["man"]);
    page.assert_succeeded();
    assert!(page.printed.contains(".TH farfire 1"), "{}", page.printed);
    for command in COMMANDS {
        let page = person.run(&["man", command]);
        page.assert_succeeded();
        let title = format!(".TH farfire-{command} 1");
        assert!(page.printed.contains(&title), "{}", page.printed);
    }
    for hidden in ["nothing", "__server"] {
        person
            .run(&["man", hidden])
            .assert_failed(2, "there is no command", "--help");
    }
}
