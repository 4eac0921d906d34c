//! `farfire cert`: the identity of a host, as its players know it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use farfire::tls::{Identity, NextIdentity};

use crate::{
    date::date,
    exit::{self, Complaint},
    folder,
    json::Record,
    trouble,
};

/// What is done with it.
#[derive(clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Command {
    /// Show the code and the pin that players know this server by
    #[command(after_help = AFTER_HELP)]
    Show(Options),
    /// Prepare another identity, which players who join meanwhile hear of
    #[command(after_help = AFTER_HELP)]
    Rotate {
        #[command(flatten)]
        options: Options,
        /// Use the prepared identity from now on; whoever has not heard of it has to be told the new link
        #[arg(long)]
        now: bool,
    },
}

/// Which identity.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder of the identity; without it `certs` if that is here, else one of your own
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print a JSON record, for programs
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Complaint> {
    match command {
        Command::Show(options) => {
            let dir = existing(options.dir)?;
            show(&dir, options.json)
        }
        Command::Rotate { options, now } => {
            let dir = existing(options.dir)?;
            let prepared =
                Identity::prepare_next(&dir).map_err(|error| trouble::identity(&error))?;
            if now {
                Identity::rotate(&dir).map_err(|error| trouble::identity(&error))?;
                return show(&dir, options.json);
            }
            tell_next(&prepared, &dir, options.json);
            Ok(())
        }
    }
}

/// The folder, if there is an identity in it: looking must not make one.
fn existing(asked: Option<PathBuf>) -> Result<PathBuf, Complaint> {
    let dir = folder::identity(asked)?;
    match dir.join("server.key").exists() {
        true => Ok(dir),
        false => Err(Complaint::new(
            format!("there is no identity in {}", dir.display()),
            "`farfire host` makes one when it runs for the first time; --dir chooses another folder",
        )),
    }
}

fn show(dir: &Path, json: bool) -> Result<(), Complaint> {
    let identity = Identity::load_or_create(dir).map_err(|error| trouble::identity(&error))?;
    let (pin, next) = (identity.pin(), identity.next());
    if json {
        let record = Record::new("identity")
            .text("folder", &dir.display().to_string())
            .text("code", &pin.code().to_string())
            .text("pin", &pin.to_string());
        let record = match next {
            Some(next) => record
                .text("next_code", &next.pin.code().to_string())
                .text("next_pin", &next.pin.to_string())
                .text("next_from", &date(next.from)),
            None => record,
        };
        print(&record.finish());
        return Ok(());
    }
    let mut lines = vec![
        format!("folder  {}", dir.display()),
        format!("code    {}", pin.code()),
        format!("pin     {pin}"),
    ];
    lines.extend(next.map(|next| {
        format!(
            "next    {} from {}; players who play before learn of it",
            next.pin.code(),
            date(next.from)
        )
    }));
    print(&lines.join("\n"));
    Ok(())
}

fn tell_next(next: &NextIdentity, dir: &Path, json: bool) {
    let (code, from) = (next.pin.code().to_string(), date(next.from));
    if json {
        let record = Record::new("next").text("folder", &dir.display().to_string());
        let record = record
            .text("code", &code)
            .text("pin", &next.pin.to_string());
        return print(&record.text("from", &from).finish());
    }
    print(&format!(
        "The identity {code} is prepared, and takes over on {from}.\n\
         Players who play until then learn of it, and notice nothing when it comes.\n\
         `farfire cert rotate --now` uses it at once, as after somebody has seen the key."
    ));
}

fn print(text: &str) {
    // A pipe whose other end is closed wants no more.
    let _ = writeln!(io::stdout(), "{text}");
}

const AFTER_HELP: &str = exit::help!(
    "\
A server is its key. Players who have joined it know it by the pin of that key; the code is the pin's beginning, short
enough to compare. Losing the key makes another server of it, which they have to accept anew.

Examples:
  farfire cert show             what to read out to somebody who asks whether it is you
  farfire cert rotate           another key in 30 days, which players learn of meanwhile
  farfire cert rotate --now     at once: send the new link to everybody"
);
