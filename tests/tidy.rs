//! The rules of the source that no compiler checks: who may name whom, and how long a file gets.

use std::{collections::BTreeSet, fs, path::Path};

/// Every module, lowest first: its code may name the modules before it in this list, and these crates.
const MODULES: &[(&str, &str)] = &[
    // Vocabulary.
    ("config", "thiserror"),
    ("values", "mint serde thiserror"),
    ("codec", "bincode serde thiserror"),
    ("shape", "serde thiserror"),
    ("remote", "serde thiserror"),
    // Bytes.
    ("wire", "bytes thiserror"),
    // Meaning.
    ("handler", "tracing"),
    ("nesting", ""),
    ("session", "bytes thiserror tracing"),
    ("registry", "arc_swap thiserror tracing"),
    ("inbox", ""),
    // Plumbing.
    (
        "tls",
        "arc_swap fd_lock if_addrs quinn rcgen rustls serde thiserror time toml tracing webpki_roots",
    ),
    ("lan", "if_addrs mdns_sd subtle thiserror tokio"),
    ("clock", "tokio"),
    ("conditioner", "quinn thiserror tokio tracing"),
    (
        "network",
        "futures_util quinn quinn_proto socket2 tokio tracing",
    ),
    ("blocking", "thiserror tokio"),
    ("testing", "quinn tokio"),
    ("link", "bytes futures_util quinn thiserror tokio tracing"),
    ("fire", "thiserror tracing"),
    ("invocation", "bytes tokio tracing"),
    // The front door.
    ("player", "serde"),
    ("echo", "bytes tracing"),
    ("server", "bytes futures_util thiserror tokio tracing"),
    ("client", "bytes futures_util thiserror tokio tracing"),
    // Beside them.
    ("fuzzing", "bytes serde"),
    ("measuring", "bytes"),
];

/// What a file names against the list, and why it may. One that is no longer needed fails the test.
const EXCEPTIONS: &[&str] = &[
    "inbox.rs tokio: waits with `Notify` and `oneshot`, which need no runtime",
    "network/mod.rs testing: a network of tests has no threads of its own",
    "player.rs server: a handler reaches the server through its player",
    "server/mod.rs quinn: holds and closes the endpoint",
    "server/accept.rs quinn: accepts connections",
    "server/join.rs quinn: speaks the hello, before there is a link",
    "client/connect.rs quinn: connects and speaks the hello, before there is a link",
    "client/race.rs quinn: shakes hands with each address",
];

/// Files that may be longer than the others, and why.
const LONG: &[&str] = &[];

#[test]
fn modules_name_only_what_is_below_them() {
    let crates = MODULES
        .iter()
        .flat_map(|(_, names)| names.split_whitespace());
    let crates: BTreeSet<&str> = crates.collect();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (file, code) in sources() {
        let module = file.split(['/', '.']).next().unwrap();
        let Some(floor) = MODULES.iter().position(|(name, _)| *name == module) else {
            assert_eq!(file, "lib.rs", "{file} is on no floor: add it to MODULES");
            continue;
        };
        let below = MODULES[..=floor].iter().map(|(name, _)| *name);
        let allowed: Vec<_> = below.chain(MODULES[floor].1.split_whitespace()).collect();
        let mut named = modules_in(&code);
        named.extend(crates.iter().filter(|name| is_used(name, &code)).copied());
        named.retain(|name| !allowed.contains(name));
        for name in named {
            let arrow = format!("{file} {name}: ");
            match EXCEPTIONS.iter().find(|line| line.starts_with(&arrow)) {
                Some(exception) => _ = used.insert(*exception),
                None => wrong.push(format!("{file} names {name}")),
            }
        }
    }
    assert!(wrong.is_empty(), "these arrows point up: {wrong:#?}");
    let unused = EXCEPTIONS.iter().filter(|line| !used.contains(*line));
    assert_eq!(unused.collect::<Vec<_>>(), [&""; 0], "no longer needed");
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    for (file, text) in files() {
        let is_excused = LONG
            .iter()
            .any(|line| line.starts_with(&format!("{file}: ")));
        let lines = text.lines().count();
        assert!(lines <= 600 || is_excused, "{file} has {lines} lines");
        let says = is_test(&file) || text.starts_with("//! ");
        assert!(says, "{file} does not say what it is for");
    }
}

