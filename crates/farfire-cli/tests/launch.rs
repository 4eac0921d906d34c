//! The promises of the launcher, `farfire playtest --live` and `farfire playtest -- SERVER -- CLIENT`,
//! kept by the program itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A launcher in a process group of its own, at whose prompt a test types.
struct Running {
    launcher: Child,
    prompt: Option<ChildStdin>,
    records: Receiver<Value>,
    /// Every group that it has started: of guards, and of programs.
    groups: BTreeSet<u32>,
    heard: Vec<Value>,
    /// Which of them `once` has given out.
    taken: BTreeSet<usize>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut launcher = Command::new(env!("CARGO_BIN_EXE_farfire"))
            .args(["playtest", "--json"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let prompt = launcher.stdin.take();
        let output = BufReader::new(launcher.stdout.take().unwrap());
        let (sender, records) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let record = serde_json::from_str(&line).expect("a record per line");
                if sender.send(record).is_err() {
                    return;
                }
            }
        });
        Self {
            launcher,
            prompt,
            records,
            groups: BTreeSet::new(),
            heard: Vec::new(),
            taken: BTreeSet::new(),
        }
    }

    /// A server that is ready at once, and clients that run this script.
    fn scripts(options: &[&str], client: &str) -> Self {
        let server = "echo listening: 127.0.0.1:4433; cat";
        let programs = ["--", "sh", "-c", server, "--", "sh", "-c", client];
        Self::start(&[options, &programs].concat())
    }

    fn type_in(&mut self, line: &str) {
        let prompt = self.prompt.as_mut().unwrap();
        writeln!(prompt, "{line}").unwrap();
    }

    /// Reads on until there is such a record.
    fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let left = GUARD.saturating_sub(began.elapsed());
            let Ok(record) = self.records.recv_timeout(left) else {
                let last: Vec<_> = self.heard.iter().rev().take(20).collect();
                panic!("waited for {what} in vain; last came {last:#?}");
            };
            if record["record"] == "process" {
                for group in [&record["pid"], &record["guard"]] {
                    self.groups
                        .insert(u32::try_from(group.as_u64().unwrap()).unwrap());
                }
            }
            self.heard.push(record.clone());
            if is_it(&record) {
                return record;
            }
        }
    }

    /// Waits for something that may have come already, while something else was waited for.
    fn once(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut all = self.heard.iter().enumerate();
        let at = all.position(|(at, record)| !self.taken.contains(&at) && is_it(record));
        let at = at.unwrap_or_else(|| {
            self.until(what, is_it);
            self.heard.len() - 1
        });
        self.taken.insert(at);
        self.heard[at].clone()
    }

    fn until_line(&mut self, process: &str, text: &str) -> String {
        let what = format!("{text:?} from {process}");
        let record = self.once(&what, |record| {
            let line = record["text"].as_str().unwrap_or_default();
            ["line", "aside"].contains(&record["record"].as_str().unwrap())
                && record["process"] == process
                && line.contains(text)
        });
        record["text"].as_str().unwrap().into()
    }

    fn until_exit(&mut self, process: &str) -> Value {
        self.once(&format!("the end of {process}"), |record| {
            record["record"] == "exit" && record["process"] == process
        })
    }

    fn pid(&self, process: &str) -> u32 {
        let mut all = self.heard.iter();
        let record = all.find(|of| of["record"] == "process" && of["process"] == process);
        u32::try_from(record.unwrap()["pid"].as_u64().unwrap()).unwrap()
    }

    fn signal(&self, signal: &str) {
        signalled(signal, self.launcher.id());
    }

    /// Waits for the launcher to end, and then for nothing to be left of what it started.
    fn end(mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        while let Ok(record) = self.records.recv_timeout(GUARD) {
            self.heard.push(record);
        }
        let mut errors = String::new();
        let mut stderr = self.launcher.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        let status = self.launcher.wait().unwrap();
        while let Some(process) = running().find(|of| self.groups.contains(&of.group)) {
            assert!(began.elapsed() < GUARD, "{process:?} is left");
            // These are nobody's children here, so there is nothing to wait for but their absence.
            thread::sleep(Duration::from_millis(10));
        }
        (status, errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What a failed test has left; the guards do the rest.
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

#[derive(Debug)]
struct Process {
    group: u32,
    state: char,
}

/// Every process that runs; one that only waits for somebody to read its status does not.
fn running() -> impl Iterator<Item = Process> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        process(pid).filter(|process| !['Z', 'X'].contains(&process.state))
    })
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some(Process { group, state })
}

