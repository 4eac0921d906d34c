//! Playing over a network that is none of this machine's: two network namespaces, joined by a bridge in a third.
//!
//! Everything runs in namespaces that this program makes for itself, so nothing of it reaches another
//! network, and nothing is left of it. Where they cannot be made, the tests are skipped and counted as ignored.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
#[path = "../lan/processes.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod processes;
#[cfg(target_os = "linux")]
mod promises;

fn main() -> std::process::ExitCode {
    runner::main()
}

/// What the usual harness does, and skipping.
#[cfg(target_os = "linux")]
mod runner {
    use std::{
        env,
        io::{self, Write},
        panic,
        process::{Command, ExitCode},
    };

    use super::{network, promises::PROMISES};

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<_> = env::args().skip(1).collect();
        let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
        let chosen = PROMISES
            .iter()
            .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())));
        let chosen: Vec<_> = chosen.collect();
        if arguments.iter().any(|argument| argument == "--list") {
            chosen
                .iter()
                .for_each(|(name, _)| say(&format!("{name}: test")));
            return ExitCode::SUCCESS;
        }
        if arguments.iter().any(|argument| argument == "--ignored") {
            return conclude(0, 0, 0);
        }
        if env::var_os(INSIDE).is_none() {
            return match network::outer(INSIDE) {
                Ok(mut inside) => run(inside.args(&arguments)),
                Err(why) => {
                    for (name, _) in &chosen {
                        say(&format!("test {name} ... ignored, SKIPPED: {why}"));
                    }
                    conclude(0, 0, chosen.len())
                }
            };
        }
        let (mut passed, mut failed) = (0, 0);
        for (name, promise) in chosen {
            match panic::catch_unwind(promise) {
                Ok(()) => {
                    passed += 1;
                    say(&format!("test {name} ... ok"));
                }
                Err(_) => {
                    failed += 1;
                    say(&format!("test {name} ... FAILED"));
                }
            }
        }
        conclude(passed, failed, 0)
    }

    fn run(inside: &mut Command) -> ExitCode {
        let status = inside.status().unwrap();
        match status.success() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn conclude(passed: usize, failed: usize, ignored: usize) -> ExitCode {
        let word = if failed == 0 { "ok" } else { "FAILED" };
        say(&format!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored"
        ));
        match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }

    fn say(line: &str) {
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Set where the namespaces are this program's own.
    const INSIDE: &str = "FARFIRE_TEST_INSIDE";
}

#[cfg(not(target_os = "linux"))]
mod runner {
    use std::{
        io::{self, Write},
        process::ExitCode,
    };

    pub(super) fn main() -> ExitCode {
        let line = "SKIPPED: only Linux has network namespaces\n\ntest result: ok. 0 passed; 0 failed; 7 ignored";
        let _ = writeln!(io::stdout(), "{line}");
        ExitCode::SUCCESS
    }
}
