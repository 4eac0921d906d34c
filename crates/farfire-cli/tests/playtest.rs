//! The promises of `farfire playtest`, kept by the program itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

fn farfire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farfire"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn assert_succeeded(output: &Output) {
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}\n{errors}");
}

const NUMBERS: [&str; 13] = [
    "1", "2", "3", "4", "5a", "5b", "5c", "7a", "7b", "7c", "7d", "8a", "8b",
];

#[test]
fn three_players_print_what_the_scenarios_say() {
    let output = farfire(&["playtest", "--players", "3", "--fast"])
        .output()
        .unwrap();
    assert_succeeded(&output);
    let printed = text(&output.stdout);
    for line in [
        "  server  Cy fired the RemoteEvent",
        "      Bo  [Client] Event received by player Bo",
        "      Bo  8 5",
        "      Cy  Ada hi",
        "     Ada  The server created the requested part: Part",
        "  server  InvokeClient to Di raised Disconnected",
    ] {
        assert!(
            printed.lines().any(|other| other == line),
            "{line:?} in {printed}"
        );
    }
    let (_, table) = printed.split_once("\nscenario ").unwrap();
    for number in NUMBERS {
        let row = table
            .lines()
            .find(|row| row.split(' ').next() == Some(number));
        assert!(row.unwrap().ends_with("  same"), "{row:?}");
    }
    assert!(table.contains("p50") && table.contains("on this machine, now"));
    assert!(!printed.contains('\x1b'), "escape sequences in a pipe");
}

#[test]
fn json_has_a_verdict_for_each_scenario_and_both_round_trips() {
    let output = farfire(&["playtest", "--players", "1", "--fast", "--json"])
        .args(["--seed", "7"])
        .output()
        .unwrap();
    assert_succeeded(&output);
    let records: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &'static str| {
        records
            .iter()
            .filter(move |record| record["record"] == kind)
    };
    let numbers: Vec<_> = of("verdict").map(|record| &record["number"]).collect();
    assert_eq!(numbers, NUMBERS);
    assert!(of("verdict").all(|record| record["verdict"] == "same"));
    let trips: Vec<_> = of("round trip").collect();
    assert_eq!(trips.len(), 2);
    for trip in trips {
        let (median, late) = (&trip["p50_us"], &trip["p99_us"]);
        assert!(median.as_f64().unwrap() > 0.0, "{trip}");
        assert!(median.as_f64() <= late.as_f64(), "{trip}");
    }
    assert_eq!(records.last().unwrap()["different"], 0);
}

#[test]
fn a_bad_network_changes_no_line() {
    let output = farfire(&["playtest", "--players", "2", "--fast"])
        .args([
            "--net",
            "wifi",
            "--net",
            "2=mobile_4g",
            "--net",
            "server=lan",
        ])
        .output()
        .unwrap();
    assert_succeeded(&output);
    let printed = text(&output.stdout);
    let conditions = "\nEveryone plays over wifi; Bo over mobile_4g, the server over lan.\n";
    assert!(printed.contains(conditions), "{printed}");
    assert!(printed.contains("with the network above"), "{printed}");
    let (_, table) = printed.split_once("\nscenario ").unwrap();
    let same = table.lines().filter(|row| row.ends_with("  same"));
    assert_eq!(same.count(), NUMBERS.len(), "{printed}");
    // It was there: no round trip of 8 ms and more is this machine's.
    let echo = table
        .lines()
        .find(|row| row.starts_with("event and its echo"));
    let median: f64 = echo
        .unwrap()
        .split_whitespace()
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    assert!(median > 8000.0, "{printed}");
}