fn signalled(signal: &str, pid: u32) {
    let kill = format!("kill -s {signal} -- {pid}");
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
}

fn number(record: &Value, name: &str) -> f64 {
    record[name].as_f64().unwrap_or(0.0)
}

#[test]
fn bots_play_and_the_prompt_is_obeyed_while_they_do() {
    let mut live = Running::start(&["--live", "--players", "2", "--net", "2=wifi"]);
    // Everything that bots do has happened, and its figures came.
    for (player, net) in [("1 Ada", "off"), ("2 Bo", "wifi")] {
        let done = live.until("a bot's figures", |record| {
            record["record"] == "status"
                && record["process"] == player
                && ["moves_per_s", "worlds_per_s", "bought", "answered", "chats"]
                    .iter()
                    .all(|name| number(record, name) >= 1.0)
        });
        assert_eq!(done["net"], net, "{done}");
    }

    live.type_in("net ada awful");
    let bad = live.until("a worse ping", |record| {
        record["process"] == "1 Ada" && number(record, "ping_ms") > 150.0
    });
    assert_eq!(bad["net"], "awful");
    live.type_in("net off");
    let half = number(&bad, "ping_ms") / 2.0;
    live.until("a better ping", |record| {
        record["process"] == "1 Ada" && record["net"] == "off" && number(record, "ping_ms") < half
    });

    live.type_in("add");
    live.until_line("server", "Cy joined");
    live.type_in("tell 3 is anybody here?");
    live.until_line("server", "Cy: is anybody here?");
    live.type_in("kick 2");
    live.until_line("2 Bo", "kicked by the host");
    assert_eq!(live.until_exit("2 Bo")["code"], 0);
    live.type_in("kill 1");
    let killed = live.until_exit("1 Ada");
    assert_eq!(
        (&killed["signal"], &killed["crashed"]),
        (&9.into(), &false.into())
    );
    live.type_in("kill 1");
    live.until("a reason", |of| {
        of["record"] == "problem" && of["text"] == "1 Ada has ended"
    });
    live.type_in("quit");
    let (status, errors) = live.end();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn a_wrong_command_is_explained_and_changes_nothing() {
    let mut live = Running::start(&["--live", "--players", "1", "--for", "1h"]);
    live.until_line("server", "Ada joined");
    for (line, part) in [
        (
            "net wifii",
            "choose lan, wifi, mobile_4g, intercontinental or awful, or off",
        ),
        ("kick 7", "no such player"),
        ("dance", "`help` lists them"),
    ] {
        live.type_in(line);
        live.until(part, |record| {
            record["record"] == "problem" && record["text"].as_str().unwrap().contains(part)
        });
    }
    live.type_in("help");
    live.until("help", |record| {
        record["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("freeze 2, thaw 2"))
    });
    live.type_in("quit");
    assert_eq!(live.end().0.code(), Some(0));
}

#[test]
fn a_live_playtest_ends_when_its_time_is_over() {
    let mut live = Running::start(&["--live", "--players", "1", "--for", "1s"]);
    live.until("the last record", |record| record["record"] == "end");
    assert_eq!(live.end().0.code(), Some(0));
}

#[test]
fn the_frozen_are_thawed_and_do_not_outlive_a_killed_launcher() {
    let mut live = Running::start(&["--live", "--players", "2"]);
    live.until_line("server", "Bo joined");
    live.until_line("server", "Ada joined");
    let ada = live.pid("1 Ada");
    let is_frozen = || process(ada).unwrap().state == 'T';
    for (command, frozen) in [("freeze 1", true), ("thaw 1", false), ("freeze 1", true)] {
        live.type_in(command);
        let began = Instant::now();
        while is_frozen() != frozen {
            assert!(began.elapsed() < GUARD, "{command}");
            // The system tells nobody that a process is stopped: looked at until the guard.
            thread::sleep(Duration::from_millis(5));
        }
    }
    live.signal("KILL");
    assert_eq!(live.end().0.signal(), Some(9));
}

#[test]
fn one_ctrl_c_ends_everything_and_a_second_one_at_once() {
    let stubborn = "trap 'echo not yet' INT; echo up; while :; do sleep 0.05; done";
    let mut took = Vec::new();
    for signals in [1, 2] {
        let mut own = Running::scripts(&["--players", "2"], stubborn);
        own.until_line("1 Ada", "up");
        own.until_line("2 Bo", "up");
        let began = Instant::now();
        own.signal("INT");
        own.until_line("2 Bo", "not yet");
        if signals == 2 {
            own.signal("INT");
        }
        for player in ["1 Ada", "2 Bo"] {
            own.until_exit(player);
        }
        took.push(began.elapsed());
        let (status, errors) = own.end();
        assert_eq!(status.code(), Some(130), "{errors}");
        assert!(errors.contains("ended by Ctrl-C"), "{errors}");
    }
    assert!(took[1] < took[0], "a second Ctrl-C forces: {took:?}");
}

#[test]
fn a_crash_is_reported_with_its_last_words_and_ends_the_rest() {
    let client = "echo one; echo two >&2; [ $FARFIRE_PLAYER = 1 ] && cat || exit 3";
    let mut own = Running::scripts(&["--players", "2"], client);
    let crash = own.until_exit("2 Bo");
    assert_eq!(
        (&crash["code"], &crash["crashed"]),
        (&3.into(), &true.into())
    );
    let mut last: Vec<_> = crash["last"].as_array().unwrap().iter().collect();
    last.sort_by_key(|line| line.to_string());
    assert_eq!(last, ["one", "two"]);
    let (status, errors) = own.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.starts_with("error: 2 Bo crashed: exit code 3\nhelp: "),
        "{errors}"
    );
    assert!(errors.contains("--keep-going"), "{errors}");
}

#[test]
fn with_keep_going_the_others_play_on_after_a_crash() {
    let client = "[ $FARFIRE_PLAYER = 2 ] && kill -SEGV $$; read line; echo heard $line";
    let mut own = Running::scripts(&["--players", "2", "--keep-going"], client);
    assert_eq!(own.until_exit("2 Bo")["signal"], 11);
    own.type_in("tell 1 go on");
    own.until_line("1 Ada", "heard go on");
    // The last player's end is the end of the server's input, and of everything.
    assert_eq!(own.until_exit("server")["code"], 0);
    let (status, errors) = own.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("2 Bo crashed: signal 11 (SIGSEGV)"),
        "{errors}"
    );
}

