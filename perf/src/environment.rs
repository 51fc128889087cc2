//! On what a measurement was made: what has to be equal for two to compare.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The machine and the program.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(crate) struct Environment {
    /// Seconds since 1970.
    pub(crate) unix_time: u64,
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    /// Of processes that wait for a processor, over the minute before.
    pub(crate) load_average: f64,
    pub(crate) version: String,
    /// Of the tree that the program was built in, as it is when it measures and not when it was
    /// built, if it is still there: with `-dirty` when files differ from it.
    #[serde(alias = "commit", skip_serializing_if = "Option::is_none")]
    pub(crate) tree_commit: Option<String>,
    /// Assertions on or optimisations off make figures that count for nothing.
    pub(crate) debug_assertions: bool,
}

impl Environment {
    /// This machine and this program's tree, now.
    pub(crate) fn here() -> Self {
        Self { tree_commit: tree_commit(), ..Self::of_member() }
    }

    /// The same without the tree: for members, of which several end at once and should not keep
    /// the processors of the others busy with it.
    pub(crate) fn of_member() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into());
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        Self {
            unix_time: since_1970.as_secs(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
            load_average: load.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tree_commit: None,
            debug_assertions: cfg!(debug_assertions),
        }
    }

    /// When it was, for people.
    pub(crate) fn utc(&self) -> String {
        let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(self.unix_time);
        humantime::format_rfc3339_seconds(at).to_string()
    }
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| key.trim() == name);
    values.next().map(|(_, value)| value.trim().to_owned())
}

fn tree_commit() -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(["describe", "--always", "--dirty", "--exclude", "*"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!commit.is_empty()).then_some(commit)
}

/// Processor time of the whole machine, in ticks since its start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Until now.
    pub(crate) fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// From the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal;
    /// the guests' time that follows is part of user and nice.
    fn parse(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let numbers = line.split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = numbers.map(|number| number.parse().unwrap_or(0)).collect();
        Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) }
    }

    /// What the machine's own host took of it since `earlier`, in percent.
    pub(crate) fn steal_percent_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 * 100.0 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let here = Environment::here();
        assert!(!here.kernel.is_empty() && here.cores > 0 && here.memory_mib > 0, "{here:?}");
    }

    #[test]
    fn steal_is_a_part_of_all_time() {
        let before = Ticks::parse("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 1");
        assert_eq!(before, Ticks { all: 100, stolen: 10 });
        let after = Ticks::parse("cpu  60 0 60 120 0 0 0 60 50 5\n");
        assert!((after.steal_percent_since(before) - 25.0).abs() < 1e-9);
    }
}
