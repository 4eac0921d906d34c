//! The peers: for each the way its own documentation shows, on one thread a side where it has the
//! choice.

pub mod enet;
pub mod farfire;
pub mod irpc;
pub mod quinn;
pub mod quinnet;
pub mod renet;
pub mod tarpc;
pub mod tcp;
pub mod tonic;
pub mod udp;

use crate::work::{Figures, Load};

/// Something that one could build a game's networking on.
pub struct Peer {
    pub name: &'static str,
    /// What a reader must know to compare it.
    pub note: &'static str,
    pub can: fn(Load) -> bool,
    /// Prints where it is with `ready`, and serves until the process is ended.
    pub serve: fn(),
    /// Connects to where a server said it is.
    pub drive: fn(&str, Load, u64) -> Figures,
}

pub const ALL: &[Peer] = &[
    quinn::PEER,
    farfire::PEER,
    udp::PEER,
    tcp::PEER,
    tarpc::PEER,
    tonic::PEER,
    irpc::PEER,
    renet::PEER,
    enet::PEER,
    quinnet::PEER,
];

/// Tells the parent where this server is.
pub fn ready(place: impl std::fmt::Display) {
    println!("{place}");
}

/// The runtime of every peer that has none of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(31)
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn events(load: Load) -> bool {
    !matches!(load, Load::Calls { .. })
}

fn calls(load: Load) -> bool {
    matches!(load, Load::Calls { .. })
}

fn in_flight(load: Load) -> usize {
    match load {
        Load::Calls { in_flight } => in_flight,
        _ => unreachable!("events are driven as events"),
    }
}
