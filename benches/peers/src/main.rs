//! The same loads for farfire and for what one would pick instead.
//!
//! `cargo run --release --ignore-rust-version` prints the tables. See README.md.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

mod peers;
mod polled;
mod rounds;
mod work;

use std::process::ExitCode;

use work::Load;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // The children of `rounds`.
        ["serve", peer] => {
            (find(peer).serve)();
            ExitCode::SUCCESS
        }
        ["drive", peer, place, load, count] => {
            let load = Load::named(load).expect("a load of `rounds`");
            let count = count.parse().expect("a number of `rounds`");
            let figures = (find(peer).drive)(place, load, count);
            println!(
                "{}",
                serde_json::to_string(&figures).expect("figures are numbers")
            );
            ExitCode::SUCCESS
        }
        _ => rounds::run(&arguments),
    }
}

fn find(name: &str) -> &'static peers::Peer {
    peers::ALL
        .iter()
        .find(|peer| peer.name == name)
        .expect("a peer of `rounds`")
}
