//! Measures everything that docs/performance.md says, and writes it there.
//!
//! `cargo bench --bench report` runs the other benchmarks, keeps what they print in docs/performance/,
//! draws the plots beside it, and rewrites the marked sections of the page. `--only NAME` measures one
//! group and takes the others from what was kept,
//! `--rounds N` takes no more rounds than that, `--render` measures nothing, `--peers` also runs what
//! one would use instead, and `--smoke` does all of it in seconds and in a temporary folder.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

pub(crate) mod figures;
pub(crate) mod groups;
pub(crate) mod model;
pub(crate) mod page;
pub(crate) mod plot;
mod provenance;
mod run;
pub(crate) mod sections;
mod tables;
pub(crate) mod targets;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::groups::{Effort, GROUPS};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let only = arguments.iter().position(|argument| argument == "--only");
    let only = only.map(|at| arguments.get(at + 1).map_or("", String::as_str));
    if let Some(name) = only
        && !GROUPS.iter().any(|group| group.name == name)
    {
        let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        eprintln!("no group {name:?}: there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    let wanted = |name: &str| match only {
        Some(only) => only == name,
        None => !has("--render") && (name != "peers" || has("--peers")),
    };
    let rounds = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = rounds.and_then(|at| arguments.get(at + 1)?.parse().ok());
    let effort = Effort {
        smoke: has("--smoke"),
        rounds: rounds.unwrap_or(u32::MAX),
    };
    match report(effort, wanted) {
        Ok(page) => {
            println!("wrote {}", page.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(effort: Effort, wanted: impl Fn(&str) -> bool) -> io::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = match effort.smoke {
        true => scratch(root)?,
        false => root.to_owned(),
    };
    let docs = place.join("docs");
    let kept = docs.join("performance");
    fs::create_dir_all(&kept)?;
    for group in GROUPS.iter().filter(|group| wanted(group.name)) {
        let workloads = group.workloads().len();
        println!("{}: {}, {workloads} workloads", group.name, group.about);
        let text = groups::measure(root, group, effort)?;
        fs::write(kept.join(format!("{}.jsonl", group.name)), text)?;
    }
    let measured = figures::Measured::read(&kept, GROUPS.iter().map(|group| group.name))?;
    for (name, svg) in page::plots(&measured) {
        fs::write(kept.join(name), svg)?;
    }
    let page = docs.join("performance.md");
    let mut text = fs::read_to_string(&page)?;
    for (name, body) in page::sections(&measured) {
        text = sections::replace(&text, name, &body).map_err(io::Error::other)?;
    }
    fs::write(&page, text)?;
    let readme = place.join("README.md");
    let text = fs::read_to_string(&readme)?;
    let text = sections::replace(&text, "headline", &page::headline(&measured));
    fs::write(readme, text.map_err(io::Error::other)?)?;
    Ok(page)
}

/// Copies of the pages alone, where a trial can do no harm.
fn scratch(root: &Path) -> io::Result<PathBuf> {
    let copy = env::temp_dir().join(format!("farfire-report-{}", std::process::id()));
    fs::create_dir_all(copy.join("docs"))?;
    for page in ["docs/performance.md", "README.md"] {
        fs::copy(root.join(page), copy.join(page))?;
    }
    Ok(copy)
}
