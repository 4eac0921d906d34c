//! All of the documentation's scripts at once, on one `RemoteEventTest`.
//!
//! The scripts give the one remote arguments of three kinds and numbers, which one static type cannot
//! say. [`Args`] says it for this test: a list of values, of which a handler takes those that it names
//! and prints `nil` for those that are missing, as Luau does. A game would have three remotes.

use std::{fmt, future::IntoFuture};

use farfire::{
    Client, Player, RemoteEvent, RemoteFunction, Server,
    values::{BrickColor, Vector3},
};
use serde::{Deserialize, Serialize};

use crate::{
    stage::{answer_caught_up, caught_up},
    world::{Notes, World, within},
};

const REMOTE_EVENT: RemoteEvent<Args> = RemoteEvent::new("RemoteEventTest");
const REMOTE_FUNCTION: RemoteFunction<(BrickColor, Vector3), String> =
    RemoteFunction::new("RemoteFunctionTest");
const MAX_PLAYERS: f64 = 8.0;
const RESPAWN_TIME: f64 = 5.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Args(Vec<Arg>);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Arg {
    Number(f64),
    Color(BrickColor),
    Vector(Vector3),
    Nil,
}

impl Args {
    fn at(&self, place: usize) -> Arg {
        self.0.get(place).copied().unwrap_or(Arg::Nil)
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Color(color) => color.fmt(f),
            Self::Vector(vector) => vector.fmt(f),
            Self::Nil => f.write_str("nil"),
        }
    }
}

fn notify(player: &Player) -> Result<(), farfire::FireError> {
    let args = Args(vec![Arg::Number(MAX_PLAYERS), Arg::Number(RESPAWN_TIME)]);
    player.server().fire_client(player, &REMOTE_EVENT, &args)
}

/// A server with 1b, 2a and 5b, and its lines.
fn server() -> (World, Notes) {
    let lines = Notes::new();
    let print = lines.clone();
    let world = World::with(|server| {
        server
            .remotes(&[&REMOTE_EVENT, &REMOTE_FUNCTION])
            .on_player_added(move |player| {
                print.push(format!("[Server] Firing event to player {player}"));
                notify(&player)
            })
    });
    answer_caught_up(&world.server);
    let print = lines.clone();
    world
        .server
        .on_server_event(&REMOTE_EVENT, move |player, _| {
            print.push(format!("{player} fired the RemoteEvent"));
        });
    let print = lines.clone();
    world
        .server
        .on_server_invoke(&REMOTE_FUNCTION, move |player, _| {
            print.push(format!("{player} requested a new part"));
            "Part".to_owned()
        });
    (world, lines)
}

fn script_2b(client: &Client, lines: &Notes) {
    let print = lines.clone();
    let player = client.local_player().clone();
    client.on_client_event(&REMOTE_EVENT, move |args| {
        print.push(format!("[Client] Event received by player {}", player.name));
        print.push(format!("{} {}", args.at(0), args.at(1)));
    });
}

fn script_3b(client: &Client, lines: &Notes) {
    let print = lines.clone();
    client.on_client_event(&REMOTE_EVENT, move |args| {
        print.push(args.at(0).to_string())
    });
}

fn script_3a(server: &Server) {
    for t in [5.0, 4.0, 3.0, 2.0, 1.0] {
        server
            .fire_all_clients(&REMOTE_EVENT, &Args(vec![Arg::Number(t)]))
            .unwrap();
    }
}

#[tokio::test]
async fn all_scripts_together_print_what_each_prints_alone() {
    let (world, of_server) = server();
    let of_ada = Notes::new();
    let (ada, _) = within(world.join("Ada")).await;
    caught_up(&ada).await;
    script_2b(&ada, &of_ada);
    script_3b(&ada, &of_ada);
    of_ada.wait(2).await;
    let (color, position) = (BrickColor::red(), Vector3::new(0.0, 25.0, 0.0));
    let args = Args(vec![Arg::Color(color), Arg::Vector(position)]);
    ada.fire_server(&REMOTE_EVENT, &args).unwrap();
    let call = ada.invoke_server(&REMOTE_FUNCTION, &(color, position));
    let part = within(call.into_future()).await.unwrap();
    of_ada.push(format!("The server created the requested part: {part}"));
    script_3a(&world.server);
    caught_up(&ada).await;

    assert_eq!(
        of_server.all(),
        [
            "[Server] Firing event to player Ada",
            "Ada fired the RemoteEvent",
            "Ada requested a new part"
        ]
    );
    let mut lines = of_ada.all();
    let countdown = lines.split_off(3);
    assert_eq!(
        lines,
        [
            "[Client] Event received by player Ada",
            "8 5",
            "The server created the requested part: Part"
        ]
    );
    // The handlers may come in either order; the lines of each stay together.
    let mut steps = countdown.chunks(3);
    for t in (1..=5).rev() {
        let (name, from_2b) = (
            "[Client] Event received by player Ada".to_owned(),
            format!("{t} nil"),
        );
        let from_3b = t.to_string();
        let either = [
            [name.clone(), from_2b.clone(), from_3b.clone()],
            [from_3b, name, from_2b],
        ];
        let step = steps.next().unwrap();
        assert!(either.iter().any(|lines| lines == step), "{step:?}");
    }
    assert_eq!(steps.next(), None);
}

#[tokio::test]
async fn what_waited_is_for_the_script_that_connects_first() {
    let (world, _) = server();
    let lines = Notes::new();
    let (ada, _) = within(world.join("Ada")).await;
    caught_up(&ada).await;
    script_3b(&ada, &lines);
    script_2b(&ada, &lines);
    lines.wait(1).await;
    caught_up(&ada).await;
    assert_eq!(lines.all(), ["8"]);
}

#[tokio::test]
async fn what_is_fired_later_is_for_all_scripts() {
    let (world, _) = server();
    let lines = Notes::new();
    let (ada, player) = within(world.join("Ada")).await;
    caught_up(&ada).await;
    script_2b(&ada, &lines);
    script_3b(&ada, &lines);
    lines.wait(2).await;
    notify(&player).unwrap();
    let mut lines = lines.wait(5).await.split_off(2);
    lines.sort();
    assert_eq!(lines, ["8", "8 5", "[Client] Event received by player Ada"]);
}
