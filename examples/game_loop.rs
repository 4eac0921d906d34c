//! A game loop: 60 ticks a second on the game's own thread, no handlers and nothing asynchronous.
//!
//! What a Roblox server does between two Heartbeats is spelled out here: take what has arrived, step
//! the world, send everything at once. Poses travel unreliably and only the latest counts.
//!
//! ```lua
//! -- Script in ServerScriptService
//! local world = {}
//! pose.OnServerEvent:Connect(function(player, position)
//!     world[player.Name] = position
//! end)
//! RunService.Heartbeat:Connect(function()
//!     snapshot:FireAllClients(world)
//! end)
//! ```
//!
//! prints:
//!
//! ```text
//! [Ada] Bo is here
//! [Ada] the game is over after 60 ticks
//! [Bo] Ada is here
//! [Bo] the game is over after 60 ticks
//! [server] 60 ticks, 2 players
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, Instant},
};

use farfire::{
    BlockError, ClientBuilder, Flush, RemoteEvent, ServerBuilder, UnreliableRemoteEvent,
    block_on_for, values::Vector3,
};

const POSE: UnreliableRemoteEvent<Vector3> = UnreliableRemoteEvent::new("Pose").latest_wins();
/// Everybody's place, by name.
const SNAPSHOT: UnreliableRemoteEvent<BTreeMap<String, Vector3>> =
    UnreliableRemoteEvent::new("Snapshot").latest_wins();
const OVER: RemoteEvent<u32> = RemoteEvent::new("Over");

const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);
const TICKS: u32 = 60;

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server
        .remotes(&[&POSE, &SNAPSHOT, &OVER])
        .flush(Flush::Tick)
        .start()?;
    let mut poses = server.server_events(&POSE);
    common::listening(&server);
    common::everyone_has_joined();

    let mut world = BTreeMap::new();
    let mut next = Instant::now();
    for _ in 0..TICKS {
        for (player, position) in poses.drain() {
            world.insert(player.name().to_owned(), position);
        }
        server.fire_all_clients(&SNAPSHOT, &world)?;
        server.flush();
        next += TICK;
        sleep(next.saturating_duration_since(Instant::now()));
    }
    server.fire_all_clients(&OVER, &TICKS)?;
    println!("{TICKS} ticks, {} players", world.len());
    // Sends what waits, and says goodbye.
    server.shutdown_blocking();
    Ok(())
}

fn client(client: ClientBuilder) -> common::Outcome {
    let client = client
        .remotes(&[&POSE, &SNAPSHOT, &OVER])
        .flush(Flush::Tick)
        .connect_blocking()?;
    let mut snapshots = client.client_events(&SNAPSHOT);
    let mut over = client.client_events(&OVER);
    common::joined(&client);

    let mut met = BTreeSet::from([client.local_player().name.clone()]);
    let mut position = Vector3::ZERO;
    let ticks = loop {
        let news = snapshots.drain().flat_map(BTreeMap::into_keys);
        for name in news {
            if met.insert(name.clone()) {
                println!("{name} is here");
            }
        }
        position += Vector3::X_AXIS * 0.1;
        // Once the server has gone there is nobody to tell, but still something to read.
        let _ = client.fire_server(&POSE, &position);
        client.flush();
        // A tick's sleep, which the end cuts short.
        match block_on_for(TICK, over.recv()) {
            Ok(Some(ticks)) => break ticks,
            Ok(None) => return Err("the server has gone".into()),
            Err(BlockError::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    };
    println!("the game is over after {ticks} ticks");
    client.leave_blocking();
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada", "Bo"], server, client)
}
