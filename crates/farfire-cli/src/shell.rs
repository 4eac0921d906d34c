//! `farfire completions` and `farfire man`: what shells and `man` want to know of this program.

use std::io::{self, Write};

use clap::{Command, ValueEnum};

use crate::exit::Complaint;

/// Which shell.
#[derive(clap::Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct Options {
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Prints the completions for a shell.
pub(crate) fn completions(mut command: Command, options: &Options) -> Result<(), Complaint> {
    use clap_complete::{Shell as Known, generate};
    let shell = match options.shell {
        Shell::Bash => Known::Bash,
        Shell::Elvish => Known::Elvish,
        Shell::Fish => Known::Fish,
        Shell::Powershell => Known::PowerShell,
        Shell::Zsh => Known::Zsh,
    };
    let mut text = Vec::new();
    generate(shell, &mut command, "farfire", &mut text);
    print(&text)
}

/// Which page.
#[derive(clap::Args)]
#[command(after_help = MAN)]
pub(crate) struct ManOptions {
    /// The command that the page is about; without it the program
    command: Option<String>,
}

/// Prints a manual page.
pub(crate) fn man(command: Command, options: &ManOptions) -> Result<(), Complaint> {
    let command = match &options.command {
        None => command,
        Some(name) => {
            let found = command
                .get_subcommands()
                .find(|of| of.get_name() == name && !of.is_hide_set());
            let found = found.cloned().ok_or_else(|| {
                let error = format!("there is no command {name:?}");
                Complaint::new(error, "`farfire --help` lists the commands")
                    .code(crate::exit::USAGE)
            })?;
            let page = format!("farfire-{name}");
            found.display_name(page).bin_name(format!("farfire {name}"))
        }
    };
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut text);
    rendered.map_err(|error| {
        Complaint::new(error.to_string(), "it is a mistake of farfire: report it")
    })?;
    print(&text)
}

/// Nobody reads any more: that is no failure.
fn print(text: &[u8]) -> Result<(), Complaint> {
    let _ = io::stdout().write_all(text);
    Ok(())
}

const COMPLETIONS: &str = "\
Examples:
  farfire completions bash > ~/.local/share/bash-completion/completions/farfire
  farfire completions zsh > ~/.zfunc/_farfire
  farfire completions fish > ~/.config/fish/completions/farfire.fish";

const MAN: &str = "\
Examples:
  farfire man | man -l -
  farfire man host > ~/.local/share/man/man1/farfire-host.1";