#[test]
fn nothing_is_unwrapped_or_left_to_do() {
    for (file, code) in sources() {
        for word in [".unwrap()", "todo!", "unimplemented!", "dbg!"] {
            assert!(!code.contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn documents_agree_with_the_source() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let manifest = read("Cargo.toml");
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let repeats = read(document).contains(version);
        assert!(!repeats, "{document} repeats rust-version");
    }
    let map = read("ARCHITECTURE.md");
    for (module, _) in MODULES {
        let shown = map.contains(&format!("`{module}`"));
        assert!(shown, "ARCHITECTURE.md does not show `{module}`");
    }
    let (_, floors) = map.split_once("| floor |").unwrap();
    let (floors, _) = floors.split_once("\n\n").unwrap();
    for (module, crates) in MODULES {
        let mut rows = floors.lines();
        let row = rows.find(|row| row.contains(&format!("`{module}`")));
        let row = row.unwrap_or_else(|| panic!("`{module}` is on no floor of ARCHITECTURE.md"));
        for name in crates.split_whitespace() {
            let shown = row.contains(&name.replace('_', "-"));
            assert!(
                shown,
                "its floor of ARCHITECTURE.md lacks {name} for `{module}`"
            );
        }
    }
}

#[test]
fn every_number_that_is_cited_has_its_line() {
    let document = fs::read_to_string(root().join("docs/remotes.md")).unwrap();
    let lines = document.lines().filter_map(|line| line.strip_prefix("| "));
    let lines = lines.filter_map(|line| line.split(" |").next());
    let lines: Vec<_> = lines.filter(|first| *first != "number").collect();
    let listed: BTreeSet<_> = lines.iter().map(|number| number.to_string()).collect();
    assert_eq!(listed.len(), lines.len(), "a number has two lines");
    let mut missing = Vec::new();
    for folder in ["src", "tests", "examples", "benches", "crates"] {
        for (file, text) in files_in(folder) {
            let comments = text.lines().filter_map(|line| line.split_once("//"));
            let comments: Vec<_> = comments.map(|(_, comment)| comment).collect();
            let mut cited = cited_in(&comments.join(" "));
            cited.retain(|number| !listed.contains(number));
            missing.extend(
                cited
                    .iter()
                    .map(|number| format!("{folder}/{file}: {number}")),
            );
        }
    }
    assert!(missing.is_empty(), "not in docs/remotes.md: {missing:#?}");
}

/// `lib` stands for the tests below `src`, [`LISTED`] for those of the program's that are a list, any other first name for a file or folder of `tests`.
#[test]
fn every_threat_names_a_test_that_exists() {
    let document = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut rows = 0;
    for table in document.split("| threat |").skip(1) {
        let lines = table.lines().skip(2);
        for row in lines.take_while(|line| line.starts_with('|')) {
            let code = row.split('`').skip(1).step_by(2);
            let tests: Vec<_> = code.filter(|name| name.split("::").count() > 2).collect();
            assert!(!tests.is_empty(), "nothing proves {row}");
            for test in tests {
                assert!(is_a_test(test), "{test} does not exist");
            }
            rows += 1;
        }
    }
    assert!(rows > 40, "{rows} threats");
    assert!(!is_a_test("lib::config::tests::check"));
    assert!(!is_a_test("it::smoke::anything"));
    assert!(!is_a_test("lan_namespaces::promises::run"));
}

/// A binary with a harness of its own, whose tests have no attribute.
const LISTED: &str = "lan_namespaces";

fn is_a_test(path: &str) -> bool {
    let (folder, path) = match path.split_once("::") {
        Some(("lib", path)) => ("src".to_owned(), path),
        Some((LISTED, path)) => (format!("crates/farfire-cli/tests/{LISTED}"), path),
        Some((binary, path)) => (format!("tests/{binary}"), path),
        None => return false,
    };
    let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
    // `a::tests` may be a file of that name, or be in the file of `a`.
    let inline = module.strip_suffix("::tests").unwrap_or(module);
    let files = [module, inline].map(|module| module.replace("::", "/"));
    let files = files
        .iter()
        .flat_map(|file| [format!("{file}.rs"), format!("{file}/mod.rs")]);
    files.into_iter().any(|file| {
        let text = fs::read_to_string(root().join(&folder).join(file)).unwrap_or_default();
        if folder.ends_with(LISTED) && text.contains(&format!("fn {name}()")) {
            return text.contains(&format!("\"{name}\","));
        }
        let found = text.find(&format!("fn {name}(")).map(|at| &text[..at]);
        // Its attribute is the last thing before it that ends a block.
        let before = found.and_then(|before| before.rsplit("}\n").next());
        before.is_some_and(|text| text.contains("#[test]") || text.contains("#[tokio::test"))
    })
}

#[test]
fn citations_are_found() {
    let cited = cited_in(
        "Design 2.1, 6: 64 KiB, R30-R32 (H5), D1. Not R, RFC9000, U+D800, 0xR1 or a design.",
    );
    let expected = ["D1", "Design 2.1", "Design 6", "H5", "R30", "R31", "R32"];
    assert_eq!(cited.iter().collect::<Vec<_>>(), expected);
}

/// The numbers that a comment cites: `R1`, `H2`, `D3`, and after "design" also `4` and `5.6`; of a
/// range such as `R30-R36` all.
fn cited_in(comment: &str) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    let (mut of_design, mut last) = (false, None);
    for word in comment.split(|c: char| c.is_whitespace() || ",;()[]`/".contains(c)) {
        let (ends, word) = (word.ends_with(':'), word.trim_end_matches(['.', ':', '?']));
        if word.is_empty() || word == "and" {
            continue;
        }
        if word.eq_ignore_ascii_case("design") {
            of_design = true;
            continue;
        }
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if of_design && word.split('.').all(is_number) {
            cited.insert(format!("Design {word}"));
            of_design = !ends;
            continue;
        }
        of_design = false;
        for (at, part) in word.split('-').enumerate() {
            let Some(number) = part.strip_prefix(['R', 'D', 'H']).filter(|n| is_number(n)) else {
                break;
            };
            let number: u32 = number.parse().expect("a short number");
            let first = last.filter(|_| at > 0).unwrap_or(number);
            let kind = &part[..1];
            cited.extend((first..=number).map(|number| format!("{kind}{number}")));
            last = Some(number);
        }
    }
    cited
}

/// The code of each file below `src/`: without comments, and without tests.
fn sources() -> impl Iterator<Item = (String, String)> {
    let sources = files().into_iter().filter(|(file, _)| !is_test(file));
    sources.map(|(file, text)| {
        let end = text.rfind("mod tests {").unwrap_or(text.len());
        let lines = text[..end].lines();
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        (file, code.collect::<Vec<_>>().join("\n"))
    })
}

/// The names behind `crate::`, of which `use crate::{a::b, c}` has several.
fn modules_in(code: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let path = &code[at + prefix.len()..];
        let (mut depth, mut begins) = (0, true);
        for (at, c) in path.char_indices() {
            match c {
                '{' => (depth, begins) = (depth + 1, depth == 0),
                '}' => depth -= 1,
                ',' => begins = depth == 1,
                c if c.is_whitespace() => {}
                _ if begins => {
                    names.extend(path[at..].split(|c: char| !is_ident(c)).next());
                    begins = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

/// Whether the crate `name` begins a path.
fn is_used(name: &str, code: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &code[..at];
        let begins = !before.ends_with(|c| is_ident(c) || c == ':');
        // In `use std::{time::..}` it is not the crate of that name.
        begins && (name != "time" || before.ends_with("use "))
    })
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/")
}

/// All files below `src/`, by their paths in it.
fn files() -> Vec<(String, String)> {
    files_in("src")
}

/// All Rust files below a folder of the repository, by their paths in it.
fn files_in(folder: &str) -> Vec<(String, String)> {
    let source = root().join(folder);
    let (mut folders, mut files) = (vec![source.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let file = path.strip_prefix(&source).expect("it is below the folder");
            let file = file.to_string_lossy().replace('\\', "/");
            files.push((file, fs::read_to_string(path).expect("it is text")));
        }
    }
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
