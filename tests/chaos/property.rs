//! The ledger, whatever is fired, over whatever network, with whatever policies and however it ends.
//!
//! Runs on virtual time. A case that fails is made smaller and printed; `FARFIRE_CHAOS_SEED` replays
//! the same cases, and `FARFIRE_CHAOS_CASES` says how many.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    Client, DisconnectReason, Flush, Inbox, InboxOverflow, Limits, Overflow, Player, Rate, Remote,
    RemoteEvent, RemoteFunction, Server, Timeouts, UnreliableRemoteEvent,
    conditioner::{Conditioner, Conditions, Loss, Preset},
    testing::SimNet,
    tls::{Identity, Trust},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use tokio::time::{sleep, timeout};

use crate::{
    books::{Books, Parting, is_reliable},
    tally::{ALONE, from_env},
};

const PLAIN: RemoteEvent<Bytes> = RemoteEvent::new("Plain");
const LANE: RemoteEvent<Bytes> = RemoteEvent::new("Lane").lane("side");
const LOOSE: RemoteEvent<Bytes> = RemoteEvent::new("Loose").unordered();
const STRICT: RemoteEvent<Bytes> = RemoteEvent::new("Strict").overflow(Overflow::Disconnect);
const SELDOM: RemoteEvent<Bytes> = RemoteEvent::new("Seldom").rate(Rate::per_second(20).burst(5));
const POSE: UnreliableRemoteEvent<Bytes> = UnreliableRemoteEvent::new("UnreliablePose");
const SPOT: UnreliableRemoteEvent<Bytes> =
    UnreliableRemoteEvent::new("UnreliableSpot").latest_wins();
const KEYED: UnreliableRemoteEvent<Bytes> =
    UnreliableRemoteEvent::new("UnreliableKeyed").latest_by(|bytes| bytes.len() as u64 % 3);
const PING: RemoteFunction<(), ()> = RemoteFunction::new("Ping");

const EVENTS: [&dyn Remote; 8] = [
    &PLAIN, &LANE, &LOOSE, &STRICT, &SELDOM, &POSE, &SPOT, &KEYED,
];

/// Does the same with the remote of this number, whatever its kind.
macro_rules! with_remote {
    ($number:expr, |$remote:ident| $body:expr) => {
        match $number {
            0 => with_remote!(@ $remote PLAIN $body),
            1 => with_remote!(@ $remote LANE $body),
            2 => with_remote!(@ $remote LOOSE $body),
            3 => with_remote!(@ $remote STRICT $body),
            4 => with_remote!(@ $remote SELDOM $body),
            5 => with_remote!(@ $remote POSE $body),
            6 => with_remote!(@ $remote SPOT $body),
            _ => with_remote!(@ $remote KEYED $body),
        }
    };
    (@ $remote:ident $which:ident $body:expr) => {{
        let $remote = &$which;
        $body
    }};
}

