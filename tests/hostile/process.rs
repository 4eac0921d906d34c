//! Processes of this binary in a role, on a core of their own where times are compared.
//!
//! They are told things line by line and answer with lines that begin with `> `. Knows nothing about
//! what is said.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use tokio::sync::mpsc::{self, UnboundedReceiver};

/// Where a role finds what it has to know.
const ROLE: &str = "FARFIRE_HOSTILE_ROLE";

/// Who shares the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// Has a core for itself.
    Server,
    Honest,
    /// Takes what the honest leave of a core: elsewhere it would have a machine for itself.
    Enemies,
}

/// Says that a siege has this process for itself.
const ALONE: &str = "FARFIRE_HOSTILE_ALONE";
/// How a line of a report begins.
pub(crate) const REPORT: &str = "attack ";

/// A running process; killed when this is dropped before its end.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: UnboundedReceiver<String>,
}

impl Process {
    /// Starts one test of this binary, which is ignored but for this.
    pub(crate) fn start(test: &str, party: Party, role: &str) -> Self {
        let program = env::current_exe().unwrap();
        let mut command = match cores() {
            Some(cores) => {
                let mut command = Command::new("nice");
                let niceness = if party == Party::Enemies { "19" } else { "0" };
                let core = cores.of(party).to_string();
                command.args(["-n", niceness, "taskset", "-c", &core]);
                command.arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, output) = mpsc::unbounded_channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(said) = line.strip_prefix("> ") {
                    let _ = send.send(said.to_owned());
                }
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            output,
        }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").expect("it listens");
    }

    /// What it says next, which must begin with `beginning`; gives the rest.
    pub(crate) async fn said(&mut self, beginning: &str) -> String {
        let line = tokio::time::timeout(GUARD, self.output.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("it never said {beginning:?}"));
        let line = line.unwrap_or_else(|| panic!("it failed before it said {beginning:?}"));
        let rest = line.strip_prefix(beginning);
        rest.unwrap_or_else(|| panic!("{line:?} and not {beginning:?}"))
            .trim()
            .to_owned()
    }

    /// Closes its input, and waits until it has ended well.
    pub(crate) async fn end(mut self) {
        drop(self.input.take());
        let ended = async { while self.output.recv().await.is_some() {} };
        tokio::time::timeout(GUARD, ended).await.expect("to end");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already unless the test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The role of this process, if it was given one; what it says next begins a line.
pub(crate) fn role() -> Option<String> {
    let role = env::var(ROLE).ok()?;
    println!();
    Some(role)
}

/// Runs this test in a process of its own, unless this is one or nobody knows the test's name.
pub(crate) fn runs_alone() -> bool {
    let thread = thread::current();
    let test = thread.name().filter(|name| name.contains("::"));
    let (None, Some(test)) = (env::var_os(ALONE), test) else {
        return false;
    };
    let program = env::current_exe().unwrap();
    let child = Command::new(program)
        .args([test, "--exact", "--include-ignored", "--nocapture"])
        .env(ALONE, test)
        .output()
        .unwrap();
    let [output, errors] = [child.stdout, child.stderr].map(|b| String::from_utf8(b).unwrap());
    assert!(child.status.success(), "{output}{errors}");
    let report = output.lines().filter(|line| line.starts_with(REPORT));
    report.for_each(|line| println!("{line}"));
    true
}

/// Which cores the parties have while times are compared.
#[derive(Debug, Clone)]
pub(crate) struct Cores(Vec<usize>);

impl Cores {
    fn of(&self, party: Party) -> usize {
        let cores = &self.0;
        match party {
            Party::Server => cores[0],
            Party::Honest => cores[1],
            Party::Enemies => cores[cores.len() - 1],
        }
    }
}

/// `None` if no times are compared. Otherwise this process stays on its core from now on.
pub(crate) fn cores() -> Option<&'static Cores> {
    static CORES: OnceLock<Option<Cores>> = OnceLock::new();
    let pin = || {
        (rounds() > 0).then(|| {
            let cores = Cores(allowed_cores());
            assert!(cores.0.len() > 1, "comparing times takes two cores");
            let (core, this) = (
                cores.of(Party::Server).to_string(),
                process::id().to_string(),
            );
            let mut taskset = Command::new("taskset");
            taskset
                .args(["-a", "-c", "-p", &core, &this])
                .stdout(Stdio::null());
            let done = taskset.status().is_ok_and(|status| status.success());
            assert!(done, "comparing times takes `taskset`");
            cores
        })
    };
    CORES.get_or_init(pin).as_ref()
}

/// How many rounds of war and peace are to be compared; none by default.
pub(crate) fn rounds() -> u32 {
    let rounds = env::var("FARFIRE_HOSTILE_ROUNDS").ok();
    rounds.map_or(0, |rounds| rounds.parse().unwrap())
}

fn allowed_cores() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = list.unwrap().trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().unwrap()..=last.parse().unwrap()
    });
    ranges.flatten().collect()
}

/// Longer than anything takes between two lines, on however busy a machine.
const GUARD: Duration = Duration::from_secs(60);
