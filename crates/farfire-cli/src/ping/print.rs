//! What a ping says: lines and a table for people, or JSON.

use std::io::{self, Write};

use farfire::{Client, LinkStats, PROTOCOL_VERSION};
use serde_json::{Value, json};

use super::{
    Options, Via,
    tally::{Answer, Summary, Tally},
};
use crate::{
    bench::units,
    paint::{BOLD, DIM, Paint, printable},
    reach::Reach,
};

pub(super) struct Printer<'a> {
    options: &'a Options,
    paint: Paint,
    reached: Value,
}

impl<'a> Printer<'a> {
    /// Says what was reached.
    pub(super) fn new(options: &'a Options, client: &Client, reach: &Reach) -> Self {
        let times = client.join_times();
        let stats = client.stats();
        let millis = |time: std::time::Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let name = client.setting("name").or_else(|| reach.name());
        let reached = json!({
            "record": "reached",
            "schema": SCHEMA,
            "name": name,
            "address": client.server_addr().to_string(),
            "code": client.server_pin().map(|pin| pin.code().to_string()),
            "protocol": format!("farfire/{PROTOCOL_VERSION}"),
            "resolve_ms": millis(times.resolve),
            "handshake_ms": millis(times.handshake),
            "welcome_ms": millis(times.welcome),
            "mtu": stats.mtu,
            "zero_rtt": false,
        });
        let printer = Self {
            options,
            paint: Paint::stdout(),
            reached,
        };
        if options.json_lines {
            printer.line(&printer.reached.to_string());
        } else if !options.json {
            printer.head(name, client, &stats);
        }
        printer
    }

    fn head(&self, name: Option<&str>, client: &Client, stats: &LinkStats) {
        let times = client.join_times();
        let name = name.map_or_else(String::new, |name| format!("{} at ", printable(name)));
        let code = match client.server_pin() {
            Some(pin) => format!(", code {}", pin.code()),
            None => String::new(),
        };
        let address = client.server_addr();
        let first = format!("{name}{address}{code}, farfire/{PROTOCOL_VERSION}");
        let [all, resolve, handshake, welcome] = [
            times.resolve + times.handshake + times.welcome,
            times.resolve,
            times.handshake,
            times.welcome,
        ]
        .map(units::time);
        let second = format!(
            "joined in {all}: address {resolve}, QUIC and TLS {handshake}, answer {welcome}; \
             path MTU {} so far; 0-RTT not used",
            stats.mtu
        );
        self.line(&self.paint.paint(BOLD, &first));
        self.line(&second);
    }

    /// The line of a probe that was answered.
    pub(super) fn probe(&self, number: u32, answer: Answer, client: &Client) {
        let network = client.stats().network_ping.as_secs_f64() * 1e6;
        let via = self.options.via.name();
        let number = number + 1;
        if self.options.json_lines {
            let (micros, duplicate) = match answer {
                Answer::After(nanos) => (Some(nanos as f64 / 1e3), false),
                Answer::Duplicate => (None, true),
            };
            let record = json!({
                "record": "probe", "number": number, "via": via, "us": micros,
                "duplicate": duplicate, "network_us": network,
            });
            self.line(&record.to_string());
        } else if !self.options.json {
            let network = millis(Some(network));
            self.line(&match answer {
                Answer::After(nanos) => {
                    let took = millis(Some(nanos as f64 / 1e3));
                    format!("probe {number}: {took} {via}, {network} network")
                }
                Answer::Duplicate => format!("probe {number}: answered twice"),
            });
        }
    }

    /// The line of one that was not.
    pub(super) fn missing(&self, number: u32) {
        let number = number + 1;
        let via = self.options.via.name();
        if self.options.json_lines {
            let record = json!({ "record": "missing", "number": number, "via": via });
            self.line(&record.to_string());
        } else if !self.options.json {
            let line = format!("probe {number}: no answer so far");
            self.line(&self.paint.paint(DIM, &line));
        }
    }

    /// What it comes to.
    pub(super) fn summary(&self, tallies: &[Tally; 3], client: &Client) {
        let summaries = Via::ALL.map(|via| (via, tallies[via as usize].summary()));
        let stats = client.stats();
        let network = stats.network_ping.as_secs_f64() * 1e6;
        if self.options.json || self.options.json_lines {
            let mut record = json!({
                "record": "summary", "schema": SCHEMA, "via": self.options.via.name(),
                "size": self.options.size, "network_us": network, "mtu": stats.mtu,
            });
            for (via, summary) in summaries.iter().filter(|(_, summary)| summary.sent > 0) {
                record[via.name()] = json!(summary);
            }
            if self.options.json {
                record["reached"] = self.reached.clone();
            }
            return self.line(&record.to_string());
        }
        self.line("");
        for (via, summary) in summaries {
            if summary.sent > 0 {
                self.row(via, &summary);
            }
        }
        let network = millis(Some(network));
        let mtu = stats.mtu;
        self.line(&format!(
            "network     {network} round trip of the path, path MTU {mtu}"
        ));
    }

    fn row(&self, via: Via, summary: &Summary) {
        let Summary {
            sent,
            received,
            lost,
            duplicated,
            reordered,
            ..
        } = summary;
        let counts = format!(
            "{:<11} {sent} sent, {received} received, {lost} lost, {duplicated} duplicated, {reordered} reordered",
            via.name()
        );
        let figures = ["min", "p50", "p90", "p99", "max", "jitter"].map(|name| {
            let figure = millis(summary.named(name));
            format!("{name} {figure}")
        });
        self.line(&self.paint.paint(BOLD, &counts));
        self.line(&format!("            {}", figures.join(", ")));
    }

    fn line(&self, text: &str) {
        let mut out = io::stdout();
        // Whoever reads it may have seen enough.
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }
}

fn millis(micros: Option<f64>) -> String {
    micros.map_or_else(|| "n/a".into(), |micros| format!("{:.3} ms", micros / 1e3))
}

/// The format of the records; another number where an old reader would misunderstand.
const SCHEMA: &str = "farfire.ping/1";
