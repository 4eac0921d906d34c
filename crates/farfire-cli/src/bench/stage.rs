//! Where the servers of a benchmark run: in this process, in one of their own, or elsewhere.
//!
//! # The conversation with a process
//!
//! The benchmark writes a line of JSON, an [`Order`], and the process answers each with a line, a [`Reply`].
//! It exits when its input ends, so that it never outlives the benchmark.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    cell::Cell,
    contender::{Contender, Door, Setting, Side, serve},
    meter::Threads,
    run::{End, Half, Run},
    schedule::Schedule,
};
use crate::exit::Complaint;

/// The hidden command that starts the process of the servers.
pub(crate) const SERVER: &str = "__bench-server";

/// What the process of the servers is told.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Open(Setting, Vec<Contender>),
    Begin(Contender, Box<Cell>, Schedule),
    End,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Open(Vec<Door>),
    Begun,
    Ended(Box<Half>),
    Cannot(String, String),
}

/// The servers.
pub(crate) enum Stage {
    Here(Box<Servers>),
    Process(Box<Process>),
    /// Somebody else's server, of which only what clients see is known.
    Away(String),
}

impl Stage {
    pub(crate) fn here(setting: &Setting, contenders: &[Contender]) -> Result<Self, Complaint> {
        Servers::open(setting, contenders).map(|servers| Self::Here(Box::new(servers)))
    }

    pub(crate) fn process(setting: &Setting, contenders: &[Contender]) -> Result<Self, Complaint> {
        Process::start(setting, contenders).map(|process| Self::Process(Box::new(process)))
    }

    pub(crate) fn door(&self, contender: Contender) -> Option<&Door> {
        let doors = match self {
            Self::Here(servers) => &servers.doors,
            Self::Process(process) => &process.doors,
            Self::Away(_) => return None,
        };
        doors.iter().find(|door| door.contender == contender)
    }

    /// The threads of this process that are the clients'.
    pub(crate) fn client_threads(&self) -> Threads {
        match self {
            Self::Here(servers) => match &servers.threads {
                Threads::Only(ids) => Threads::Without(ids.clone()),
                _ => Threads::All,
            },
            Self::Process(_) | Self::Away(_) => Threads::All,
        }
    }

    pub(crate) fn begin(
        &mut self,
        contender: Contender,
        cell: &Cell,
        schedule: Schedule,
    ) -> Result<(), Complaint> {
        match self {
            Self::Here(servers) => servers.begin(contender, cell, schedule),
            Self::Process(process) => {
                let order = Order::Begin(contender, Box::new(cell.clone()), schedule);
                process.ask(&order).map(drop)
            }
            Self::Away(_) => Ok(()),
        }
    }

    /// The server's half of the run, where it is known.
    pub(crate) fn end(&mut self) -> Result<Option<Half>, Complaint> {
        match self {
            Self::Here(servers) => Ok(servers.end()),
            Self::Process(process) => match process.ask(&Order::End)? {
                Reply::Ended(half) => Ok(Some(*half)),
                other => Err(lost(&format!("it answered {other:?}"))),
            },
            Self::Away(_) => Ok(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Here(_) => "in-process".into(),
            Self::Process(_) => "process".into(),
            Self::Away(server) => away(server),
        }
    }
}

/// A link says more than a report should: it lets its reader in.
fn away(server: &str) -> String {
    let end = server.find(['#', '?']).unwrap_or(server.len());
    server[..end].into()
}

/// The servers of all contenders, in this process.
pub(crate) struct Servers {
    doors: Vec<Door>,
    sides: Vec<(Contender, Arc<dyn Side>)>,
    threads: Threads,
    run: Option<Run>,
}

impl Servers {
    fn open(setting: &Setting, contenders: &[Contender]) -> Result<Self, Complaint> {
        let before = Threads::now();
        let (mut doors, mut sides) = (Vec::new(), Vec::new());
        for &contender in contenders {
            let (door, side) = serve(contender, setting)?;
            doors.push(door);
            sides.push((contender, side));
        }
        let after = Threads::now();
        Ok(Self {
            doors,
            sides,
            threads: Threads::Only(after.difference(&before).copied().collect()),
            run: None,
        })
    }

