//! The promises of `farfire ping`, `bench` and `compare`, kept by the program itself. How long things
//! take is not among them: that is the machine's affair.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use farfire::{
    Client, Rate, RemoteEvent, Server, ServerBuilder,
    lan::JoinLink,
    tls::{Identity, Trust},
};
use serde_json::Value;

fn farfire(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farfire"));
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it printed, if it ended with `code`.
fn printed(output: &Output, code: i32) -> String {
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{printed}\n{errors}");
    printed
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&printed(output, 0)).unwrap()
}

/// A server of some game, which knows nothing of being measured.
fn server(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, String, String) {
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = describe(Server::builder("127.0.0.1:0", identity));
    let server = server.start().unwrap();
    let (address, pin) = (server.local_addr().to_string(), server.pin().to_string());
    (server, address, pin)
}

#[test]
fn ping_says_what_it_reached_and_counts_every_kind() {
    let (_server, address, pin) = server(|server| server);
    let arguments = ["ping", &address, "--pin", &pin, "-c", "5", "-i", "20ms"];
    let output = farfire(&[&arguments[..], &["--json", "--fail-if", "p99>60s"]].concat());
    let summary = json(&output);
    for kind in ["reliable", "unreliable"] {
        let of = &summary[kind];
        assert_eq!(of["sent"], 5, "{summary}");
        assert_eq!(of["received"], 5, "{summary}");
        assert_eq!((&of["lost"], &of["duplicated"]), (&0.into(), &0.into()));
        let figure = |name: &str| of[name].as_f64().unwrap();
        assert!(figure("min_us") > 0.0 && figure("min_us") <= figure("p50_us"));
        assert!(figure("p99_us") <= figure("max_us"));
        assert!(figure("jitter_us") >= 0.0);
    }
    assert!(summary["network_us"].as_f64().unwrap() > 0.0);
    let reached = &summary["reached"];
    assert_eq!(reached["protocol"], "farfire/1");
    assert_eq!(reached["address"], address[..]);
    assert!(reached["handshake_ms"].as_f64().unwrap() > 0.0);
    assert!(reached["mtu"].as_u64().unwrap() >= 1200);
    assert_eq!(reached["zero_rtt"], false);
}

#[test]
fn ping_has_a_line_per_probe_for_programs_and_for_people() {
    let (server, address, pin) = server(|server| server);
    let link = JoinLink::new(address.parse().unwrap(), server.pin()).with_name("Duel");
    let link = link.to_string();
    let arguments = ["ping", &link, "-c", "3", "-i", "10ms", "--via", "function"];
    let lines = printed(&farfire(&[&arguments[..], &["--json-lines"]].concat()), 0);
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = records.iter().map(|record| &record["record"]).collect();
    assert_eq!(kinds, ["reached", "probe", "probe", "probe", "summary"]);
    assert_eq!(records[0]["name"], "Duel");
    assert!(records[1]["us"].as_f64().unwrap() > 0.0);
    assert_eq!(records[4]["function"]["received"], 3);

    let lines = printed(
        &farfire(&["ping", &address, "--pin", &pin, "-c", "2", "-i", "10ms"]),
        0,
    );
    for beginning in [
        "probe 1: ",
        "probe 2: ",
        "reliable    2 sent, 2 received",
        "network ",
    ] {
        assert!(
            lines.lines().any(|line| line.starts_with(beginning)),
            "{lines}"
        );
    }
    assert!(lines.contains("QUIC and TLS") && lines.contains("path MTU"));
    assert!(!lines.contains('\x1b'), "escape sequences in a pipe");
}

#[test]
fn ping_fails_as_scripts_need_it() {
    let (_game, address, pin) = server(|server| server);
    let ping = |more: &[&str]| farfire(&[&["ping", &address, "-c", "1"], more].concat());
    let missed = ping(&["--pin", &pin, "--fail-if", "max>0us"]);
    printed(&missed, 5);
    assert!(text(&missed.stderr).contains("`--fail-if 'max>0us'`"));
    printed(&ping(&["--pin", &pin, "--fail-if", "p99>soon"]), 2);
    let other = "0".repeat(52);
    printed(&ping(&["--pin", &other]), 4);

    let (_server, address, pin) = server(|server| server.echo(false));
    let silent = farfire(&["ping", &address, "--pin", &pin, "-c", "1"]);
    printed(&silent, 1);
    assert!(text(&silent.stderr).contains("has no echo"));
}

const QUICK: [&str; 7] = [
    "--rate",
    "500",
    "--count",
    "200",
    "--warm-up",
    "100ms",
    // What is tested here are counts, on a machine that may have much else to do.
    "--max-lateness=60s",
];

fn bench(more: &[&str]) -> Output {
    farfire(&[&["bench"], &QUICK[..], more].concat())
}

