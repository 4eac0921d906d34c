//! `farfire ping`: how far away a server is, as an event and as a packet.
//!
//! This module has the command line and sends the probes; [`tally`] counts what becomes of them, [`print`]
//! says it, and [`threshold`] says what is too much.

mod print;
mod tally;
mod threshold;

use std::time::Duration;

use bytes::Bytes;
use farfire::{Client, WaitError, echo, tls::Pin};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use self::{print::Printer, tally::Tally, threshold::Threshold};
use crate::{
    bench::{clock, units},
    exit::{self, Complaint, MISSED},
    reach::Reach,
    signal::{self, INTERRUPTED, Signals},
};

/// Whom to ask, and how often.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The server: a farfire:// link, or HOST:PORT
    server: String,
    /// What to trust the server at HOST:PORT by; without it, it has to be one that was joined before
    #[arg(long)]
    pin: Option<Pin>,
    /// The name to join under
    #[arg(long, default_value = "ping", value_name = "NAME")]
    name: String,
    /// Between two probes, at least 10ms
    #[arg(short, long, default_value = "1s", value_name = "TIME", value_parser = units::duration)]
    interval: Duration,
    /// Stop after so many probes
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Stop after so long, whatever is still on its way
    #[arg(short = 'w', long, value_name = "TIME", value_parser = units::duration)]
    deadline: Option<Duration>,
    /// Bytes of a probe, 8 to 16384; 990 at most where it is unreliable
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(8..=16_384))]
    size: u16,
    /// What the lines and thresholds are about
    #[arg(long, default_value = "reliable", value_name = "KIND")]
    via: Via,
    /// Print one JSON object at the end
    #[arg(long, conflicts_with = "json_lines")]
    json: bool,
    /// Print a JSON object per line: what was reached, each probe, the summary
    #[arg(long)]
    json_lines: bool,
    /// Exit with 5 if this is so at the end, such as 'p99>20ms' or 'loss>1%'; may be given several times
    #[arg(long, value_name = "THRESHOLD")]
    fail_if: Vec<Threshold>,
}

/// What a probe travels as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Via {
    /// A RemoteEvent there and back: in order, through the queues
    Reliable,
    /// An UnreliableRemoteEvent there and back
    Unreliable,
    /// A call of a RemoteFunction
    Function,
}

impl Via {
    const ALL: [Self; 3] = [Self::Reliable, Self::Unreliable, Self::Function];

    fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
            Self::Function => "function",
        }
    }
}

/// An answer: of what kind, to which probe, and when.
type News = (Via, u32, u64);

pub(crate) async fn run(options: Options) -> Result<(), Complaint> {
    let mut signals = signal::listen()?;
    if options.interval < LEAST_INTERVAL {
        let error = "probes are at least 10ms apart: a server answers 200 a second";
        let help = "`farfire bench` is for load";
        return Err(Complaint::new(error, help).code(exit::USAGE));
    }
    let fits = options.size <= LARGEST_UNRELIABLE;
    if options.via == Via::Unreliable && !fits {
        let error = format!("an unreliable probe has at most {LARGEST_UNRELIABLE} bytes");
        return Err(Complaint::new(error, "choose a smaller `--size`").code(exit::USAGE));
    }
    let reach = Reach::read(&options.server, options.pin)?;
    let connected = async {
        let client = reach.client().name(&options.name).remotes(&echo::ALL);
        let client = client.connect().await;
        let client = client.map_err(|error| reach.complaint(&error))?;
        let ready = client.wait_for_remote_within(&echo::FUNCTION, PATIENCE);
        ready.await.map_err(no_echo)?;
        Ok(client)
    };
    let client = tokio::select! {
        client = connected => client?,
        signal = signals.next() => return Err(signal.complaint("the server was not reached")),
    };
    let printer = Printer::new(&options, &client, &reach);
    let mut pinging = Pinging::new(&options, &client);
    let ended = pinging.run(&printer, &mut signals).await;
    printer.summary(&pinging.tallies, &client);
    client.leave().await;
    ended?;
    pinging.judge()
}

struct Pinging<'a> {
    options: &'a Options,
    client: &'a Client,
    tallies: [Tally; 3],
    tell: UnboundedSender<News>,
    hear: UnboundedReceiver<News>,
    next: u32,
}

impl<'a> Pinging<'a> {
    fn new(options: &'a Options, client: &'a Client) -> Self {
        let (tell, hear) = unbounded_channel();
        let (reliable, unreliable) = (tell.clone(), tell.clone());
        client.on_client_event(&echo::RELIABLE, move |bytes| {
            note(&reliable, Via::Reliable, &bytes);
        });
        client.on_client_event(&echo::UNRELIABLE, move |bytes| {
            note(&unreliable, Via::Unreliable, &bytes);
        });
        Self {
            options,
            client,
            tallies: Via::ALL.map(|_| Tally::new()),
            tell,
            hear,
            next: 0,
        }
    }