#[test]
fn programs_are_told_who_they_are_and_where_the_server_is_and_their_network_changes() {
    let client = "echo $FARFIRE_PLAYER $FARFIRE_NAME at $FARFIRE_ADDRESS; \
                  while read line; do echo net $(cat ${FARFIRE_NET#@}); done";
    let mut own = Running::scripts(&["--players", "2", "--net", "2=wifi"], client);
    for (player, net) in [("1 Ada", "off"), ("2 Bo", "wifi")] {
        let line = own.until_line(player, " at ");
        assert_eq!(line, format!("{player} at 127.0.0.1:4433"));
        let number = &player[..1];
        own.type_in(&format!("tell {number} now"));
        assert_eq!(own.until_line(player, "net "), format!("net {net}"));
    }
    // In turn: the guard follows one order after the other.
    own.type_in("net 2 awful");
    own.type_in("tell bo now");
    assert_eq!(own.until_line("2 Bo", "net "), "net awful");
    own.type_in("quit");
    assert_eq!(own.end().0.code(), Some(0));
}

#[test]
fn clients_wait_for_the_line_that_was_asked_for() {
    let server = "echo listening: 0.0.0.0:4433; read go; echo the world is loaded; cat";
    let client = "echo at $FARFIRE_ADDRESS; cat";
    let programs = ["--", "sh", "-c", server, "--", "sh", "-c", client];
    let options = ["--players", "1", "--ready", "is loaded"];
    let mut own = Running::start(&[&options[..], &programs].concat());
    own.until_line("server", "listening");
    own.type_in("add");
    own.until("too early", |of| {
        of["text"] == "the server is not ready yet"
    });
    own.type_in("tell server go");
    assert_eq!(
        own.until("ready", |of| of["record"] == "ready")["ready"],
        true
    );
    assert_eq!(own.until_line("1 Ada", "at"), "at 127.0.0.1:4433");
    own.type_in("quit");
    assert_eq!(own.end().0.code(), Some(0));
}

