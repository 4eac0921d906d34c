//! `farfire doctor`: what on this machine may keep people from playing, and what to do about it.
//!
//! Looks, and changes nothing; needs no rights that its user does not have, and sends nothing that leaves the
//! machine.

mod finding;
mod game;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "reads files that only Linux has")
)]
mod linux;
mod network;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use farfire::lan;

use self::finding::{Finding, Verdict};
use crate::{
    exit::{self, Complaint},
    folder,
    json::Record,
    paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW},
};

/// What is looked at.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The UDP port that a server would use
    #[arg(long, default_value_t = lan::DEFAULT_PORT, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The folder of the server's identity
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print a JSON record per line, for programs
    #[arg(long)]
    json: bool,
}

/// Looks at everything, and fails if something is a problem.
pub(crate) async fn run(options: Options) -> Result<(), Complaint> {
    let port = options.port;
    let mut findings = vec![game::check().await, network::port(port)];
    findings.extend(network::interfaces());
    findings.push(network::multicast());
    findings.extend(system(port));
    findings.push(game::identity(options.dir.as_deref()));
    findings.push(game::known_servers(&folder::known_servers()?));
    let text = match options.json {
        true => records(&findings),
        false => screen(&findings, Paint::stdout()),
    };
    // A pipe whose other end is closed wants no more.
    let _ = writeln!(io::stdout(), "{text}");
    let problems = findings.iter().filter(|of| of.verdict == Verdict::Problem);
    match problems.count() {
        0 => Ok(()),
        1 => Err(unwell("1 problem")),
        more => Err(unwell(&format!("{more} problems"))),
    }
}

fn unwell(problems: &str) -> Complaint {
    let error = format!("{problems} may keep people from playing");
    Complaint::new(
        error,
        "do what it says beside `try`, then run `farfire doctor` again",
    )
}

/// What only the system's own files tell.
#[cfg(target_os = "linux")]
fn system(port: u16) -> Vec<Finding> {
    let linux = linux::Linux::new("/");
    vec![linux.firewall(port), linux.buffers(), linux.clock()]
}

#[cfg(not(target_os = "linux"))]
fn system(_port: u16) -> Vec<Finding> {
    let what = ["firewall", "buffers", "clock"];
    let unknown = |what| Finding::new(what, Verdict::Unchecked, "not checked here: only on Linux");
    what.map(unknown).into()
}

fn screen(findings: &[Finding], paint: Paint) -> String {
    let width = findings.iter().map(|of| of.what.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for Finding {
        what,
        verdict,
        found,
        remedy,
    } in findings
    {
        let style = match verdict {
            Verdict::Fine => GREEN,
            Verdict::Note => YELLOW,
            Verdict::Problem => RED,
            Verdict::Unchecked => DIM,
        };
        let word = paint.paint(style, &format!("{:9}", verdict.word()));
        let what = paint.paint(BOLD, &format!("{what:width$}"));
        lines.push(format!("{what}  {word}  {found}"));
        if let Some(remedy) = remedy {
            let try_this = paint.paint(DIM, "try");
            lines.push(format!("{:width$}  {:9}  {try_this}: {remedy}", "", ""));
        }
    }
    lines.join("\n")
}

fn records(findings: &[Finding]) -> String {
    let records = findings.iter().map(|of| {
        let record = Record::new("finding")
            .text("what", of.what)
            .text("verdict", of.verdict.word())
            .text("found", &of.found);
        match &of.remedy {
            Some(remedy) => record.text("try", remedy).finish(),
            None => record.finish(),
        }
    });
    records.collect::<Vec<_>>().join("\n")
}

const AFTER_HELP: &str = exit::help!(
    "\
What it says of each thing:
  ok           nothing is in the way
  note         it may be in the way, or could be better
  PROBLEM      it is in the way
  unchecked    this system does not tell

Examples:
  farfire doctor               before friends come over
  farfire doctor --port 5000   if the host will use another port
  farfire doctor --json | jq 'select(.verdict == \"PROBLEM\")'"
);
