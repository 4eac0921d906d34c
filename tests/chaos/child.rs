//! A process of a run, and what it reports.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    books::Books,
    roles::{MARK, ROLE},
};

/// A process in one of the roles; killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    reports: Arc<Mutex<Reported>>,
    readers: Vec<JoinHandle<()>>,
}

/// What a process has said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reported {
    /// Where the server is, and its pin.
    pub(crate) at: Option<(String, String)>,
    /// Whether a client is on the server, as far as it knows.
    pub(crate) is_in: bool,
    pub(crate) begun: usize,
    pub(crate) resolved: usize,
    pub(crate) overshoot: Duration,
    pub(crate) excess: Duration,
    pub(crate) outcomes: BTreeMap<String, usize>,
    pub(crate) late: Vec<String>,
    /// How each connection ended, and its books, by the player's number.
    pub(crate) lives: HashMap<u64, (String, Books)>,
    pub(crate) censuses: Vec<Census>,
    errors: Vec<String>,
}

/// What a server holds without players.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    /// Bytes that are allocated.
    pub(crate) live: usize,
    /// Bytes that the system counts.
    pub(crate) resident: usize,
    pub(crate) counts: Vec<(String, usize)>,
}

impl Process {
    /// Starts this program again, in `role`.
    pub(crate) fn start(mut program: Command, test: &str, role: &str) -> Self {
        let child = program
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("a process");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let reports = Arc::<Mutex<Reported>>::default();
        let (here, there) = (reports.clone(), reports.clone());
        let output = thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // A process that is killed may say half a line.
                if let Some(report) = line.strip_prefix(MARK) {
                    let _ = here.lock().unwrap().hear(report);
                }
            }
        });
        let errors = thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                there.lock().unwrap().errors.push(line);
            }
        });
        Self {
            child,
            input,
            reports,
            readers: vec![output, errors],
        }
    }

    pub(crate) fn reported(&self) -> Reported {
        self.reports.lock().unwrap().clone()
    }

    /// Asks something of what was reported, without a copy of it all.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Reported) -> T) -> T {
        question(&self.reports.lock().unwrap())
    }

    /// Waits until what was reported is as it should be.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Reported) -> bool) {
        let guard = Instant::now() + GUARD;
        while !self.ask(&is_so) {
            assert!(Instant::now() < guard, "never {what}: {:#?}", self.said());
            // What another process has come to is asked for again, until the guard.
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn order(&mut self, order: &str) {
        // Whoever does not hear it any more is waited for in vain elsewhere.
        let _ = self.input.write_all(format!("{order}\n").as_bytes());
    }

    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args(["-s", name, &self.child.id().to_string()]);
        assert!(status.status().expect("to signal").success());
    }

    /// Waits for its end in good order, and gives all that it reported.
    pub(crate) fn end(mut self) -> Reported {
        let guard = Instant::now() + GUARD;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            assert!(Instant::now() < guard, "it never ends: {:#?}", self.said());
            thread::sleep(Duration::from_millis(5));
        };
        let reported = self.read_to_the_end();
        assert!(status.success(), "{status}: {:#?}", reported.errors);
        reported
    }

    /// Kills it, which must still be alive, and gives what it had reported.
    pub(crate) fn kill(mut self) -> Reported {
        let ended = self.child.try_wait().expect("its status");
        assert!(ended.is_none(), "{ended:?}: {:#?}", self.said());
        self.child.kill().expect("to be allowed to");
        let _: ExitStatus = self.child.wait().expect("its status");
        self.read_to_the_end()
    }

    fn read_to_the_end(&mut self) -> Reported {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        self.reported()
    }

    fn said(&self) -> Vec<String> {
        self.ask(|reported| reported.errors.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already unless the test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reported {
    fn hear(&mut self, report: &str) -> Option<()> {
        let (kind, rest) = report.split_once(' ')?;
        match kind {
            "at" => {
                let (address, pin) = rest.split_once(' ')?;
                self.at = Some((address.into(), pin.into()));
            }
            "joined" => self.is_in = true,
            "life" => {
                self.is_in = false;
                let mut words = rest.splitn(3, ' ');
                let (id, end) = (words.next()?.parse().ok()?, words.next()?.to_owned());
                let books = words.next()?.parse().ok()?;
                assert!(self.lives.insert(id, (end, books)).is_none(), "{id} twice");
            }
            "calls" => {
                let (counts, outcomes) = rest.split_once(';').unwrap_or((rest, ""));
                let mut counts = counts.split(' ').map(|count| count.parse::<u64>().ok());
                let mut next = || counts.next().flatten();
                (self.begun, self.resolved) = (next()? as usize, next()? as usize);
                (self.overshoot, self.excess) = (
                    Duration::from_micros(next()?),
                    Duration::from_micros(next()?),
                );
                for outcome in outcomes.split(';').filter(|outcome| !outcome.is_empty()) {
                    let (outcome, count) = outcome.rsplit_once(' ')?;
                    self.outcomes.insert(outcome.into(), count.parse().ok()?);
                }
            }
            "late" => self.late.push(rest.into()),
            "census" => {
                let mut words = rest.split(' ');
                let mut number = || words.next()?.parse().ok();
                let (live, resident) = (number()?, number()?);
                let counts = words.filter_map(|word| {
                    let (what, count) = word.split_once('=')?;
                    Some((what.to_owned(), count.parse().ok()?))
                });
                self.censuses.push(Census {
                    live,
                    resident,
                    counts: counts.collect(),
                });
            }
            _ => {}
        }
        Some(())
    }

    /// Adds what another process has reported.
    pub(crate) fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.resolved += other.resolved;
        self.overshoot = self.overshoot.max(other.overshoot);
        self.excess = self.excess.max(other.excess);
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.late.extend(other.late);
        self.lives.extend(other.lives);
    }
}

/// Longer than anything takes here, on however busy a machine.
const GUARD: Duration = Duration::from_secs(60);
