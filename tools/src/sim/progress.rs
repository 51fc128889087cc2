//! A range of seeds that is gone on with where it was left.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::totals::Totals;

const SCHEMA: &str = "roundel.sim-progress/1";

/// Seeds after which what was done is put down.
const EVERY: u64 = 500;

/// How far a range of seeds was run, in a file.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    what: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    schema: String,
    /// The range and all else that decides what is run.
    what: String,
    next: u64,
    totals: Totals,
}

impl Progress {
    /// What was done so far of `what`, and the first seed that is to be run.
    ///
    /// # Errors
    /// When the file cannot be read, or is of something else.
    pub(super) fn open(
        path: &Path,
        seeds: &Range<u64>,
        options: &str,
    ) -> Result<(Self, u64, Totals), String> {
        let what = format!("{}..{} {options}", seeds.start, seeds.end);
        let progress = Self { path: path.to_owned(), what };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((progress, seeds.start, Totals::default()));
            }
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let saved: Saved = serde_json::from_slice(&text)
            .ok()
            .filter(|saved: &Saved| saved.schema == SCHEMA)
            .ok_or_else(|| {
                format!("{} is no progress of roundel sim; fix: another file", path.display())
            })?;
        if saved.what != progress.what {
            return Err(format!(
                "{} is of --seeds {}, not of --seeds {}; fix: the same options, or another file",
                path.display(),
                saved.what.trim_end(),
                progress.what.trim_end()
            ));
        }
        Ok((progress, saved.next, saved.totals))
    }

    /// Puts down what is done before seed `next`, now and then and at the end of the range.
    pub(super) fn note(&self, next: u64, end: u64, totals: &Totals) -> io::Result<()> {
        if !next.is_multiple_of(EVERY) && next != end {
            return Ok(());
        }
        let saved = Saved {
            schema: SCHEMA.to_owned(),
            what: self.what.clone(),
            next,
            totals: totals.clone(),
        };
        let directory = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        serde_json::to_writer(&mut file, &saved)?;
        file.flush()?;
        file.persist(&self.path)?;
        Ok(())
    }
}