    fn begin(
        &mut self,
        contender: Contender,
        cell: &Cell,
        schedule: Schedule,
    ) -> Result<(), Complaint> {
        let side = self.sides.iter().find(|(other, _)| *other == contender);
        let Some((_, side)) = side else {
            return Err(lost("it has no server of that contender"));
        };
        let threads = self.threads.clone();
        let run = Run::begin(End::Server, side.clone(), threads, cell, schedule)?;
        self.run = Some(run);
        Ok(())
    }

    fn end(&mut self) -> Option<Half> {
        self.run.take().map(Run::finish)
    }
}

/// The servers in a process of their own.
pub(crate) struct Process {
    doors: Vec<Door>,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(setting: &Setting, contenders: &[Contender]) -> Result<Self, Complaint> {
        let start = || {
            Command::new(std::env::current_exe()?)
                .arg(SERVER)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        };
        let mut child = start().map_err(|error| lost(&error.to_string()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| lost("it has no output"))?;
        let mut process = Self {
            doors: Vec::new(),
            child,
            input,
            output: BufReader::new(output),
        };
        let order = Order::Open(setting.clone(), contenders.to_vec());
        match process.ask(&order)? {
            Reply::Open(doors) => process.doors = doors,
            other => return Err(lost(&format!("it answered {other:?}"))),
        }
        Ok(process)
    }

    fn ask(&mut self, order: &Order) -> Result<Reply, Complaint> {
        let mut talk = || {
            let mut line = serde_json::to_string(order)?;
            line.push('\n');
            let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            input.write_all(line.as_bytes())?;
            let mut answer = String::new();
            self.output.read_line(&mut answer)?;
            Ok::<Reply, io::Error>(serde_json::from_str(&answer)?)
        };
        match talk().map_err(|error| lost(&error.to_string()))? {
            Reply::Cannot(error, help) => Err(Complaint::new(error, help)),
            reply => Ok(reply),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It goes when its input ends, and is not asked twice.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lost(why: &str) -> Complaint {
    Complaint::new(
        format!("the server's process is lost: {why}"),
        "`--server in-process` does without one",
    )
}

/// The process of the servers, from the inside.
pub(crate) fn be_the_server() -> ExitCode {
    let mut servers = None;
    for line in io::stdin().lines() {
        let order = line.ok().and_then(|line| serde_json::from_str(&line).ok());
        let Some(order) = order else { break };
        let reply = follow(order, &mut servers);
        let reply =
            reply.unwrap_or_else(|Complaint { error, help, .. }| Reply::Cannot(error, help));
        let Ok(mut line) = serde_json::to_string(&reply) else {
            break;
        };
        line.push('\n');
        if io::stdout().write_all(line.as_bytes()).is_err() {
            break;
        }
        let _ = io::stdout().flush();
    }
    ExitCode::SUCCESS
}

fn follow(order: Order, servers: &mut Option<Servers>) -> Result<Reply, Complaint> {
    match (order, servers) {
        (Order::Open(setting, contenders), servers) => {
            let mut opened = Servers::open(&setting, &contenders)?;
            // All of this process is the server.
            opened.threads = Threads::All;
            let doors = opened.doors.clone();
            *servers = Some(opened);
            Ok(Reply::Open(doors))
        }
        (Order::Begin(contender, cell, schedule), Some(servers)) => {
            servers.begin(contender, &cell, schedule)?;
            Ok(Reply::Begun)
        }
        (Order::End, Some(servers)) => match servers.end() {
            Some(half) => Ok(Reply::Ended(Box::new(half))),
            None => Err(lost("no run is under way")),
        },
        (Order::Begin(..) | Order::End, None) => Err(lost("it has not been opened")),
    }
}