#[test]
fn bench_measures_farfire_and_the_baselines_by_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (svg, hgrm) = (file("a.svg"), file("a.hgrm"));
    let arguments = [
        "--repeat",
        "2",
        "--baseline",
        "all",
        "--json",
        "--svg",
        &svg,
    ];
    let output = bench(&[&arguments[..], &["--hgrm", &hgrm]].concat());
    assert!(output.stderr.is_empty(), "a progress line in a pipe");
    let report = json(&output);
    assert_eq!(report["schema"], "farfire.bench/1");
    let from = &report["provenance"];
    assert!(from["machine"]["cores"].as_u64().unwrap() > 0);
    assert_eq!(from["command"][1], "bench");
    let contenders = report["cells"][0]["contenders"].as_array().unwrap();
    let names: Vec<_> = contenders.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["farfire", "quinn stream", "udp", "tcp nodelay"]);
    let mut costs = 0;
    for contender in contenders {
        let name = &contender["name"];
        assert_eq!(contender["runs"].as_array().unwrap().len(), 2);
        for run in contender["runs"].as_array().unwrap() {
            assert_eq!(run["expected"], 200, "{name}");
            let figure = |of: &str, name: &str| run[of][name].as_f64().unwrap();
            // From when it was due is never shorter than from when it was sent.
            let (due, sent) = (figure("latency", "p50_us"), figure("uncorrected", "p50_us"));
            assert!(due >= sent && sent > 0.0, "{name}: {run}");
            assert!(
                run["latency"]["p99_us"].is_null(),
                "200 samples carry no p99"
            );
            assert!(figure("lateness", "max_us") >= 0.0);
            if name != "udp" {
                assert_eq!(run["arrived"], 200, "{name}");
            }
            // Some are on their way when the measured time begins, and when it ends; on a machine that
            // stood still all that while, all of them.
            if let Some(wire) = run["wire_bytes_per_event"].as_f64() {
                assert!(wire >= 64.0, "{name}: {wire}, and 64 go there and back");
                costs += 1;
            }
        }
        let spread = &contender["over_runs"]["p50_us"];
        assert!(spread["min"].as_f64() <= spread["max"].as_f64());
        assert_eq!(
            contender["farfire_is"]["p50"].is_object(),
            name != "farfire"
        );
    }
    assert!(costs > 0, "no run knows what it cost");
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let percentiles = fs::read_to_string(hgrm).unwrap();
    assert!(percentiles.contains("Total count    =          400]"));
}

