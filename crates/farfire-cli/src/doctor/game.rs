//! What can be tried: a game on this machine, and the files that hosting and joining need.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use farfire::{
    Client, RemoteFunction, Server,
    tls::{Identity, KnownServers, Trust},
};

use super::finding::Finding;
use crate::{folder, trouble};

/// Whether a player can join a server and call it, on loopback.
pub(super) async fn check() -> Finding {
    match tokio::time::timeout(PATIENCE, play()).await {
        Ok(Ok(took)) => Finding::fine(
            GAME,
            format!("a player joined a server on this machine and called it, in {} ms", took.as_millis()),
        ),
        Ok(Err(error)) => Finding::problem(GAME, format!("no player can join even on this machine: {error}"))
            .remedy("look for what filters UDP on the loopback interface"),
        Err(_) => Finding::problem(GAME, "no player could join even on this machine, in time")
            .remedy("look for what filters UDP on the loopback interface, and for what keeps this machine busy"),
    }
}

async fn play() -> Result<Duration, Box<dyn std::error::Error>> {
    const ECHO: RemoteFunction<u32, u32> = RemoteFunction::new("Echo");
    let began = Instant::now();
    let identity = Identity::self_signed(["localhost"])?;
    let server = Server::builder("127.0.0.1:0", identity).start()?;
    server.on_server_invoke(&ECHO, |_player, number: u32| number);
    let trust = Trust::pinned([server.pin()]);
    let client = Client::builder(server.local_addr().to_string(), trust);
    let client = client.name("doctor").connect().await?;
    let echo = client.invoke_server(&ECHO, &7).await?;
    let took = began.elapsed();
    client.leave().await;
    server.shutdown().await;
    match echo {
        7 => Ok(took),
        other => Err(format!("7 came back as {other}").into()),
    }
}

/// Whether the identity of a host can be used, if there is one.
pub(super) fn identity(asked: Option<&Path>) -> Finding {
    const WHAT: &str = "identity";
    let dir = match folder::identity(asked.map(Path::to_owned)) {
        Ok(dir) => dir,
        Err(complaint) => return Finding::problem(WHAT, complaint.error).remedy(complaint.help),
    };
    if !dir.join("server.key").exists() {
        return Finding::fine(
            WHAT,
            format!("`farfire host` will make one in {}", dir.display()),
        );
    }
    match Identity::load_or_create(&dir) {
        Ok(identity) => Finding::fine(
            WHAT,
            format!("{} in {}", identity.pin().code(), dir.display()),
        ),
        Err(error) => {
            let complaint = trouble::identity(&error);
            Finding::problem(WHAT, complaint.error).remedy(complaint.help)
        }
    }
}

/// Whether the servers that were joined before can be read.
pub(super) fn known_servers(path: &Path) -> Finding {
    const WHAT: &str = "known servers";
    let known = KnownServers::open(path).and_then(|known| known.list());
    match known {
        Ok(servers) => Finding::fine(WHAT, format!("{} in {}", servers.len(), path.display())),
        Err(error) => {
            let complaint = trouble::known_servers(&error);
            Finding::problem(WHAT, complaint.error).remedy(complaint.help)
        }
    }
}

const GAME: &str = "game";
const PATIENCE: Duration = Duration::from_secs(10);