#[derive(Debug, Clone)]
struct Case {
    up: Conditions,
    down: Conditions,
    tick: bool,
    outbox: usize,
    unreliable_outbox: usize,
    early: usize,
    held: usize,
    rate: u32,
    /// Of the server and of the client, by remote.
    listeners: [Vec<Listener>; 2],
    steps: Vec<Step>,
    /// The size and number of the events before the end.
    last: (usize, usize),
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    None,
    Sync,
    Failing,
    Async,
    /// Only the next event.
    Once,
    /// Opened, and never emptied.
    Inbox(usize, InboxOverflow),
    /// Opened, and emptied at every step.
    Emptied(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
    All,
    AllOthers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Up,
    Down,
    Both,
}

#[derive(Debug, Clone)]
enum Step {
    Fire {
        remote: usize,
        way: Way,
        size: usize,
        times: usize,
    },
    Wait(u64),
    Flush,
    /// No packet gets through for so many milliseconds, or only one way.
    CutOff(Cut, u64),
    /// The server's listener, or the client's, is there from now on.
    Listen {
        client: bool,
        remote: usize,
    },
    /// A call, which counts on the events before it.
    Call {
        client: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client leaves.
    Leave,
    Kick,
    Shutdown,
    /// The last handle of the client is dropped.
    Dropped,
    /// No packet gets through any more, or only one way.
    CutOff(Cut),
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let loss = prop_oneof![
        Just(Loss::None),
        (0.0..0.1).prop_map(Loss::Random),
        (0.0..0.03, 0.2..0.9, 0.2..0.9).prop_map(|(worsen, recover, lost)| Loss::Bursts {
            worsen,
            recover,
            lost
        }),
    ];
    let rate = prop_oneof![Just(None), (300_000..5_000_000u64).prop_map(Some)];
    let mtu = prop_oneof![Just(None), (1200..1500usize).prop_map(Some)];
    let odd = (0.0..0.05, 0.0..0.05);
    let any = (0..150u64, 0..40u64, loss, odd, rate, mtu);
    let any = any.prop_map(|(delay, jitter, loss, (duplicate, reorder), rate, mtu)| {
        let mut conditions = Conditions::default();
        conditions.delay = Duration::from_millis(delay);
        conditions.jitter = Duration::from_millis(jitter);
        (conditions.loss, conditions.rate, conditions.mtu) = (loss, rate, mtu);
        (conditions.duplicate, conditions.reorder) = (duplicate, reorder);
        conditions
    });
    let preset = (0..Preset::ALL.len()).prop_map(|at| Preset::ALL[at].conditions());
    prop_oneof![1 => Just(Conditions::default()), 2 => preset, 3 => any]
}

fn listeners() -> impl Strategy<Value = Vec<Listener>> {
    let overflow = prop_oneof![
        Just(InboxOverflow::DropNewest),
        Just(InboxOverflow::DropOldest)
    ];
    let listener = prop_oneof![
        2 => Just(Listener::None),
        4 => Just(Listener::Sync),
        1 => Just(Listener::Failing),
        2 => Just(Listener::Async),
        1 => Just(Listener::Once),
        1 => (1..40usize, overflow).prop_map(|(most, overflow)| Listener::Inbox(most, overflow)),
        1 => (1..40usize).prop_map(Listener::Emptied),
    ];
    vec(listener, EVENTS.len())
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::Both), Just(Cut::Up), Just(Cut::Down)]
}

