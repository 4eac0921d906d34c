//! How a command ends: the exit codes, and an error that says what to do about it.
//!
//! Knows nothing of any command.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

/// It ran, and something came out differently, or could not be done.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The server is not the one that was meant, or nobody vouches for it.
pub(crate) const UNTRUSTED: u8 = 4;
/// What was measured missed a threshold of the command line. For `bench` and `compare`.
#[allow(dead_code, reason = "measuring commands use it")]
pub(crate) const MISSED: u8 = 5;

/// What `--help` says at its end: the examples, then the exit codes.
macro_rules! help {
    ($examples:literal) => {
        concat!(
            $examples,
            "\n
Exit codes:
  0              it did what was asked
  1              something differed, failed, or could not be run
  2              the command line is wrong
  4              the server's identity is not trusted
  5              a threshold was missed
  129, 130, 143  ended with its terminal, by Ctrl-C, by SIGTERM"
        )
    };
}
pub(crate) use help;

/// Why a command failed, and what its user can do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) error: String,
    pub(crate) help: String,
    pub(crate) code: u8,
}

impl Complaint {
    /// One that ends with [`FAILED`].
    pub(crate) fn new(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            help: help.into(),
            code: FAILED,
        }
    }

    /// The same with another exit code.
    pub(crate) fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhelp: {}", self.error, self.help)
    }
}

/// Turns what became of a command into its exit code, and says what went wrong.
pub(crate) fn conclude(result: Result<(), Complaint>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            complain(&complaint.error, &complaint.help);
            ExitCode::from(complaint.code)
        }
    }
}

/// Says what is wrong and what to do about it, where errors belong.
pub(crate) fn complain(error: &str, help: &str) {
    let _ = writeln!(io::stderr(), "error: {error}\nhelp: {help}");
}
