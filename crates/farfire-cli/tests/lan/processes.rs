//! Hosts and players as processes, on loopback, each with what it prints read as it comes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// A person with files of their own.
pub(crate) struct Person(TempDir);

impl Person {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farfire"));
        command.args(arguments);
        self.dress(command)
    }

    /// Has a command run with this person's files.
    pub(crate) fn dress(&self, mut command: Command) -> Command {
        command
            .current_dir(self.0.path())
            .env("FARFIRE_HOME", self.0.path())
            .env("USER", "Somebody")
            .env_remove("NO_COLOR");
        command
    }

    /// Runs a command that ends by itself, without input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ended::from(output)
    }

    /// Hosts on a free port of loopback, and tells programs what happens.
    pub(crate) fn host(&self, more: &[&str]) -> Host {
        let mut arguments = vec!["host", "--json", "--local", "--no-discovery"];
        if !more.contains(&"--port") {
            arguments.extend(["--port", "0"]);
        }
        arguments.extend(more);
        let mut running = self.start(&arguments);
        let invitation = running.record("host");
        Host {
            running,
            invitation,
        }
    }

    /// Joins as a program.
    pub(crate) fn join(&self, target: &str, name: &str) -> Running {
        let mut running = self.start(&["join", target, "--json", "--name", name]);
        running.record("welcome");
        running
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }
}

/// A host, and what it says about itself.
pub(crate) struct Host {
    pub(crate) running: Running,
    pub(crate) invitation: Value,
}

impl Host {
    pub(crate) fn port(&self) -> u64 {
        self.invitation["port"].as_u64().unwrap()
    }

    /// Its address on this machine alone.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Its link, but for its addresses: on this machine alone.
    pub(crate) fn link(&self) -> String {
        on_loopback(self.text("link"), self.port())
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.invitation[field].as_str().unwrap()
    }

    pub(crate) fn quit(mut self) {
        self.running.say("quit");
        let ended = self.running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// A link with the address of loopback and no other.
pub(crate) fn on_loopback(link: &str, port: u64) -> String {
    let (_, secrets) = link.split_once('#').unwrap();
    format!("farfire://127.0.0.1:{port}#{secrets}")
}

/// A process that prints, and that can be typed to.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything so far, for the message of a failure.
    printed: Vec<String>,
    errors: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut errors = child.stderr.take().unwrap();
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self {
            input: child.stdin.take(),
            child,
            lines,
            printed: Vec::new(),
            errors: Some(errors),
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for a line that is like this.
    pub(crate) fn line(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + GUARD;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let printed = std::mem::take(&mut self.printed);
                let _ = self.child.kill();
                let errors = self.errors.take().map(|errors| errors.join().unwrap());
                panic!("no {what} came, but {printed:#?} and {errors:?}");
            };
            self.printed.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Waits for the next record of this kind.
    pub(crate) fn record(&mut self, kind: &str) -> Value {
        self.record_where(kind, |_| true)
    }

    pub(crate) fn record_where(&mut self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let read = |line: &str| serde_json::from_str::<Value>(line).ok();
        let fits = |line: &str| read(line).is_some_and(|of| of["record"] == kind && is_it(&of));
        let line = self.line(&format!("record {kind}"), fits);
        read(&line).unwrap()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -s {signal} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}");
    }

    /// Waits for its end; its input stays open meanwhile.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + GUARD;
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {:#?}",
                self.printed
            );
            // A process says nothing when it ends: asked again until the deadline.
            thread::sleep(Duration::from_millis(10));
        };
        // The pipe is closed: what was printed is all there.
        self.printed.extend(self.lines.iter());
        let errors = self.errors.take().map(|errors| errors.join().unwrap());
        Ended {
            code,
            printed: self.printed.join("\n"),
            errors: errors.unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) printed: String,
    pub(crate) errors: String,
}

impl Ended {
    /// It failed with this code, an error and a help, and nothing else that looks like a failure.
    #[track_caller]
    pub(crate) fn assert_failed(&self, code: i32, error: &str, help: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.errors.starts_with("error: "), "{self:#?}");
        let (what, next) = self.errors.split_once("\nhelp: ").expect("a help");
        assert!(what.contains(error), "{error:?} is not in {self:#?}");
        assert!(next.contains(help), "{help:?} is not in {self:#?}");
        assert!(!self.errors.contains("panicked"), "{self:#?}");
    }

    #[track_caller]
    pub(crate) fn assert_succeeded(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            printed: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}

/// When a wait for something certain gives up; the machine may be busy.
const GUARD: Duration = Duration::from_secs(60);