#[test]
fn bench_goes_every_way_that_events_go() {
    for (kind, direction, server) in [
        ("function", "echo", "in-process"),
        ("unreliable", "up", "process"),
        ("reliable", "down", "in-process"),
        ("broadcast", "echo", "process"),
    ] {
        let arguments = ["--kind", kind, "--direction", direction, "--server", server];
        let more = ["--clients", "3", "--repeat", "1", "--json", "--tick=50"];
        let report = json(&bench(&[&arguments[..], &more].concat()));
        let run = &report["cells"][0]["contenders"][0]["runs"][0];
        assert_eq!(run["expected"], 600, "{kind} {direction}");
        let arrived = run["arrived"].as_u64().unwrap();
        let least = if kind == "unreliable" { 1 } else { 600 };
        assert!(
            (least..=600).contains(&arrived),
            "{kind} {direction}: {arrived}"
        );
        assert_eq!(run["duplicates"], 0);
        assert!(run["latency"]["p50_us"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn bench_measures_any_server_by_its_echo() {
    let mut limits = farfire::Limits::default();
    limits.echo = Rate::per_second(10_000);
    let (_server, address, pin) = server(|server| server.limits(limits));
    let arguments = ["--server", &address, "--pin", &pin, "--repeat", "1"];
    let kinds = [
        "--kind",
        "reliable,function",
        "--payload",
        "16,1000",
        "--json",
    ];
    let report = json(&bench(&[&arguments[..], &kinds].concat()));
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    for cell in cells {
        let run = &cell["contenders"][0]["runs"][0];
        assert_eq!(run["arrived"], 200, "{cell}");
        assert!(run["server_cpu_us_per_event"].is_null(), "it is not known");
    }
    // Both ends share no clock.
    let one_way = bench(&[&arguments[..], &["--direction", "up"]].concat());
    printed(&one_way, 2);
    assert!(text(&one_way.stderr).contains("a clock that both ends share"));
}

/// A game whose handler blocks the network thread most of the time. A tool that waited for answers would
/// see a few slow ones; what counts is what all events met that were due.
#[test]
fn a_server_that_stalls_cannot_hide_it() {
    const STALL: RemoteEvent<()> = RemoteEvent::new("Stall");
    let (server, address, pin) = server(|server| server.remotes(&[&STALL]));
    // It is what is measured: a handler that has the server stand still.
    server.on_server_event(&STALL, |_, ()| thread::sleep(Duration::from_millis(300)));
    let trust = Trust::pinned([server.pin()]);
    let client = Client::builder(&address, trust).connect_blocking().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let stalling = thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            client.fire_server(&STALL, &()).unwrap();
            // The stalls are what is measured, not a way to wait.
            thread::sleep(Duration::from_millis(400));
        }
    });
    let arguments = [
        "--server", &address, "--pin", &pin, "--repeat", "1", "--json",
    ];
    let load = ["--rate", "100", "--count", "200", "--max-lateness", "60s"];
    let output = farfire(&[&["bench"], &arguments[..], &load].concat());
    done.store(true, Ordering::Relaxed);
    stalling.join().unwrap();
    let report = json(&output);
    let run = &report["cells"][0]["contenders"][0]["runs"][0];
    assert_eq!(run["arrived"], 200, "{run}");
    // Three quarters of them were due during a stall, which took 150 ms on average.
    let p50 = run["latency"]["p50_us"].as_f64().unwrap();
    let p90 = run["latency"]["p90_us"].as_f64().unwrap();
    assert!(
        p50 >= 30_000.0 && p90 >= 150_000.0,
        "p50 {p50} us, p90 {p90} us"
    );
}

#[test]
fn a_bad_network_is_felt() {
    let arguments = ["--net", "wifi", "--seed", "7", "--repeat", "1", "--json"];
    let report = json(&bench(&arguments));
    let run = &report["cells"][0]["contenders"][0]["runs"][0];
    let least = run["latency"]["min_us"].as_f64().unwrap();
    assert!(least >= 8_000.0, "{least} us over a network of 8 ms");
    assert_eq!(report["net"], "wifi");
}

#[test]
fn a_sender_that_falls_behind_makes_no_figures() {
    let arguments = ["--repeat", "1", "--warm-up", "0ms", "--max-lateness", "0us"];
    let output = farfire(
        &[
            &["bench", "--count", "200", "--rate", "1000"],
            &arguments[..],
        ]
        .concat(),
    );
    assert!(printed(&output, 1).contains("INVALID: sender fell behind by"));
    assert!(text(&output.stderr).contains("INVALID: farfire: sender fell behind by"));
}

#[test]
fn a_closed_loop_is_labelled() {
    let arguments = [
        "--closed",
        "--duration",
        "200ms",
        "--warm-up",
        "50ms",
        "--repeat",
        "1",
    ];
    let lines = printed(&farfire(&[&["bench"], &arguments[..]].concat()), 0);
    assert!(lines.contains("CLOSED LOOP"), "{lines}");
    let table = [&["bench", "--md"], &arguments[..]].concat();
    let table = printed(&farfire(&table), 0);
    assert!(table.starts_with("| | p50 us |") && table.contains("`farfire bench --md"));
    assert!(table.contains("CLOSED LOOP"), "{table}");
}

#[test]
fn what_cannot_be_measured_is_said_before_it_is_tried() {
    for (arguments, words) in [
        (
            &["--kind", "unreliable", "--payload", "16k"][..],
            "does not fit",
        ),
        (&["--payload", "8"], "16 to 64k"),
        (
            &["--kind", "function", "--direction", "up"],
            "there and back",
        ),
        (
            &["--kind", "broadcast", "--closed"],
            "a broadcast goes down",
        ),
        (&["--baseline", "udp", "--net", "wifi"], "no baselines here"),
        (&["--rate", "0"], "a rate is more than 0"),
        (&["--closed", "--tick", "60"], "cannot be used with"),
        (
            &["--payload", "file:/nowhere/to/be/found"],
            "cannot be sent",
        ),
        (&["--net", "mars"], "mars"),
    ] {
        let output = farfire(&[&["bench"], arguments].concat());
        printed(&output, 2);
        let errors = text(&output.stderr);
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn compare_tells_noise_from_change_and_refuses_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("before.json");
    let report = json(&bench(&["--repeat", "2", "--json"]));
    fs::write(&before, report.to_string()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut after = report.clone();
        change(&mut after);
        let path = folder.path().join("after.json");
        fs::write(&path, after.to_string()).unwrap();
        path
    };
    let compare = |after: &std::path::Path, more: &[&str]| {
        let files = [before.to_str().unwrap(), after.to_str().unwrap()];
        farfire(&[&["compare"], &files[..], more].concat())
    };
    let same = printed(&compare(&before, &["--fail-if-worse", "0%"]), 0);
    assert!(
        same.contains("within noise") && !same.contains("worse"),
        "{same}"
    );

    let slower = with(&|report| {
        let figures = &mut report["cells"][0]["contenders"][0]["over_runs"]["p50_us"];
        let far = figures["max"].as_f64().unwrap() * 1000.0;
        for name in ["min", "median", "max"] {
            figures[name] = far.into();
        }
    });
    assert!(printed(&compare(&slower, &[]), 0).contains("worse"));
    let missed = compare(&slower, &["--fail-if-worse", "10%", "--json"]);
    let changes: Value = serde_json::from_str(&printed(&missed, 5)).unwrap();
    assert_eq!(changes["changes"][0]["verdict"], "worse");

    let elsewhere = with(&|report| report["provenance"]["machine"]["cores"] = 999.into());
    let refused = compare(&elsewhere, &[]);
    printed(&refused, 1);
    assert!(text(&refused.stderr).contains("its cores"));
    assert!(printed(&compare(&elsewhere, &["--force"]), 0).contains("differs: its cores"));
    let stranger = with(&|report| report["schema"] = "something/1".into());
    printed(&compare(&stranger, &[]), 2);
}
