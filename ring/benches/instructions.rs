//! What the core's paths cost in instructions: the same on a busy machine as on an idle one, so
//! that a path which has become dearer shows.
//!
//! Each path runs in this program again under valgrind's callgrind, with N iterations and with
//! 2 N; the difference is N iterations without what prepares them.

#[path = "instructions/counting.rs"]
mod counting;
mod paths;
#[path = "instructions/table.rs"]
mod table;

use std::env::consts::ARCH;
use std::process::ExitCode;

use paths::Path;
use table::{Row, Table};

/// A path may cost so much more than is stored, in per cent. As much less is worth a word.
const CHANGE_MAX: f64 = 15.0;

const STORE: &str = "cargo bench -p roundel-ring --bench instructions -- --store";

const USAGE: &str = "cargo bench -p roundel-ring --bench instructions [-- [--check | --store] \
                     [PART OF A PATH'S NAME]...]";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Without valgrind, as `cargo test --benches` asks for: every path runs.
    Try,
    Show,
    Check,
    Store,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [counted, name, iterations] if counted == counting::COUNTED => {
            counting::work(name, iterations)
        }
        _ => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("instructions: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    // Cargo passes `--bench` from `cargo bench` alone.
    let mut mode = Mode::Try;
    let mut filters = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--bench" if mode == Mode::Try => mode = Mode::Show,
            "--bench" => {}
            "--check" => mode = Mode::Check,
            "--store" => mode = Mode::Store,
            option if option.starts_with('-') => {
                return Err(format!("`{option}` is no option\n    fix: {USAGE}"));
            }
            filter => filters.push(filter),
        }
    }
    let named = |path: &Path| {
        let name = name(path);
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
    };
    let chosen: Vec<Path> = paths::ALL.into_iter().filter(named).collect();
    match mode {
        Mode::Try => {
            for path in &chosen {
                (path.prepare)()(100);
                println!("{}: ok", name(path));
            }
            Ok(())
        }
        Mode::Check | Mode::Store if chosen.is_empty() => {
            Err(format!("no path's name contains {filters:?}\n    fix: {USAGE}"))
        }
        Mode::Show | Mode::Check | Mode::Store => count(mode, &chosen),
    }
}

/// Counts, shows, and does with the figures what was asked for.
fn count(mode: Mode, chosen: &[Path]) -> Result<(), String> {
    let Some(counted_with) = counting::tools() else {
        println!(
            "instructions: skipped, {} paths are not counted: valgrind is not installed\n    \
             fix: apt-get install valgrind",
            chosen.len()
        );
        return Ok(());
    };
    let stored = Table::read()?;
    println!("{:>12} {:>12} {:>9}  path", "instructions", "stored", "change");
    let mut counted = Table { counted_with, ..Table::default() };
    for path in chosen {
        let (name, instructions) = (name(path), counting::instructions(path)?);
        println!("{}", stored.row(&name, instructions));
        counted.counts.insert(name, instructions);
    }
    match mode {
        Mode::Store => stored.update(counted, is_path).write(),
        Mode::Check => judge(&counted, &stored),
        Mode::Try | Mode::Show => {
            judge(&counted, &stored).unwrap_or_else(|message| println!("{message}"));
            Ok(())
        }
    }
}

/// Says which paths have become cheaper; an error when one is dearer, or not stored.
fn judge(counted: &Table, stored: &Table) -> Result<(), String> {
    if !stored.counted_with.ends_with(ARCH) && !stored.counts.is_empty() {
        println!("not compared: stored with {}, this is {ARCH}", stored.counted_with);
        return Ok(());
    }
    let rows: Vec<Row<'_>> =
        counted.counts.iter().map(|(name, count)| stored.row(name, *count)).collect();
    let lines = |are: &dyn Fn(&Row<'_>) -> bool| -> String {
        rows.iter().filter(|row| are(row)).map(|row| format!("\n{row}")).collect()
    };
    let note = other_tools(counted, stored);
    let cheaper = lines(&|row| row.change().is_some_and(|change| change < -CHANGE_MAX));
    if !cheaper.is_empty() {
        println!(
            "more than {CHANGE_MAX} % cheaper than stored:{cheaper}{note}\n    \
             fix: none needed; store the new figures to keep the gain: {STORE}"
        );
    }
    let dearer = lines(&|row| row.change().is_some_and(|change| change > CHANGE_MAX));
    if !dearer.is_empty() {
        return Err(format!(
            "more than {CHANGE_MAX} % dearer than stored:{dearer}{note}\n    \
             fix: make it cheaper, or store the new figures with a reason in the commit: {STORE}"
        ));
    }
    let new = lines(&|row| row.stored.is_none());
    if !new.is_empty() {
        return Err(format!("no figure is stored:{new}\n    fix: {STORE}"));
    }
    let gone = stored.counts.keys().find(|name| !is_path(name));
    gone.map_or(Ok(()), |name| Err(format!("`{name}` is stored and no path\n    fix: {STORE}")))
}

/// What else than the code may have changed the figures.
fn other_tools(counted: &Table, stored: &Table) -> String {
    if counted.counted_with == stored.counted_with {
        return String::new();
    }
    format!(
        "\n    stored with {}, counted with {}: that alone makes a difference, mostly a small one",
        stored.counted_with, counted.counted_with
    )
}

fn is_path(of: &str) -> bool {
    paths::ALL.iter().any(|path| name(path) == of)
}

fn name(path: &Path) -> String {
    format!("{}/{}", path.group, path.name)
}