fn step() -> impl Strategy<Value = Step> {
    let way = prop_oneof![
        4 => Just(Way::Up),
        3 => Just(Way::Down),
        3 => Just(Way::All),
        1 => Just(Way::AllOthers)
    ];
    let size = prop_oneof![3 => 0..60usize, 2 => 0..1100usize, 1 => 0..20_000usize];
    let fire = (0..EVENTS.len(), way, size, 1..40usize);
    let fire = fire.prop_map(|(remote, way, size, times)| Step::Fire {
        remote,
        way,
        size,
        times,
    });
    prop_oneof![
        8 => fire,
        3 => (0..400u64).prop_map(Step::Wait),
        1 => Just(Step::Flush),
        1 => (cut(), 100..7000u64).prop_map(|(cut, time)| Step::CutOff(cut, time)),
        1 => (any::<bool>(), 0..EVENTS.len())
            .prop_map(|(client, remote)| Step::Listen { client, remote }),
        1 => any::<bool>().prop_map(|client| Step::Call { client }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let end = prop_oneof![
        3 => Just(End::Leave),
        1 => Just(End::Kick),
        1 => Just(End::Shutdown),
        1 => Just(End::Dropped),
        1 => cut().prop_map(End::CutOff),
    ];
    let bounds = (
        prop_oneof![Just(256 * 1024), 1..20_000usize],
        prop_oneof![Just(8 * 1024), 2048..4096usize],
        prop_oneof![Just(256), 1..20usize],
        prop_oneof![Just(1 << 20), 1024..20_000usize],
        prop_oneof![Just(1_000_000), 20..500u32],
    );
    let network = (conditions(), conditions(), any::<bool>());
    let listeners = [listeners(), listeners()];
    let last = (0..3000usize, prop_oneof![3 => 0..24usize, 1 => 0..300usize]);
    (network, bounds, listeners, vec(step(), 1..40), last, end).prop_map(
        |((up, down, tick), bounds, listeners, steps, last, end)| Case {
            up,
            down,
            tick,
            outbox: bounds.0,
            unreliable_outbox: bounds.1,
            early: bounds.2,
            held: bounds.3,
            rate: bounds.4,
            listeners,
            steps,
            last,
            end,
        },
    )
}

#[test]
fn the_ledger_balances_whatever_happens() {
    let _alone = ALONE.blocking_lock();
    let seed = from_env("FARFIRE_CHAOS_SEED", 7);
    let cases = from_env("FARFIRE_CHAOS_CASES", 64) as u32;
    println!("FARFIRE_CHAOS_SEED={seed} FARFIRE_CHAOS_CASES={cases}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let totals = Arc::new([const { AtomicU64::new(0) }; 4]);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&case(), |case| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        let played = runtime.expect("a runtime").block_on(play(&case));
        let [accepted, received, survived, in_order] = played;
        for (total, count) in totals.iter().zip([accepted, received, survived, in_order]) {
            total.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let [accepted, received, survived, in_order] =
        std::array::from_fn(|at| totals[at].load(Ordering::Relaxed));
    println!(
        "the server accepted {accepted} events and received {received}; of {cases} connections \
         {survived} lived to the end, and {in_order} ended in good order"
    );
    assert!(accepted > 0 && received > 0);
    assert!(in_order > 0 && u64::from(cases) > in_order);
}

/// Design 2.7: what arrived was sent, also when the connection is lost in the middle of writing.
#[tokio::test(start_paused = true)]
async fn no_more_arrives_than_was_sent() {
    let net = SimNet::new();
    let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
        .remotes(&[&PLAIN])
        .network(&net.network(None))
        .start()
        .unwrap();
    server.on_server_event(&PLAIN, |_, _| ());
    let weather = Conditioner::new(7);
    let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
        .remotes(&[&PLAIN])
        .network(&net.network(Some(&weather)))
        .connect();
    let client = client.await.unwrap();
    let player = server.player(client.local_player().id).unwrap();
    let mut accepted = 0;
    let mut fill = || {
        while client.fire_server(&PLAIN, &vec![7; 1000].into()).is_ok() {
            accepted += 1;
        }
    };
    // Until as much may be on its way as the server has room for.
    for _ in 0..20 {
        fill();
        sleep(Duration::from_secs(1)).await;
    }
    // Nothing comes back from here on, so that no more is written than that.
    let nothing = Conditions::new(Duration::ZERO, 1.0);
    weather.set(Conditions::default(), nothing);
    for _ in 0..20 {
        fill();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(player.left().await, DisconnectReason::TimedOut);
    assert_eq!(client.disconnected().await, DisconnectReason::TimedOut);
    let (here, there) = (Books::from(&player.stats()), Books::from(&client.stats()));
    here.assert_closed("the server");
    there.assert_closed("the client");
    there.assert_sent_to(&here, Parting::Lost, "up");
    assert_eq!(there.of(PLAIN.name()).accepted, accepted);
    assert!(there.of(PLAIN.name()).unsent > 0 && here.of(PLAIN.name()).received > 0);
}

/// One side's ears: how often each remote was heard, and inboxes.
#[derive(Default)]
struct Ears {
    heard: Vec<Arc<AtomicU64>>,
    inboxes: Vec<Box<dyn Emptied>>,
    listens: Vec<bool>,
}

trait Emptied {
    fn empty(&mut self);
}

struct Kept<T>(Inbox<T>, bool);

impl<T: Send + 'static> Emptied for Kept<T> {
    fn empty(&mut self) {
        if self.1 {
            self.0.drain().for_each(drop);
        }
    }
}

impl Ears {
    fn new() -> Self {
        Self {
            heard: EVENTS.iter().map(|_| Arc::default()).collect(),
            inboxes: Vec::new(),
            listens: vec![false; EVENTS.len()],
        }
    }

    /// Notes that somebody listens; false if somebody did already.
    fn open(&mut self, remote: usize) -> bool {
        !std::mem::replace(&mut self.listens[remote], true)
    }

    fn listen_on_server(&mut self, server: &Server, remote: usize, listener: Listener) {
        if listener == Listener::None || !self.open(remote) {
            return;
        }
        let heard = self.heard[remote].clone();
        let hear = move || heard.fetch_add(1, Ordering::Relaxed);
        with_remote!(remote, |event| match listener {
            Listener::None => {}
            Listener::Sync => _ = server.on_server_event(event, move |_, _| _ = hear()),
            Listener::Failing => {
                server.on_server_event(event, move |_, _| match hear() % 3 {
                    0 => Err("not that one"),
                    _ => Ok(()),
                });
            }
            Listener::Async => {
                server.on_server_event(event, move |_, _| {
                    hear();
                    sleep(Duration::from_millis(30))
                });
            }
            Listener::Once => {
                server.on_server_event_once(event, move |_, _| _ = hear());
            }
            Listener::Inbox(most, overflow) => {
                let inbox = server.server_events_with(event, most, overflow);
                self.inboxes.push(Box::new(Kept(inbox, false)));
            }
            Listener::Emptied(most) => {
                let inbox = server.server_events_with(event, most, InboxOverflow::DropNewest);
                self.inboxes.push(Box::new(Kept(inbox, true)));
            }
        });
    }

    fn listen_on_client(&mut self, client: &Client, remote: usize, listener: Listener) {
        if listener == Listener::None || !self.open(remote) {
            return;
        }
        let heard = self.heard[remote].clone();
        let hear = move || heard.fetch_add(1, Ordering::Relaxed);
        with_remote!(remote, |event| match listener {
            Listener::None => {}
            Listener::Sync => _ = client.on_client_event(event, move |_| _ = hear()),
            Listener::Failing => {
                client.on_client_event(event, move |_| match hear() % 3 {
                    0 => Err("not that one"),
                    _ => Ok(()),
                });
            }
            Listener::Async => {
                client.on_client_event(event, move |_| {
                    hear();
                    sleep(Duration::from_millis(30))
                });
            }
            Listener::Once => {
                client.on_client_event_once(event, move |_| _ = hear());
            }
            Listener::Inbox(most, overflow) => {
                let inbox = client.client_events_with(event, most, overflow);
                self.inboxes.push(Box::new(Kept(inbox, false)));
            }
            Listener::Emptied(most) => {
                let inbox = client.client_events_with(event, most, InboxOverflow::DropNewest);
                self.inboxes.push(Box::new(Kept(inbox, true)));
            }
        });
    }

    fn empty(&mut self) {
        self.inboxes.iter_mut().for_each(|inbox| inbox.empty());
    }

    /// Handlers ran as often as the ledger says.
    fn assert_heard(&self, books: &Books, listeners: &[Listener], whose: &str) {
        for (remote, listener) in EVENTS.iter().zip(listeners).enumerate() {
            let (event, listener) = listener;
            let entry = books.of(event.name());
            let heard = self.heard[remote].load(Ordering::Relaxed);
            match listener {
                Listener::None | Listener::Inbox(..) | Listener::Emptied(..) => {}
                _ => assert_eq!(heard, entry.dispatched, "{whose}, {}", event.name()),
            }
        }
    }
}

/// How many events were accepted by `fire_*`, by remote: up and down.
type Accepted = [[u64; EVENTS.len()]; 2];

/// Plays a case. Gives how many events the server accepted and received, and whether the connection
/// lived to the end and ended in good order.
async fn play(case: &Case) -> [u64; 4] {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    let identity = IDENTITY.get_or_init(|| Identity::self_signed(["sim"]).unwrap());
    let net = SimNet::new();
    let mut limits = Limits::default();
    limits.outbox_bytes = case.outbox;
    limits.unreliable_outbox_bytes = case.unreliable_outbox;
    limits.early_events = case.early;
    limits.held_bytes = case.held;
    limits.events = Rate::per_second(case.rate);
    limits.unreliable_events = Rate::per_second(case.rate);
    // Nothing is to be left behind on any network, only because there was no time for it.
    let mut timeouts = Timeouts::default();
    timeouts.leave = Duration::from_secs(60);
    let flush = match case.tick {
        true => Flush::Tick,
        false => Flush::Immediate,
    };
    let mut remotes = EVENTS.to_vec();
    remotes.push(&PING);
    let server = Server::builder("10.0.0.1:4433", identity.clone())
        .remotes(&remotes)
        .limits(limits.clone())
        .timeouts(timeouts.clone())
        .flush(flush)
        .network(&net.network(None))
        .start()
        .unwrap();
    server.on_server_invoke(&PING, |_, ()| ());
    let weather = Conditioner::new(7);
    let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
        .remotes(&remotes)
        .limits(limits)
        .timeouts(timeouts)
        .flush(flush)
        .network(&net.network(Some(&weather)))
        .connect();
    let client = client.await.expect("nothing is wrong yet");
    client.on_client_invoke(&PING, |()| ());
    let player = server.player(client.local_player().id).expect("it joined");
    weather.set(case.up.clone(), case.down.clone());

    let mut ears = [Ears::new(), Ears::new()];
    // Half of the listeners are there from the start, the others when a step says so, if ever.
    for remote in (0..EVENTS.len()).filter(|remote| remote % 2 == 0) {
        ears[0].listen_on_server(&server, remote, case.listeners[0][remote]);
        ears[1].listen_on_client(&client, remote, case.listeners[1][remote]);
    }
    let mut accepted = Accepted::default();
    for step in &case.steps {
        take(
            step,
            case,
            (&server, &client, &player),
            &weather,
            &mut ears,
            &mut accepted,
        )
        .await;
        ears.iter_mut().for_each(Ears::empty);
    }
    settle(&server, &client, &player).await;
    let survives = client.is_connected() && player.is_connected();
    if survives {
        let (here, there) = (Books::from(&player.stats()), Books::from(&client.stats()));
        here.assert_balanced("the server, still connected");
        there.assert_balanced("the client, still connected");
        here.assert_sent_to(&there, Parting::InOrder, "down, still connected");
        there.assert_sent_to(&here, Parting::InOrder, "up, still connected");
        for (at, event) in EVENTS.iter().enumerate() {
            assert_eq!(there.of(event.name()).accepted, accepted[0][at], "up");
            assert_eq!(here.of(event.name()).accepted, accepted[1][at], "down");
        }
    }

    // Last words, which are on their way when it ends.
    let last = Bytes::from(vec![7; case.last.0]);
    if let End::CutOff(cut) = case.end {
        cut_off(case, &weather, cut);
    }
    for at in 0..case.last.1 {
        with_remote!(at % EVENTS.len(), |event| {
            let _ = client.fire_server(event, &last);
            let _ = server.fire_client(&player, event, &last);
            let _ = server.fire_all_clients(event, &last);
        });
    }
    let mut client = Some(client);
    let stats = |client: &Option<Client>| client.as_ref().map(Client::stats);
    match case.end {
        End::Leave => _ = client.as_ref().expect("it is here").leave().await,
        End::Kick => player.kick("enough"),
        End::Shutdown => server.shutdown().await,
        End::Dropped => client = None,
        End::CutOff(_) => {}
    }
    let reason = timeout(GUARD, player.left()).await.expect("it ends");
    let mut theirs = None;
    if let Some(client) = &client {
        let ended = timeout(GUARD, client.disconnected()).await;
        theirs = Some(ended.expect("it ends on the other side too"));
    }
    let here = Books::from(&player.stats());
    here.assert_closed("the server");
    ears[0].assert_heard(&here, &case.listeners[0], "the server");
    let mut in_order = false;
    if let Some(stats) = stats(&client) {
        let there = Books::from(&stats);
        there.assert_closed("the client");
        ears[1].assert_heard(&there, &case.listeners[1], "the client");
        // The last words may have been too many for it to end as it was meant to.
        let agreed = survives && theirs.as_ref() == Some(&reason);
        let (up, down) = match reason {
            DisconnectReason::Left | DisconnectReason::Shutdown if agreed => {
                (Parting::InOrder, Parting::InOrder)
            }
            // It is not heard any more, and still told.
            DisconnectReason::Kicked { .. } if agreed => (Parting::Lost, Parting::InOrder),
            _ => (Parting::Lost, Parting::Lost),
        };
        in_order = up == Parting::InOrder;
        here.assert_sent_to(&there, down, &format!("down, {reason:?}, {theirs:?}"));
        there.assert_sent_to(&here, up, &format!("up, {reason:?}, {theirs:?}"));
    }
    server.shutdown().await;
    let sum = |count: fn(&crate::books::Entry) -> u64| here.0.values().map(count).sum::<u64>();
    [
        sum(|entry| entry.accepted),
        sum(|entry| entry.received),
        u64::from(survives),
        u64::from(in_order),
    ]
}

async fn take(
    step: &Step,
    case: &Case,
    (server, client, player): (&Server, &Client, &Player),
    weather: &Conditioner,
    ears: &mut [Ears; 2],
    accepted: &mut Accepted,
) {
    match *step {
        Step::Fire {
            remote,
            way,
            size,
            times,
        } => {
            let args = Bytes::from(vec![7; size]);
            for _ in 0..times {
                let fired = with_remote!(remote, |event| match way {
                    Way::Up => client.fire_server(event, &args).is_ok(),
                    Way::Down => server.fire_client(player, event, &args).is_ok(),
                    Way::All => server.fire_all_clients(event, &args).is_ok(),
                    Way::AllOthers => {
                        let _ = server.fire_all_clients_except(player, event, &args);
                        false
                    }
                });
                accepted[usize::from(way != Way::Up)][remote] += u64::from(fired);
            }
        }
        Step::Wait(time) => sleep(Duration::from_millis(time)).await,
        Step::Flush => {
            server.flush();
            client.flush();
        }
        Step::CutOff(cut, time) => {
            cut_off(case, weather, cut);
            sleep(Duration::from_millis(time)).await;
            weather.set(case.up.clone(), case.down.clone());
        }
        Step::Listen {
            client: false,
            remote,
        } => ears[0].listen_on_server(server, remote, case.listeners[0][remote]),
        Step::Listen {
            client: true,
            remote,
        } => ears[1].listen_on_client(client, remote, case.listeners[1][remote]),
        Step::Call { client: true } => _ = client.invoke_server(&PING, &()).await,
        Step::Call { client: false } => _ = server.invoke_client(player, &PING, &()).await,
    }
}

fn cut_off(case: &Case, weather: &Conditioner, cut: Cut) {
    let nothing = || Conditions::new(Duration::ZERO, 1.0);
    let (up, down) = match cut {
        Cut::Up => (nothing(), case.down.clone()),
        Cut::Down => (case.up.clone(), nothing()),
        Cut::Both => (nothing(), nothing()),
    };
    weather.set(up, down);
}

/// Waits until all that was fired has arrived, as far as it will, or the connection is over.
async fn settle(server: &Server, client: &Client, player: &Player) {
    let is_settled = || {
        let (here, there) = (Books::from(&player.stats()), Books::from(&client.stats()));
        let none_waits = [&here, &there]
            .iter()
            .all(|books| books.0.values().all(|entry| entry.queued == 0));
        none_waits
            && EVENTS.iter().all(|event| {
                let (here, there) = (here.of(event.name()), there.of(event.name()));
                !is_reliable(event.name())
                    || here.received == there.sent && there.received == here.sent
            })
    };
    let settled = async {
        loop {
            server.flush();
            client.flush();
            sleep(Duration::from_millis(20)).await;
            if is_settled() || !client.is_connected() || !player.is_connected() {
                return;
            }
        }
    };
    let settled = timeout(GUARD, settled).await;
    let stats = || (player.stats().remotes, client.stats().remotes);
    settled.unwrap_or_else(|_| panic!("it never settles: {:#?}", stats()));
}

/// Of virtual time.
const GUARD: Duration = Duration::from_secs(600);
