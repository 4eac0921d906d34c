//! A client fires, the server makes a part.

use std::fmt;

use farfire::{
    Client, DropCause, Player, RemoteEvent, Server,
    values::{BrickColor, Vector3},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    stage::{answer_caught_up, caught_up, ledger, refused},
    world::{Notes, World, within},
};

const REMOTE_EVENT: RemoteEvent<(BrickColor, Vector3)> = RemoteEvent::new("RemoteEventTest");

fn script_1a(client: &Client) {
    client
        .fire_server(
            &REMOTE_EVENT,
            &(BrickColor::red(), Vector3::new(0.0, 25.0, 0.0)),
        )
        .unwrap();
}

/// Gives the server's lines, and its workspace.
fn script_1b(server: &Server) -> (Notes, Notes<(BrickColor, Vector3)>) {
    let (lines, workspace) = (Notes::new(), Notes::new());
    let (print, add) = (lines.clone(), workspace.clone());
    server.on_server_event(&REMOTE_EVENT, move |player: Player, (color, position)| {
        print.push(format!("{player} fired the RemoteEvent"));
        add.push((color, position));
    });
    (lines, workspace)
}

fn world() -> World {
    let world = World::with(|server| server.remotes(&[&REMOTE_EVENT]));
    answer_caught_up(&world.server);
    world
}

#[tokio::test]
async fn one_client_makes_one_part() {
    let world = world();
    let (lines, workspace) = script_1b(&world.server);
    let (ada, _) = within(world.join("Ada")).await;
    script_1a(&ada);
    caught_up(&ada).await;
    assert_eq!(lines.all(), ["Ada fired the RemoteEvent"]);
    let [(color, position)] = workspace.all()[..] else {
        panic!("{:?}", workspace.all());
    };
    assert_eq!((color.number(), color.name()), (21, "Bright red"));
    assert_eq!(position, Vector3::new(0.0, 25.0, 0.0));
}

#[tokio::test]
async fn two_clients_are_told_apart() {
    let world = world();
    let (lines, workspace) = script_1b(&world.server);
    let (ada, _) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    script_1a(&ada);
    script_1a(&bo);
    caught_up(&ada).await;
    caught_up(&bo).await;
    let mut lines = lines.all();
    lines.sort();
    assert_eq!(
        lines,
        ["Ada fired the RemoteEvent", "Bo fired the RemoteEvent"]
    );
    assert_eq!(workspace.all().len(), 2);
}

#[tokio::test]
async fn a_handler_that_comes_late_prints_the_same() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    script_1a(&ada);
    caught_up(&ada).await;
    assert_eq!(ledger(player.stats(), "RemoteEventTest").held, 1);
    let (lines, workspace) = script_1b(&world.server);
    assert_eq!(lines.wait(1).await, ["Ada fired the RemoteEvent"]);
    caught_up(&ada).await;
    assert_eq!(lines.all().len(), 1);
    assert_eq!(workspace.all().len(), 1);
}

#[tokio::test]
async fn a_forged_player_harms_only_its_own_event() {
    const FORGED: RemoteEvent<Forged> = RemoteEvent::new("RemoteEventTest");

    let world = world();
    let (lines, workspace) = script_1b(&world.server);
    let (ada, player) = within(world.join("Ada")).await;
    ada.fire_server(&FORGED, &Forged(Some("Bo"))).unwrap();
    ada.fire_server(&FORGED, &Forged(None)).unwrap();
    caught_up(&ada).await;
    assert_eq!(lines.all(), ["Ada fired the RemoteEvent"]);
    assert_eq!(
        workspace.all(),
        [(BrickColor::red(), Vector3::new(0.0, 25.0, 0.0))]
    );
    let events = ledger(player.stats(), "RemoteEventTest");
    assert_eq!(refused(&events, DropCause::Undecodable), 1);
    assert_eq!((events.received, events.dispatched), (2, 1));
}

/// The arguments of 1a as a modified client sends them: behind the player that it wants to be.
///
/// Its `Deserialize` does not show what it is made of, so the types of both sides cannot be compared.
struct Forged(Option<&'static str>);

impl Serialize for Forged {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let honest = (BrickColor::red(), Vector3::new(0.0, 25.0, 0.0));
        match self.0 {
            Some(player) => (player, honest).serialize(to),
            None => honest.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Forged {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Nothing;
        impl de::Visitor<'_> for Nothing {
            type Value = Forged;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nothing")
            }
        }
        from.deserialize_any(Nothing)
    }
}
