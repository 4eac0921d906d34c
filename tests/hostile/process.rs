//! Processes of this binary in a role, on a core of their own where times are compared.
//!
//! They are told things line by line and answer with lines that begin with `> `. Knows nothing about
//! what is said.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
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
/// The cores that there are for all parties.
const CORES: &str = "FARFIRE_HOSTILE_CORES";
/// Says that a process has a core which the honest player has to share with it.
const SHARES: &str = "FARFIRE_HOSTILE_SHARES";
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
            Some(cores) => cores.command(party, &program),
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
    if env::var_os(ALONE).is_some() {
        return false;
    }
    let Some(test) = test else {
        assert!(
            rounds() == 0,
            "comparing times takes more than one test thread"
        );
        return false;
    };
    let program = env::current_exe().unwrap();
    let mut command = match cores() {
        Some(cores) => cores.command(Party::Server, &program),
        None => Command::new(program),
    };
    let child = command
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

/// Who runs where, and before whom, while times are compared.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    cores: Vec<usize>,
    /// Whether the system lets these parties go before all other programs.
    favoured: bool,
}

impl Cores {
    fn of(&self, party: Party) -> String {
        let core = match party {
            Party::Server => self.cores.first(),
            Party::Honest => self.cores.get(1),
            Party::Enemies => self.cores.last(),
        };
        core.expect("there are two").to_string()
    }

    fn command(&self, party: Party, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.of(party)]);
        let cores: Vec<_> = self.cores.iter().map(usize::to_string).collect();
        command.env(CORES, cores.join(" "));
        match (party, self.favoured) {
            (Party::Server | Party::Honest, true) => _ = command.args(["chrt", "-r", "1"]),
            // Not as its parent, or it would have the honest player's core for a tenth of a second at a time. No
            // nicer to them than to the kernel's own threads, which carry everybody's packets.
            (Party::Enemies, true) => _ = command.args(["chrt", "-o", "0"]),
            (Party::Server | Party::Honest, false) => {}
            (Party::Enemies, false) => {
                command.args(["nice", "-n", "19"]).env(SHARES, "1");
            }
        }
        command.arg(program);
        command
    }
}

/// `None` if no times are compared.
fn cores() -> Option<&'static Cores> {
    static LOOKED: OnceLock<Option<Cores>> = OnceLock::new();
    let look = || {
        (rounds() > 0).then(|| {
            let cores = allowed_cores();
            assert!(cores.len() > 1, "comparing times takes two cores");
            let mut chrt = Command::new("chrt");
            let status = chrt
                .args(["-r", "1", "true"])
                .stderr(Stdio::null())
                .status();
            let favoured = status.is_ok_and(|status| status.success());
            Cores { cores, favoured }
        })
    };
    LOOKED.get_or_init(look).as_ref()
}

/// Whether what this process does on a core is time that the honest player lacks.
///
/// Not where the honest player goes before it.
pub(crate) fn shares_its_core() -> bool {
    env::var_os(SHARES).is_some()
}

/// How many rounds of war and peace are to be compared; none by default.
pub(crate) fn rounds() -> u32 {
    let rounds = env::var("FARFIRE_HOSTILE_ROUNDS").ok();
    rounds.map_or(0, |rounds| rounds.parse().unwrap())
}

/// Those of the process that is on none of its own yet.
fn allowed_cores() -> Vec<usize> {
    if let Ok(cores) = env::var(CORES) {
        return cores.split(' ').map(|core| core.parse().unwrap()).collect();
    }
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
