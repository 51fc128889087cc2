//! The figures: counted ones, and those that are stored in the tree.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;

/// Committed. The first line says what counted the others, which are sorted: path, tab, count.
const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) counted_with: String,
    /// By path.
    pub(crate) counts: BTreeMap<String, u64>,
}

/// One path's figures.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) instructions: u64,
    pub(crate) stored: Option<u64>,
}

impl Table {
    /// The stored one; empty when there is none.
    pub(crate) fn read() -> Result<Self, String> {
        match fs::read_to_string(STORED) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{STORED}: {error}")),
        }
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        let mut text = format!("# {}\n", self.counted_with);
        for (name, count) in &self.counts {
            // To a string: cannot fail.
            let _ = writeln!(text, "{name}\t{count}");
        }
        fs::write(STORED, text).map_err(|error| format!("{STORED}: {error}"))?;
        println!("stored in {STORED}");
        Ok(())
    }

    /// With what was counted just now, and without what is no path any more.
    pub(crate) fn update(mut self, counted: Self, is_path: fn(&str) -> bool) -> Self {
        self.counts.extend(counted.counts);
        self.counts.retain(|name, _| is_path(name));
        Self { counted_with: counted.counted_with, ..self }
    }

    pub(crate) fn row<'a>(&self, name: &'a str, instructions: u64) -> Row<'a> {
        Row { name, instructions, stored: self.counts.get(name).copied() }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let counted_with = lines.next().and_then(|line| line.strip_prefix("# "));
        let count = |line: &str| {
            let (name, count) = line.split_once('\t')?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        let counts: Option<_> = lines.map(count).collect();
        match (counted_with, counts) {
            (Some(counted_with), Some(counts)) => {
                Ok(Self { counted_with: counted_with.to_owned(), counts })
            }
            _ => Err(format!(
                "{STORED} is not `# what counted it` and lines of path, tab, count\n    \
                 fix: git restore it, or remove it and store it anew with --store"
            )),
        }
    }
}

impl Row<'_> {
    /// Against what is stored, in per cent.
    pub(crate) fn change(&self) -> Option<f64> {
        self.stored.map(|stored| 100.0 * (self.instructions as f64 / stored as f64 - 1.0))
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, instructions, stored } = self;
        let stored = stored.map_or("none".to_owned(), |stored| stored.to_string());
        let change = self.change().map_or(String::new(), |change| format!("{change:+.1} %"));
        write!(f, "{instructions:>12} {stored:>12} {change:>9}  {name}")
    }
}
