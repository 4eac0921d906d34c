//! Unreliable: an `UnreliableRemoteEvent`, at most once and never more than 1000 bytes.
//!
//! What a counter and a payload look like in Luau:
//!
//! ```lua
//! -- LocalScript in StarterPlayerScripts
//! for n = 1, 100 do
//!     counter:FireServer(n)
//!     task.wait(0.01)
//! end
//! blob:FireServer(buffer.create(1000))
//!
//! -- Script in ServerScriptService
//! counter.OnServerEvent:Connect(function(player, n) .. end)
//! ```
//!
//! prints, if the network lost nothing:
//!
//! ```text
//! [Ada] 1000 bytes: fired
//! [Ada] 1001 bytes: 1 too many
//! [server] a blob of 1000 bytes from Ada
//! [server] 100 of 100 numbers from Ada, 0 twice
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use farfire::{ClientBuilder, FireError, ServerBuilder, UnreliableRemoteEvent};

const COUNTER: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Counter");
const BLOB: UnreliableRemoteEvent<Bytes> = UnreliableRemoteEvent::new("Blob");
const NUMBERS: u32 = 100;

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&COUNTER, &BLOB]).connect().await?;
    common::joined(&client);

    let mut hundred_per_second = tokio::time::interval(Duration::from_millis(10));
    for n in 1..=NUMBERS {
        hundred_per_second.tick().await;
        client.fire_server(&COUNTER, &n)?;
    }
    for content in [997, 998] {
        let blob = Bytes::from(vec![0; content]);
        let size = BLOB.encoded_len(&blob)?;
        match client.fire_server(&BLOB, &blob) {
            Ok(()) => println!("{size} bytes: fired"),
            Err(FireError::TooLarge { size, limit, .. }) => {
                println!("{size} bytes: {} too many", size - limit);
            }
            Err(error) => return Err(error.into()),
        }
    }
    client.leave().await;
    Ok(())
}

fn server(server: ServerBuilder) -> common::Outcome {
    let seen = Arc::new(Mutex::new(vec![0; NUMBERS as usize]));
    let counts = seen.clone();
    let server = server
        .remotes(&[&COUNTER, &BLOB])
        .on_player_removing(move |player, _| {
            let counts = counts.lock().expect("no handler panics");
            let arrived = counts.iter().filter(|&&count| count > 0).count();
            let twice = counts.iter().filter(|&&count| count > 1).count();
            println!("{arrived} of {NUMBERS} numbers from {player}, {twice} twice");
        })
        .start()?;

    server.on_server_event(&COUNTER, move |_, n| {
        let mut counts = seen.lock().expect("no handler panics");
        if let Some(count) = counts.get_mut(n.wrapping_sub(1) as usize) {
            *count += 1;
        }
    });
    server.on_server_event(&BLOB, |player, blob: Bytes| {
        println!("a blob of {} bytes from {player}", blob.len() + 3);
    });
    common::listening(&server);
    common::everyone_has_gone();
    server.shutdown_blocking();
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada"], server, client)
}