    /// Until the count, the deadline, Ctrl-C or the end of the connection. An error if it ended by itself.
    async fn run(&mut self, printer: &Printer<'_>, signals: &mut Signals) -> Result<(), Complaint> {
        let began = Instant::now();
        let end = began + self.options.deadline.unwrap_or(LONG);
        let mut due = began;
        let mut checked = 0;
        loop {
            let is_last = self.options.count.is_some_and(|count| self.next >= count);
            // After the last probe what is on its way has a while to come in.
            let wake = match is_last {
                true if !self.is_waiting() => return Ok(()),
                true => (due - self.options.interval) + PATIENCE,
                false => due,
            };
            tokio::select! {
                biased;
                signal = signals.next() => {
                    // That is how a ping without a count ends.
                    return match signal.code == INTERRUPTED.code {
                        true => Ok(()),
                        false => Err(signal.complaint("the summary is of what came until then")),
                    };
                }
                reason = self.client.disconnected() => {
                    let error = format!("the connection ended: {reason}");
                    return Err(Complaint::new(error, "ask the server's host"));
                }
                Some(news) = self.hear.recv() => self.answered(news, printer),
                () = sleep_until(wake.min(end)) => {
                    if is_last || Instant::now() >= end {
                        self.complain_until(self.next, &mut checked, printer);
                        return Ok(());
                    }
                    let overdue = self.next.saturating_sub(self.patience());
                    self.complain_until(overdue, &mut checked, printer);
                    self.probe();
                    due += self.options.interval;
                    // After a suspended machine wakes up, not all at once.
                    due = due.max(Instant::now());
                }
            }
        }
    }

    /// How many probes later one without an answer is mentioned.
    fn patience(&self) -> u32 {
        let probes = PATIENCE.as_secs_f64() / self.options.interval.as_secs_f64();
        probes.ceil() as u32
    }

    fn probe(&mut self) {
        let number = self.next;
        self.next += 1;
        let mut bytes = vec![0; usize::from(self.options.size)];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let bytes = Bytes::from(bytes);
        let client = self.client;
        let mut sent = |via: Via| self.tallies[via as usize].sent(number, clock::now());
        if self.options.via == Via::Function {
            sent(Via::Function);
            let tell = self.tell.clone();
            let call = client.invoke_server(&echo::FUNCTION, &bytes);
            call.then(move |result| {
                if let Ok(bytes) = result {
                    note(&tell, Via::Function, &bytes);
                }
            });
        }
        // What is refused here has not been sent, and is not lost.
        if self.options.size <= LARGEST_UNRELIABLE {
            sent(Via::Unreliable);
            let _ = client.fire_server(&echo::UNRELIABLE, &bytes);
        }
        sent(Via::Reliable);
        let _ = client.fire_server(&echo::RELIABLE, &bytes);
    }

    fn answered(&mut self, (via, number, at): News, printer: &Printer<'_>) {
        let answer = self.tallies[via as usize].answered(number, at);
        if via == self.options.via {
            printer.probe(number, answer, self.client);
        }
    }

    /// Mentions the probes before `number` that have had no answer.
    fn complain_until(&self, number: u32, checked: &mut u32, printer: &Printer<'_>) {
        while *checked < number {
            if self.tallies[self.options.via as usize].waits_for(*checked) {
                printer.missing(*checked);
            }
            *checked += 1;
        }
    }

    fn is_waiting(&self) -> bool {
        self.tallies.iter().any(Tally::is_waiting)
    }

    fn judge(&self) -> Result<(), Complaint> {
        let summary = self.tallies[self.options.via as usize].summary();
        for threshold in &self.options.fail_if {
            let value = summary.named(threshold.figure());
            if threshold.fails(value) {
                let figure = threshold.figure();
                let found = match (value, figure) {
                    (None, _) => format!("there is no {figure}"),
                    (Some(percent), "loss") => format!("{figure} is {percent:.1} %"),
                    (Some(micros), _) => {
                        format!("{figure} is {:.3} ms", micros / 1e3)
                    }
                };
                let error = format!("{found}, which `--fail-if '{threshold}'` does not allow");
                let help = "`farfire bench --server` tells more about where it comes from";
                return Err(Complaint::new(error, help).code(MISSED));
            }
        }
        if summary.sent > 0 && summary.received == 0 {
            return Err(Complaint::new(
                "no probe was answered",
                "the server has let this client in: its echo may be at its limit",
            ));
        }
        Ok(())
    }
}

fn note(tell: &UnboundedSender<News>, via: Via, bytes: &[u8]) {
    let now = clock::now();
    if let Some(number) = bytes.first_chunk() {
        // Nobody hears it after the end.
        let _ = tell.send((via, u32::from_le_bytes(*number), now));
    }
}

fn no_echo(error: WaitError) -> Complaint {
    match error {
        WaitError::Timeout { .. } => Complaint::new(
            "the server has let this client in, and has no echo",
            "its program switches it off, by `echo(false)`, or is of an older version",
        ),
        error => Complaint::new(error.to_string(), "update farfire on the older side"),
    }
}

const LEAST_INTERVAL: Duration = Duration::from_millis(10);
/// How long an answer is waited for before it is called missing.
const PATIENCE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// With its length it has to fit into an unreliable event.
const LARGEST_UNRELIABLE: u16 = 990;

const AFTER_HELP: &str = exit::help!(
    "\
What is measured:
  network      QUIC's own round trip: the path, without anybody's queues or handlers
  reliable     an event there and back, as a game's events go: through both sides' queues, in order
  unreliable   the same as datagrams
  function     a call and its result, with `--via function`
  Jitter is the mean difference between one answer and the next.

Examples:
  farfire ping 'farfire://192.168.1.7:4433/duel#p=...'
  farfire ping 192.168.1.7:4433 --pin PIN -c 10
  farfire ping desk.local -i 50ms -w 10s --via unreliable
  farfire ping desk.local -c 100 -i 20ms --fail-if 'p99>20ms' --fail-if 'loss>1%' --json"
);
