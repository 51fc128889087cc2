//! One path's instructions: this program under callgrind, twice.

use std::process::{Command, Output};

use crate::name;
use crate::paths::{self, Path};

/// The first argument of a run that is counted; the path's name and its iterations follow.
pub(crate) const COUNTED: &str = "--counted";

/// What counts and what is counted with: the figures are theirs. `None` without valgrind.
pub(crate) fn tools() -> Option<String> {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let valgrind = version("valgrind")?;
    let rustc = version("rustc").unwrap_or_else(|| "rustc unknown".to_owned());
    Some(format!("{rustc}, {valgrind}, {}", std::env::consts::ARCH))
}

/// Instructions of one iteration: of twice as many iterations less those of once as many.
pub(crate) fn instructions(path: &Path) -> Result<u64, String> {
    let (once, twice) = (collected(path, 1)?, collected(path, 2)?);
    let iterations = path.iterations;
    let difference = twice.checked_sub(once).ok_or_else(|| {
        format!("{}: {twice} instructions for twice the work, {once} for once", name(path))
    })?;
    Ok((difference + iterations / 2) / iterations)
}

/// The run that is counted.
pub(crate) fn work(name_of_path: &str, iterations: &str) -> Result<(), String> {
    let is_named = |path: &Path| name(path) == name_of_path;
    let path = paths::ALL.into_iter().find(is_named);
    let path = path.ok_or_else(|| format!("there is no path `{name_of_path}`"))?;
    let iterations = iterations.parse().map_err(|_| format!("`{iterations}` is no number"))?;
    (path.prepare)()(iterations);
    Ok(())
}

fn collected(path: &Path, times: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"])
        .arg(program)
        .args([COUNTED, &name(path), &(times * path.iterations).to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let Output { status, stderr, .. } = output;
    let said = String::from_utf8_lossy(&stderr);
    let total = said.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected")?;
        count.trim_start_matches([' ', ':']).trim().parse().ok()
    });
    total.filter(|_| status.success()).ok_or_else(|| {
        format!(
            "valgrind did not count `{}` ({status}); it said:\n{said}    fix: try another version \
             of valgrind; this one may not know the processor's instructions",
            name(path)
        )
    })
}
