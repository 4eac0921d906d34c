//! Every example prints what its header says, each process its own lines, in order.
//!
//! The expected lines are those of the documentation's scripts. Order across processes is not compared.

#[path = "shared/process.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "shared/relay.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod relay;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use process::Process;
use relay::{Relay, Weather};

#[test]
fn client_to_server() {
    expect(
        "client_to_server",
        &[("server", &["Ada fired the RemoteEvent"])],
    );
}

#[test]
fn server_to_client() {
    expect(
        "server_to_client",
        &[
            (
                "server",
                &[
                    "[Server] Firing event to player Ada",
                    "[Server] Firing event to player Bo",
                ],
            ),
            ("Ada", &["[Client] Event received by player Ada", "8 5"]),
            ("Bo", &["[Client] Event received by player Bo", "8 5"]),
        ],
    );
}

#[test]
fn server_to_all_clients() {
    let countdown = &["5", "4", "3", "2", "1"];
    expect(
        "server_to_all_clients",
        &[("Ada", countdown), ("Bo", countdown)],
    );
}

#[test]
fn client_to_client() {
    expect(
        "client_to_client",
        &[("Ada", &["Ada hi"]), ("Bo", &["Ada hi"])],
    );
}

#[test]
fn remote_function() {
    expect(
        "remote_function",
        &[
            ("server", &["Ada requested a new part"]),
            ("Ada", &["The server created the requested part: Part"]),
        ],
    );
}

#[test]
fn invoke_client() {
    expect(
        "invoke_client",
        &[
            ("server", &["Ada: 7", "Bo: no answer in time"]),
            ("Ada", &["The server asks: how many?"]),
            ("Bo", &["The server asks: how many?"]),
        ],
    );
}

#[test]
fn game_loop() {
    expect(
        "game_loop",
        &[
            ("server", &["60 ticks, 2 players"]),
            ("Ada", &["Bo is here", "the game is over after 60 ticks"]),
            ("Bo", &["Ada is here", "the game is over after 60 ticks"]),
        ],
    );
}

#[test]
fn unreliable() {
    let printed = run("unreliable");
    assert_eq!(
        printed["Ada"],
        ["1000 bytes: fired", "1001 bytes: 1 too many"]
    );
    let server = &printed["server"];
    let numbers = server.last().expect("the count comes when Ada leaves");
    let numbers = numbers.strip_suffix(" of 100 numbers from Ada, 0 twice");
    // A busy machine may overflow a socket; nothing else loses datagrams here.
    let arrived: u32 = numbers.expect("none twice").parse().expect("a number");
    assert!(arrived >= 90, "{server:?}");
    assert!(
        server.len() == 1 || server[0] == "a blob of 1000 bytes from Ada",
        "{server:?}"
    );
}

#[test]
fn lan_host_and_lan_join() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("a path in UTF-8");
    let host = Process::example("lan_host", &[folder]);
    let link = host.line();
    assert!(link.starts_with("farfire://"), "{link}");
    for name in ["Ada", "Bo"] {
        let player = Process::example("lan_join", &[&link, name]);
        assert_eq!(player.end(), [format!("{name}: hello")]);
    }
    assert_eq!(host.end(), ["Ada joined", "Bo joined"]);
}

#[test]
fn the_lines_are_the_same_over_a_bad_network() {
    let bad = |seed| Weather {
        delay: Duration::from_millis(50),
        lost_of_1000: 50,
        seed,
    };
    let cases: [(&str, &[&str], &[&str]); 3] = [
        ("client_to_server", &["Ada fired the RemoteEvent"], &[]),
        (
            "server_to_client",
            &["[Server] Firing event to player Ada"],
            &["[Client] Event received by player Ada", "8 5"],
        ),
        (
            "remote_function",
            &["Ada requested a new part"],
            &["The server created the requested part: Part"],
        ),
    ];
    for (seed, (example, of_server, of_ada)) in (1..).zip(cases) {
        let server = Process::example(example, &["server"]);
        let place = server.said("listening: ");
        let (address, pin) = place.split_once(' ').expect("an address and a pin");
        let address: SocketAddr = address.parse().expect("an address");
        let relay = Relay::to(address, bad(seed));
        let through = relay.address().to_string();
        let ada = Process::example(example, &["client", &through, pin, "Ada"]);
        assert_eq!(ada.end(), of_ada, "{example}");
        assert_eq!(server.end(), of_server, "{example}");
    }
}

/// Runs an example, and compares the lines of each of its processes.
fn expect(example: &str, lines: &[(&str, &[&str])]) {
    let printed = run(example);
    let expected: BTreeMap<String, Vec<String>> = lines
        .iter()
        .map(|(name, lines)| {
            let lines = lines.iter().map(|&line| line.to_owned());
            ((*name).to_owned(), lines.collect())
        })
        .collect();
    assert_eq!(printed, expected);
}

/// The lines of each process of an example, by its name.
fn run(example: &str) -> BTreeMap<String, Vec<String>> {
    let mut printed = BTreeMap::<_, Vec<_>>::new();
    for line in Process::example(example, &[]).end() {
        let labelled = line
            .strip_prefix('[')
            .and_then(|line| line.split_once("] "));
        let (name, line) = labelled.expect("every line has the name of its process");
        printed
            .entry(name.to_owned())
            .or_default()
            .push(line.to_owned());
    }
    printed
}