#[test]
fn clients_of_a_silent_server_start_when_it_has_had_its_time() {
    let client = "echo at ${FARFIRE_ADDRESS-nowhere}";
    let programs = ["--", "cat", "--", "sh", "-c", client];
    let options = ["--players", "1", "--wait", "10ms"];
    let mut own = Running::start(&[&options[..], &programs].concat());
    assert_eq!(
        own.until("a start", |of| of["record"] == "ready")["ready"],
        false
    );
    own.until_line("1 Ada", "at nowhere");
    assert_eq!(own.end().0.code(), Some(0));
}

#[test]
fn what_a_program_has_started_ends_with_it_even_if_the_launcher_is_killed() {
    for signal in ["KILL", "TERM"] {
        // Neither reads its input; both ignore what can be ignored.
        let client = "trap '' INT HUP TERM; sleep 1000 & sleep 1000 & echo two more; wait";
        let mut own = Running::scripts(&["--players", "2"], client);
        own.until_line("1 Ada", "two more");
        own.until_line("2 Bo", "two more");
        let ada = own.pid("1 Ada");
        let of_ada = running().filter(|process| process.group == ada);
        assert_eq!(of_ada.count(), 3);
        own.signal(signal);
        // Fails if anything is left in any of the groups.
        let (status, _) = own.end();
        let expected = if signal == "KILL" {
            (None, Some(9))
        } else {
            (Some(143), None)
        };
        assert_eq!((status.code(), status.signal()), expected);
    }
}

#[test]
fn a_launcher_that_nobody_reads_ends_what_it_started() {
    let mut own = Running::scripts(
        &["--players", "1"],
        "while :; do echo on and on; sleep 0.01; done",
    );
    own.until_line("1 Ada", "on and on");
    // The reader goes with the channel that it fills.
    (_, own.records) = mpsc::channel();
    let (status, errors) = own.end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("nobody reads"), "{errors}");
}

#[test]
fn bad_input_says_what_is_wrong_and_what_to_do() {
    let presets = "choose lan, wifi, mobile_4g, intercontinental or awful, or off";
    for (arguments, code, part) in [
        ("--net wifii", 2, presets),
        ("--live --net 2=wifii", 2, presets),
        (
            "--live --net bo=wifi",
            2,
            "neither the number of a player nor `server`",
        ),
        (
            "--live --players 2 --net 3=wifi",
            2,
            "is for player 3, and there are 2",
        ),
        ("--live --for 30", 2, "500ms, 30s, 5m, 1h"),
        ("--live --fast", 2, "cannot be used with"),
        ("--for 3s", 2, "add `--live`"),
        ("--live -- cat -- cat", 2, "cannot be used with"),
        ("-- cat", 2, "none for the clients"),
        ("-- cat --", 2, "behind the second"),
        ("-- -- cat", 2, "before the second"),
        ("-- cat -- cat -- cat", 2, "more than two programs"),
        (
            "-- ./no-such-server -- cat",
            1,
            "the server \"./no-such-server\" cannot be started",
        ),
        (
            "--wait 0s -- cat -- ./no-such-client",
            1,
            "the client \"./no-such-client\" cannot",
        ),
        ("-- false -- cat", 1, "server crashed: exit code 1"),
        ("-- true -- cat", 1, "ended before it was ready"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_farfire"))
            .arg("playtest")
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {errors}");
        assert!(errors.contains(part), "{arguments}: {errors}");
        assert!(errors.starts_with("error: "), "{errors}");
        assert!(errors.contains("\nhelp: "), "{errors}");
    }
}

/// How long anything is waited for.
const GUARD: Duration = Duration::from_secs(60);
