//! Processes of their own: examples, and tests of this binary in a role.
//!
//! What they print is read line by line. Knows nothing about farfire but the words that the examples
//! say on standard error.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// A running process; killed when this is dropped before its end.
pub(crate) struct Process {
    child: Child,
    output: Receiver<String>,
    errors: Receiver<String>,
}

impl Process {
    /// Starts an example; `cargo test` builds them beside the tests.
    pub(crate) fn example(name: &str, arguments: &[&str]) -> Self {
        let mut program = env::current_exe().expect("the path of this test");
        // From `deps/<test>-<hash>`.
        program.pop();
        program.pop();
        let program: PathBuf = [program, "examples".into()].iter().collect();
        let program = program.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        assert!(
            program.exists(),
            "{} is missing: `cargo build --examples` makes it",
            program.display()
        );
        Self::start(Command::new(program).args(arguments))
    }

    /// Starts one test of this binary, which is ignored but for this; it finds `role` in `ROLE`.
    pub(crate) fn role(test: &str, role: &str) -> Self {
        let program = env::current_exe().expect("the path of this test");
        Self::start(
            Command::new(program)
                .args([test, "--exact", "--ignored", "--nocapture"])
                .env("ROLE", role),
        )
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        Self {
            output: lines(child.stdout.take()),
            errors: lines(child.stderr.take()),
            child,
        }
    }

    /// The next line of its output.
    pub(crate) fn line(&self) -> String {
        let line = self.output.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("no line; its errors: {:#?}", self.all_errors()))
    }

    /// Waits until it says something on standard error that begins like this, and gives the rest.
    pub(crate) fn said(&self, beginning: &str) -> String {
        loop {
            let line = self.errors.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it never said {beginning:?}"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    pub(crate) fn press_enter(&mut self) {
        let input = self.child.stdin.as_mut().expect("its input is open");
        input.write_all(b"\n").expect("it reads its input");
    }

    /// Ends it at once, without any farewell.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("to be allowed to");
    }

    /// Closes its input, waits for its end, and gives the lines that were not read yet.
    pub(crate) fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let mut lines = Vec::new();
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it does not end; it printed {lines:#?}")
                }
            }
        }
        let status = self.child.wait().expect("its status");
        assert!(
            status.success(),
            "{status}; it printed {lines:#?} and said {:#?}",
            self.all_errors()
        );
        lines
    }

    fn all_errors(&self) -> Vec<String> {
        self.errors.try_iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already unless the test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    let pipe = BufReader::new(pipe.expect("a pipe"));
    thread::spawn(move || {
        for line in pipe.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Longer than anything here takes between two lines, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
