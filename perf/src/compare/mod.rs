//! `roundel-perf compare`: what changed between two matrices beyond noise.

mod verdict;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::exit::{Exit, fail};
use crate::figures::short;
use crate::matrix::document::{CellResult, Document, SCHEMA};
use crate::result;
use verdict::{Change, FLOOR, Verdict};

const EXAMPLES: &str = "\
Example, as root:
  roundel-perf matrix --output before
  ... a change ...
  roundel-perf matrix --output after
  roundel-perf compare before.json after.json

A figure has changed when the runs of the one, three or more, are all above or all below those of
the other and the medians differ by 3 % or more. Of some hundred figures one or two will, by chance.
Cells whose planned rates differ by as much stand apart.

Exit codes: 0 compared, whatever came of it; 2 a file that cannot be used.";

/// Compare two matrices: what changed beyond the spread of the runs.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What `matrix` wrote first.
    #[arg(value_name = "BEFORE.json")]
    before: PathBuf,
    /// What it wrote then.
    #[arg(value_name = "AFTER.json")]
    after: PathBuf,
    /// One JSON object for each cell, on a line.
    #[arg(long)]
    json: bool,
}

/// Compares the two and prints what it found.
pub(crate) fn run(args: &Args) -> Exit {
    let (before, after) = match (read(&args.before), read(&args.after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => return fail(Exit::Usage, &error),
    };
    let comparison = Comparison::of(&before, &after);
    let mut out = io::stdout().lock();
    let written = match args.json {
        true => comparison.write_json(&mut out),
        false => comparison.write_text(&mut out),
    };
    result::written(written, Exit::Ok)
}

fn read(file: &Path) -> Result<Document, String> {
    let name = file.display();
    let text = fs::read(file).map_err(|error| {
        format!("{name} cannot be read: {error}; fix: name a file that matrix wrote")
    })?;
    let not_ours = |why: String| {
        format!("{name} is not a {SCHEMA} document: {why}; fix: name the .json that matrix wrote")
    };
    let document: Document =
        serde_json::from_slice(&text).map_err(|error| not_ours(error.to_string()))?;
    match document.schema.as_str() {
        SCHEMA => Ok(document),
        other => Err(not_ours(format!("its schema is {other}"))),
    }
}

/// Two matrices side by side.
struct Comparison<'a> {
    /// What was not the same when they were measured.
    differs: Vec<String>,
    cells: Vec<(&'a str, Vec<Change>)>,
    /// Cells that cannot be compared, and why.
    apart: Vec<(&'a str, String)>,
}

impl<'a> Comparison<'a> {
    fn of(before: &'a Document, after: &'a Document) -> Self {
        let (mut cells, mut apart) = (Vec::new(), Vec::new());
        let find = |document: &'a Document, name: &str| -> Option<&'a CellResult> {
            document.cells.iter().find(|cell| cell.name == name)
        };
        for then in &before.cells {
            let name = then.name.as_str();
            let Some(now) = find(after, name) else {
                apart.push((name, "only in the first".to_owned()));
                continue;
            };
            let why = |cell: &CellResult| cell.validity.reason.clone().unwrap_or_default();
            let reason = match (then.validity.valid, now.validity.valid) {
                (true, true) => match verdict::unequal(then, now) {
                    Some(reason) => reason,
                    None => {
                        cells.push((name, verdict::changes(then, now)));
                        continue;
                    }
                },
                (true, false) => format!("not valid any more: {}", why(now)),
                (false, true) => format!("valid now; it was not: {}", why(then)),
                (false, false) => format!("valid in neither: {}", why(now)),
            };
            apart.push((name, reason));
        }
        let new = after.cells.iter().filter(|cell| find(before, &cell.name).is_none());
        apart.extend(new.map(|cell| (cell.name.as_str(), "only in the second".to_owned())));
        Self { differs: differences(before, after), cells, apart }
    }

    fn count(&self, verdict: Verdict) -> usize {
        let changes = self.cells.iter().flat_map(|(_, changes)| changes);
        changes.filter(|change| change.verdict == verdict && change.figure != FLOOR).count()
    }

    /// Cells of which the host itself did something else.
    fn other_floors(&self) -> Vec<&'a str> {
        let is_other = |change: &Change| change.figure == FLOOR && change.verdict != Verdict::Same;
        let cells = self.cells.iter().filter(|(_, changes)| changes.iter().any(is_other));
        cells.map(|(name, _)| *name).collect()
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let schema = "roundel.compare/1";
        let first = json!({"event": "environment", "schema": schema, "differs": self.differs});
        writeln!(out, "{first}")?;
        for (name, changes) in &self.cells {
            writeln!(out, "{}", json!({"event": "cell", "name": name, "changes": changes}))?;
        }
        for (name, reason) in &self.apart {
            writeln!(out, "{}", json!({"event": "apart", "name": name, "reason": reason}))?;
        }
        let [better, worse, same] =
            [Verdict::Better, Verdict::Worse, Verdict::Same].map(|verdict| self.count(verdict));
        let last = json!({
            "event": "summary", "better": better, "worse": worse, "same": same,
            "apart": self.apart.len(), "other_floors": self.other_floors().len(),
        });
        writeln!(out, "{last}")?;
        out.flush()
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for difference in &self.differs {
            writeln!(out, "not the same: {difference}")?;
        }
        for verdict in [Verdict::Worse, Verdict::Better] {
            for (name, change) in self.changes(verdict) {
                let Change { figure, before, after, change_percent, .. } = change;
                writeln!(
                    out,
                    "{:<6}  {name:<34} {figure:<15} {:>8} -> {:>8}  {change_percent:+.1} %",
                    format!("{verdict:?}").to_lowercase(),
                    short(before.median),
                    short(after.median)
                )?;
            }
        }
        for (name, reason) in &self.apart {
            writeln!(out, "apart   {name:<34} {reason}")?;
        }
        let floors = self.other_floors();
        if !floors.is_empty() {
            writeln!(
                out,
                "the floor changed as well, so the host was not the same: {}",
                floors.join(" ")
            )?;
        }
        let (better, worse) = (self.count(Verdict::Better), self.count(Verdict::Worse));
        let (same, apart) = (self.count(Verdict::Same), self.apart.len());
        writeln!(
            out,
            "{better} better, {worse} worse, {same} the same within noise, {apart} cells apart"
        )?;
        out.flush()
    }

    /// Of the ring, with the cells' names.
    fn changes(&self, verdict: Verdict) -> impl Iterator<Item = (&'a str, &Change)> {
        let all =
            self.cells.iter().flat_map(|(name, changes)| changes.iter().map(move |c| (*name, c)));
        all.filter(move |(_, change)| change.verdict == verdict && change.figure != FLOOR)
    }
}

/// What makes two matrices hard to compare.
fn differences(before: &Document, after: &Document) -> Vec<String> {
    let (then, now) = (&before.environment, &after.environment);
    let commit = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "unknown".to_owned());
    let pairs = [
        ("kernel", then.kernel.clone(), now.kernel.clone()),
        ("processor", then.cpu.clone(), now.cpu.clone()),
        ("cores", then.cores.to_string(), now.cores.to_string()),
        ("version", then.version.clone(), now.version.clone()),
        ("tree", commit(&then.tree_commit), commit(&now.tree_commit)),
        ("debug assertions", then.debug_assertions.to_string(), now.debug_assertions.to_string()),
        ("hosts", before.options.hosts.to_string(), after.options.hosts.to_string()),
        ("seconds", before.options.seconds.to_string(), after.options.seconds.to_string()),
        ("warmup", before.options.warmup.to_string(), after.options.warmup.to_string()),
        ("runs", before.options.runs.to_string(), after.options.runs.to_string()),
    ];
    let differing = pairs.into_iter().filter(|(_, then, now)| then != now);
    differing.map(|(what, then, now)| format!("{what}: {then} -> {now}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::document;

    fn text(comparison: &Comparison<'_>) -> String {
        let mut out = Vec::new();
        comparison.write_text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_matrix_is_the_same_as_itself() {
        let (before, after) = (document(), document());
        let comparison = Comparison::of(&before, &after);
        assert_eq!((comparison.count(Verdict::Better), comparison.count(Verdict::Worse)), (0, 0));
        assert!(comparison.count(Verdict::Same) > 100 && comparison.apart.is_empty());
    }

    #[test]
    fn what_earlier_programs_wrote_is_read() {
        let mut earlier = serde_json::to_value(document()).unwrap();
        earlier.as_object_mut().unwrap().remove("failover").unwrap();
        earlier["options"].as_object_mut().unwrap().remove("failover").unwrap();
        for cell in earlier["cells"].as_array_mut().unwrap() {
            cell.as_object_mut().unwrap().remove("latency_histogram");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("earlier.json");
        fs::write(&file, serde_json::to_vec(&earlier).unwrap()).unwrap();
        let (before, after) = (read(&file).unwrap(), document());
        assert!(Comparison::of(&before, &after).count(Verdict::Same) > 100);
    }

    #[test]
    fn changes_and_cells_apart_are_named() {
        let (before, mut after) = (document(), document());
        let gone = after.cells.pop().unwrap();
        after.cells[0].validity.valid = false;
        after.environment.debug_assertions ^= true;
        (after.environment.version, after.options.hosts) = ("9.9.9".to_owned(), 5);
        let throughput = &mut after.cells[1].figures.msgs_per_s;
        (throughput.min, throughput.median, throughput.max) = (1.0, 1.0, 1.0);
        after.environment.kernel = "other".to_owned();
        let comparison = Comparison::of(&before, &after);
        assert_eq!(comparison.count(Verdict::Worse), 1);
        let text = text(&comparison);
        for part in [
            "not the same: kernel",
            "not the same: version: ",
            "not the same: debug assertions: ",
            "not the same: hosts: 8 -> 5",
            "base                               not valid any more",
            "1 worse",
            &format!("{:<34} only in the first", gone.name),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn every_line_of_json_is_an_object_and_the_first_says_what_it_is() {
        let (before, after) = (document(), document());
        let mut out = Vec::new();
        Comparison::of(&before, &after).write_json(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["schema"], "roundel.compare/1");
        assert_eq!(lines[lines.len() - 1]["event"], "summary");
    }
}
