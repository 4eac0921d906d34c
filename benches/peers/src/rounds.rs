//! Rounds: every peer in turn, each in two fresh processes, again and again; then the tables.

use std::{
    env,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    time::Duration,
};

use crate::{
    peers::{self, Peer},
    work::{Figures, Load},
};

/// What is asked for on the command line.
struct Plan {
    rounds: usize,
    /// A hundredth of the usual work: whether it runs, not how fast.
    smoke: bool,
    peers: Vec<&'static Peer>,
    loads: Vec<Load>,
}

pub fn run(arguments: &[&str]) -> ExitCode {
    let plan = match Plan::read(arguments) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    println!(
        "<!-- {} -->",
        env::args().collect::<Vec<_>>()[1..].join(" ")
    );
    for &load in &plan.loads {
        let able: Vec<_> = plan.peers.iter().filter(|peer| (peer.can)(load)).collect();
        let mut results: Vec<Vec<Figures>> = able.iter().map(|_| Vec::new()).collect();
        let mut failures = vec![0; able.len()];
        for round in 0..plan.rounds {
            for (at, peer) in able.iter().enumerate() {
                progress(&format!(
                    "{}: {}, round {}",
                    load.name(),
                    peer.name,
                    round + 1
                ));
                match once(peer, load, plan.count(load)) {
                    Ok(figures) => results[at].push(figures),
                    Err(error) => {
                        eprintln!("{} {}: {error}", peer.name, load.name());
                        failures[at] += 1;
                    }
                }
            }
        }
        progress("");
        table(load, &able, &results, &failures, plan.rounds);
    }
    ExitCode::SUCCESS
}

impl Plan {
    fn read(arguments: &[&str]) -> Result<Self, String> {
        let mut plan = Self {
            rounds: 5,
            smoke: false,
            peers: peers::ALL.iter().collect(),
            loads: Load::ALL.to_vec(),
        };
        let mut arguments = arguments.iter();
        while let Some(&argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument {
                "--smoke" => (plan.smoke, plan.rounds) = (true, 1),
                "--rounds" => {
                    plan.rounds = value()?.parse().map_err(|_| "--rounds needs a number")?;
                }
                "--peers" => {
                    let names: Vec<_> = value()?.split(',').collect();
                    plan.peers = peers::ALL
                        .iter()
                        .filter(|peer| names.contains(&peer.name))
                        .collect();
                    if plan.peers.len() != names.len() {
                        let all: Vec<_> = peers::ALL.iter().map(|peer| peer.name).collect();
                        return Err(format!("the peers are {}", all.join(",")));
                    }
                }
                "--loads" => {
                    let loads = value()?.split(',').map(Load::named);
                    plan.loads = loads.collect::<Option<_>>().ok_or_else(|| {
                        let all: Vec<_> = Load::ALL.iter().map(|load| load.name()).collect();
                        format!("the loads are {}", all.join(","))
                    })?;
                }
                other => return Err(format!("{other:?} is not understood")),
            }
        }
        Ok(plan)
    }

    fn count(&self, load: Load) -> u64 {
        let usual = match load {
            Load::RoundTrip(_) | Load::Calls { in_flight: 1 } => 10_000,
            Load::Calls { .. } => 100_000,
            Load::Flood(_) => 500_000,
        };
        if self.smoke { usual / 100 } else { usual }
    }
}

/// One load of one peer: a server and a client, both gone afterwards.
fn once(peer: &Peer, load: Load, count: u64) -> Result<Figures, String> {
    let mut server = Process::start(&["serve", peer.name])?;
    let place = server.line()?;
    let count = count.to_string();
    let mut client = Process::start(&["drive", peer.name, &place, load.name(), &count])?;
    let line = client.line()?;
    serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))
}

/// A child that ends when this is dropped.
struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn start(arguments: &[&str]) -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let output = child.stdout.take().expect("piped above");
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Libraries may log here.
                let _ = send.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    fn line(&mut self) -> Result<String, String> {
        self.lines
            .recv_timeout(PATIENCE)
            .map_err(|_| "gave no figures: it ended, lost the connection, or hangs".to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn table(
    load: Load,
    peers: &[&&'static Peer],
    results: &[Vec<Figures>],
    failures: &[usize],
    rounds: usize,
) {
    println!("\n### {}\n", load.title());
    match load.is_time() {
        true => println!("| | p50 | spread | p99 | p50 to quinn's | |\n|---|---|---|---|---|---|"),
        false => {
            println!("| | a second | spread | arrived | to quinn's | |\n|---|---|---|---|---|---|")
        }
    }
    let figure = |figures: &Figures| match load.is_time() {
        true => figures.p50,
        false => figures.rate / 1e3,
    };
    let median_of = |runs: &[Figures], pick: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let bare = peers
        .iter()
        .position(|peer| peer.name == "quinn")
        .map(|at| median_of(&results[at], &figure));
    for ((peer, runs), failed) in peers.iter().zip(results).zip(failures) {
        if runs.is_empty() {
            println!(
                "| {} | failed {failed} of {rounds} | | | | {} |",
                peer.name, peer.note
            );
            continue;
        }
        let middle = median_of(runs, &figure);
        let least = runs.iter().map(figure).fold(f64::INFINITY, f64::min);
        let most = runs.iter().map(figure).fold(0.0, f64::max);
        let third = match load.is_time() {
            true => format!("{:.1}", median_of(runs, &|figures| figures.p99)),
            false => format!("{:.3}", median_of(runs, &|figures| figures.delivered)),
        };
        let ratio = bare.map_or(String::new(), |bare| format!("{:.2}x", middle / bare));
        let failed = match failed {
            0 => String::new(),
            _ => format!("; failed {failed} of {rounds}"),
        };
        println!(
            "| {} | {middle:.1} | {least:.1} to {most:.1} | {third} | {ratio} | {}{failed} |",
            peer.name, peer.note
        );
    }
}

/// One line that is written over, on a terminal only.
fn progress(text: &str) {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[2K{text}");
    }
}

/// For one load of one peer, connecting included.
const PATIENCE: Duration = Duration::from_secs(60);

const HELP: &str = "\
usage: peers [--rounds N] [--smoke] [--peers A,B] [--loads A,B]";
