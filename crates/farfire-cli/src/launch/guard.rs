//! The guard: a process between the launcher and one program, which ends the program when the launcher
//! is gone, however that came about, and says how the program ended.
//!
//! Knows nothing of other programs, and nothing of what this one prints.
//!
//! # The conversation
//!
//! The launcher writes orders to the guard's standard input, one line each:
//!
//! | order | what the guard does |
//! |---|---|
//! | `tell TEXT` | writes that line to the program's standard input |
//! | `net PRESET` | changes the program's network |
//! | `freeze`, `thaw` | stops the program where it stands, and lets it go on |
//! | `finish` | closes the program's input; interrupts it two seconds later, then kills it |
//! | `end` | closes its input and interrupts it, as Ctrl-C does; kills it two seconds later |
//! | `kill` | kills it |
//!
//! The end of the input is an `end`. Whatever is done to the program is done to its whole process
//! group. The guard prints, one line each: `p PID`, `f WHY` if the program could not be started, `o LINE`
//! and `e LINE` for what it prints on its two outputs, `n WHY` for an order that failed, and last
//! `x code NUMBER` or `x signal NUMBER`.

use std::{
    ffi::OsString,
    fs, io,
    io::{BufRead, Write},
    path::PathBuf,
    process::{ExitCode, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc::{self, Receiver, Sender},
    time::{Instant, sleep_until, timeout_at},
};

use super::group::{self, Blow};
use crate::net::{self, Net};

/// Runs a program until it ends, or until there is no more launcher.
pub(crate) async fn guard(net: String, command: Vec<OsString>) -> ExitCode {
    match Guarded::start(&net, &command) {
        Ok(guarded) => guarded.watch().await,
        Err(error) => say('f', &error.to_string()),
    }
    ExitCode::SUCCESS
}

struct Guarded {
    child: Child,
    /// The program, and the group of what it starts.
    group: u32,
    input: Option<Sender<String>>,
    lines: Receiver<(char, String)>,
    net: NetFile,
    /// What is done when, unless the program ends before.
    next: Option<(Instant, Blow)>,
}

impl Guarded {
    fn start(net: &str, command: &[OsString]) -> io::Result<Self> {
        let net = NetFile::create(net)?;
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::other("no program"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(net::VARIABLE, net.setting())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Of its own, so that a terminal's Ctrl-C reaches it through the launcher alone.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let group = child.id().unwrap_or_default();
        say('p', &group.to_string());
        let (teller, lines) = mpsc::channel(LINES);
        if let Some(output) = child.stdout.take() {
            tokio::spawn(pass_on(output, 'o', teller.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(pass_on(output, 'e', teller));
        }
        let (input, told) = mpsc::channel(LINES);
        if let Some(standard_input) = child.stdin.take() {
            tokio::spawn(pass_in(told, standard_input));
        }
        Ok(Self {
            child,
            group,
            input: Some(input),
            lines,
            net,
            next: None,
        })
    }

    async fn watch(mut self) {
        let mut orders = orders();
        let mut is_alone = false;
        let status = loop {
            let (due, _) = self.next.unwrap_or_else(|| (Instant::now(), Blow::Kill));
            tokio::select! {
                biased;
                order = orders.recv(), if !is_alone => match order {
                    Some(order) => self.follow(&order),
                    None => {
                        is_alone = true;
                        if self.next.is_none() {
                            self.follow("end");
                        }
                    }
                },
                () = sleep_until(due), if self.next.is_some() => self.escalate(),
                status = self.child.wait() => break status,
                Some((kind, line)) = self.lines.recv() => say(kind, &line),
            }
        };
        // Whatever it has left behind: nobody else would end that.
        let _ = group::strike(self.group, Blow::Kill);
        let deadline = Instant::now() + LAST_WORDS;
        while let Ok(Some((kind, line))) = timeout_at(deadline, self.lines.recv()).await {
            say(kind, &line);
        }
        say('x', &ending(status));
    }

    fn follow(&mut self, order: &str) {
        let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
        let done = match word {
            "tell" => self.tell(rest),
            "net" => self.net.set(rest),
            "freeze" => group::strike(self.group, Blow::Freeze),
            "thaw" => group::strike(self.group, Blow::Thaw),
            "finish" => {
                self.input = None;
                self.next = Some((Instant::now() + GRACE, Blow::Interrupt));
                Ok(())
            }
            "end" => {
                self.input = None;
                self.next = Some((Instant::now(), Blow::Interrupt));
                Ok(())
            }
            "kill" => {
                self.next = Some((Instant::now(), Blow::Kill));
                Ok(())
            }
            _ => Err(io::Error::other("the guard does not know this order")),
        };
        if let Err(error) = done {
            say('n', &format!("{word}: {error}"));
        }
    }

    fn escalate(&mut self) {
        let Some((_, blow)) = self.next.take() else {
            return;
        };
        if blow == Blow::Interrupt {
            self.next = Some((Instant::now() + GRACE, Blow::Kill));
        }
        if group::strike(self.group, blow).is_err() {
            // No groups here, or nobody left in it.
            let _ = self.child.start_kill();
        }
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        let input = self.input.as_ref();
        let told = input.map(|input| input.try_send(line.into()));
        match told {
            Some(Ok(())) => Ok(()),
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                Err(io::Error::other("the program does not read its input"))
            }
            _ => Err(io::Error::other("the program's input is closed")),
        }
    }
}

/// Writes one line for the launcher; one that is gone hears nothing, and is noticed elsewhere.
fn say(kind: char, line: &str) {
    let _ = writeln!(io::stdout(), "{kind} {line}");
}

fn ending(status: io::Result<ExitStatus>) -> String {
    let Ok(status) = status else {
        return "code -1".into();
    };
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    format!("code {}", status.code().unwrap_or(-1))
}

/// Passes on what a program prints, in lines; an endless one in pieces.
async fn pass_on(output: impl AsyncRead + Unpin, kind: char, to: Sender<(char, String)>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut line = (&mut output).take(LONGEST_LINE);
        match line.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        // A progress bar begins its line anew: the last state is the one to show.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or_default();
        if to.send((kind, text.into())).await.is_err() {
            return;
        }
    }
}

async fn pass_in(mut lines: Receiver<String>, mut input: ChildStdin) {
    while let Some(line) = lines.recv().await {
        if input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Reads orders on a thread of its own, which a program that prints much cannot hold up.
fn orders() -> Receiver<String> {
    let (sender, orders) = mpsc::channel(LINES);
    thread::spawn(move || {
        for order in io::stdin().lock().lines() {
            let Ok(order) = order else { break };
            if sender.blocking_send(order).is_err() {
                break;
            }
        }
    });
    orders
}

/// The file that says what the program plays over; gone with the guard.
struct NetFile(PathBuf);

impl NetFile {
    fn create(net: &str) -> io::Result<Self> {
        let name = format!("farfire-net-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left behind by a process of this number that had no time to clean up.
        let _ = fs::remove_file(&path);
        let mut file = fs::File::create_new(&path)?;
        let created = Self(path);
        file.write_all(net.as_bytes())?;
        Ok(created)
    }

    fn setting(&self) -> OsString {
        let mut setting = OsString::from("@");
        setting.push(&self.0);
        setting
    }

    fn set(&self, net: &str) -> io::Result<()> {
        let net: Net = net.parse().map_err(io::Error::other)?;
        fs::write(&self.0, net.to_string())
    }
}

impl Drop for NetFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// How long a program has between being asked to end and being made to.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How long the outputs of a program are read that has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How many lines wait, in either direction.
const LINES: usize = 64;
/// In bytes.
const LONGEST_LINE: u64 = 16 * 1024;