#[test]
fn a_wrong_command_line_exits_with_2_and_says_what_to_do() {
    for arguments in [
        &["playtest", "--players", "0"][..],
        &["playtest", "--players", "65"],
        &["playtest", "--bogus"],
        &["playtest", "--seed", "x"],
        &["bogus"],
    ] {
        let output = farfire(arguments).output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.starts_with("error: "), "{errors}");
        assert!(errors.contains("\nhelp: "), "{errors}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(farfire(&[]).output().unwrap().status.code(), Some(2));
}

#[test]
fn help_has_an_example_and_the_exit_codes_and_hides_the_children() {
    for arguments in [&["--help"][..], &["playtest", "--help"]] {
        let output = farfire(arguments).output().unwrap();
        assert_succeeded(&output);
        let help = text(&output.stdout);
        assert!(help.contains("farfire playtest --players 4"), "{help}");
        assert!(help.contains("Exit codes:"), "{help}");
        assert!(!help.contains("__"), "{help}");
    }
}

/// Processes are looked at where the system shows them.
#[cfg(target_os = "linux")]
mod processes {
    use std::{
        fs,
        io::{BufRead, BufReader, Lines},
        os::unix::process::{CommandExt, ExitStatusExt},
        process::{Child, ChildStdout, Command, ExitStatus, Stdio},
        thread,
        time::{Duration, Instant},
    };

    use serde_json::Value;

    use super::farfire;

    /// A playtest in a process group of its own, with all of its children running.
    struct Running {
        playtest: Child,
        records: Lines<BufReader<ChildStdout>>,
        /// The server's first.
        children: Vec<u32>,
    }

    impl Running {
        fn start() -> Self {
            let mut playtest = farfire(&["playtest", "--players", "3", "--json"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            let output = BufReader::new(playtest.stdout.take().unwrap());
            let mut running = Self {
                playtest,
                records: output.lines(),
                children: Vec::new(),
            };
            while running.children.len() < 4 {
                let record = running.next_record();
                if record["record"] == "process" {
                    let pid = record["pid"].as_u64().unwrap();
                    running.children.push(u32::try_from(pid).unwrap());
                }
            }
            running
        }

        fn next_record(&mut self) -> Value {
            let line = self.records.next().expect("another record").unwrap();
            serde_json::from_str(&line).unwrap()
        }

        /// Reads on until something was printed: by then every process is up and connected.
        fn until_first_line(&mut self) {
            while self.next_record()["record"] != "line" {}
        }

        fn signal(&self, signal: &str, whole_group: bool) {
            let group = if whole_group { "-" } else { "" };
            signalled(signal, &format!("{group}{}", self.playtest.id()));
        }

        /// Waits for the playtest to end, and then for nothing to be left of it.
        fn end(mut self) -> ExitStatus {
            let status = self.playtest.wait().unwrap();
            let began = Instant::now();
            while let Some(pid) = self.children.iter().find(|&&pid| is_running(pid)) {
                assert!(began.elapsed() < Duration::from_secs(20), "{pid} is left");
                // They are nobody's children here: there is only their absence to look for, until the guard.
                thread::sleep(Duration::from_millis(10));
            }
            status
        }
    }

    /// Sends a signal to a process, or to a group if its number begins with a minus.
    fn signalled(signal: &str, to: &str) {
        let kill = format!("kill -s {signal} -- {to}");
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}");
    }

    /// Whether a process runs; one that only waits for somebody to read its status does not.
    fn is_running(pid: u32) -> bool {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return false;
        };
        // The name, in parentheses, may contain anything.
        let (name, rest) = status.rsplit_once(')').unwrap();
        name.contains("farfire") && !rest.trim_start().starts_with(['Z', 'X'])
    }

    #[test]
    fn no_child_survives_a_playtest_that_is_killed() {
        let mut running = Running::start();
        running.until_first_line();
        assert!(running.children.iter().all(|&pid| is_running(pid)));
        running.signal("KILL", false);
        assert_eq!(running.end().signal(), Some(9));
    }

    #[test]
    fn one_ctrl_c_ends_everything() {
        let mut running = Running::start();
        running.until_first_line();
        // What a terminal does.
        running.signal("INT", true);
        assert_eq!(running.end().code(), Some(130));
    }

    #[test]
    fn an_interrupt_to_the_playtest_alone_ends_everything() {
        let running = Running::start();
        // At once: the children may not have read their first order yet.
        running.signal("INT", false);
        assert_eq!(running.end().code(), Some(130));
    }

    #[test]
    fn a_request_to_terminate_ends_everything_even_a_child_that_stands_still() {
        let mut running = Running::start();
        running.until_first_line();
        signalled("STOP", &running.children[1].to_string());
        running.signal("TERM", false);
        assert_eq!(running.end().code(), Some(143));
    }

    #[test]
    fn a_player_that_dies_by_itself_is_a_difference() {
        let mut running = Running::start();
        running.until_first_line();
        signalled("KILL", &running.children[2].to_string());
        let last = loop {
            let record = running.next_record();
            if record["record"] == "end" {
                break record;
            }
        };
        assert_eq!(last["different"], 1);
        assert_eq!(running.end().code(), Some(1));
    }
}
