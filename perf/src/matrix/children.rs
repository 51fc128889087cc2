//! One run: a process of this program on each host, and what their results say together.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use roundel::lan::Lan;
use serde::Deserialize;
use tempfile::TempDir;

use super::document::{FloorRun, Options, Run};
use super::environment::Ticks;
use super::plan::Cell;
use crate::exit::Stop;
use crate::figures::Percentiles;

/// What a child may take beyond the planned time: its own bounds are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the children.
const PAUSE: Duration = Duration::from_millis(5);

/// Starts runs.
pub(crate) struct Runner {
    lan: Lan,
    program: PathBuf,
    states: TempDir,
    options: Options,
    interrupted: Arc<AtomicBool>,
    /// Of the links, now.
    mtu: u32,
    loss_per_mille: u32,
}

/// The result of one member of a load, as far as it is looked at.
#[derive(Deserialize, Debug)]
struct LoadResult {
    delivered_msgs: u64,
    msgs_per_s: f64,
    payload_mbit_per_s: f64,
    latency_us: Percentiles,
    lateness_us: Option<Percentiles>,
    rotation_us: Percentiles,
    cpu_us_per_msg: f64,
    retransmits: u64,
    socket_drops: u64,
    order_digest: String,
    valid: bool,
    reason: Option<String>,
}

/// The same of a floor.
#[derive(Deserialize, Debug)]
struct FloorResult {
    msgs_per_s: f64,
    packets_per_s: f64,
    rotation_us: Percentiles,
    cpu_us_per_msg: f64,
    lost: u64,
    valid: bool,
    reason: Option<String>,
}

impl Runner {
    /// A runner on hosts of its own.
    pub(crate) fn new(options: &Options, interrupted: Arc<AtomicBool>) -> Result<Self, Stop> {
        Ok(Self {
            lan: Lan::new(options.hosts.into())?,
            program: std::env::current_exe()?,
            states: tempfile::tempdir()?,
            options: options.clone(),
            interrupted,
            mtu: 0,
            loss_per_mille: 0,
        })
    }

    /// Makes the network what a cell wants.
    pub(crate) fn prepare(&mut self, cell: &Cell) -> Result<(), Stop> {
        if cell.mtu != self.mtu {
            self.lan.set_mtu(cell.mtu)?;
            self.mtu = cell.mtu;
        }
        if cell.loss_per_mille != self.loss_per_mille {
            self.lan.lose(cell.loss_per_mille)?;
            self.loss_per_mille = cell.loss_per_mille;
        }
        Ok(())
    }

    /// Runs the load of a cell once.
    pub(crate) fn load(&self, cell: &Cell, rate: Option<u64>) -> Result<Run, Stop> {
        let rate = rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string());
        let before = Ticks::now();
        let results: Vec<LoadResult> = self.run(cell, |command| {
            command.args(["load", "--rate", &rate, "--service", &cell.service]);
            command.arg("--state-dir").arg(self.states.path());
        })?;
        let steal_percent = Ticks::now().steal_percent_since(before);
        Ok(Run { steal_percent, ..load_of(&results) })
    }

    /// Runs the floor of a cell once.
    pub(crate) fn floor(&self, cell: &Cell) -> Result<FloorRun, Stop> {
        let before = Ticks::now();
        let results: Vec<FloorResult> = self.run(cell, |command| {
            command.arg("floor");
        })?;
        let steal_percent = Ticks::now().steal_percent_since(before);
        Ok(FloorRun { steal_percent, ..floor_of(&results) })
    }

    fn run<R: for<'de> Deserialize<'de>>(
        &self,
        cell: &Cell,
        what: impl Fn(&mut Command),
    ) -> Result<Vec<R>, Stop> {
        let mut children = Children(Vec::new());
        for host in (1..).take(cell.members.into()) {
            let mut command = self.lan.command(host, &self.program);
            // What is set for this command is not meant for its children.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("ROUNDEL_") {
                    command.env_remove(name);
                }
            }
            what(&mut command);
            self.add_options(&mut command, cell);
            children.0.push(command.spawn()?);
        }
        let planned = Duration::from_secs_f64(self.options.seconds + self.options.warmup);
        children.wait(&self.interrupted, planned + PATIENCE)?;
        children.results()
    }

    fn add_options(&self, command: &mut Command, cell: &Cell) {
        let Cell { members, size, mtu, io, socket, idle, senders, .. } = cell;
        let Options { seconds, warmup, .. } = self.options;
        let options = [
            ("--members", members.to_string()),
            ("--size", size.to_string()),
            ("--mtu", mtu.to_string()),
            ("--io", io.clone()),
            ("--socket", socket.clone()),
            ("--idle", idle.clone()),
            ("--senders", senders.clone()),
            ("--seconds", seconds.to_string()),
            ("--warmup", warmup.to_string()),
            ("--interface", "eth0".to_owned()),
        ];
        for (name, value) in options {
            command.arg(name).arg(value);
        }
        command.arg("--json").current_dir(Path::new("/"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
}

/// Processes that end with this value at the latest.
struct Children(Vec<Child>);

impl Children {
    fn wait(&mut self, interrupted: &AtomicBool, patience: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + patience;
        while self.0.iter_mut().any(|child| matches!(child.try_wait(), Ok(None))) {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(Stop::Failed("a member did not end in time".to_owned()));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn results<R: for<'de> Deserialize<'de>>(mut self) -> Result<Vec<R>, Stop> {
        let mut results = Vec::new();
        for child in std::mem::take(&mut self.0) {
            let output = child.wait_with_output()?;
            let result = serde_json::from_slice(&output.stdout).map_err(|_| {
                let told = String::from_utf8_lossy(&output.stderr);
                Stop::Failed(format!("a member gave no result: {}", told.trim()))
            })?;
            results.push(result);
        }
        Ok(results)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The greatest of each percentile: that of the member that fared worst.
fn worst<'a>(all: impl Iterator<Item = &'a Percentiles>) -> Percentiles {
    all.fold(Percentiles::default(), |worst, one| Percentiles {
        p50: worst.p50.max(one.p50),
        p90: worst.p90.max(one.p90),
        p99: worst.p99.max(one.p99),
        p999: worst.p999.max(one.p999),
        max: worst.max.max(one.max),
    })
}

fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.reduce(f64::min).unwrap_or(0.0)
}

fn load_of(results: &[LoadResult]) -> Run {
    let refused = results.iter().find(|result| !result.valid);
    let reason = refused.map(|result| result.reason.clone().unwrap_or_default());
    let order = |result: &LoadResult| (result.order_digest.clone(), result.delivered_msgs);
    let orders_differ = results.windows(2).any(|two| order(&two[0]) != order(&two[1]));
    let reason = reason.or_else(|| {
        orders_differ.then(|| "the members delivered different orders: a defect".to_owned())
    });
    Run {
        msgs_per_s: least(results.iter().map(|result| result.msgs_per_s)),
        payload_mbit_per_s: least(results.iter().map(|result| result.payload_mbit_per_s)),
        latency_us: worst(results.iter().map(|result| &result.latency_us)),
        lateness_us: worst(results.iter().filter_map(|result| result.lateness_us.as_ref())),
        rotation_us: worst(results.iter().map(|result| &result.rotation_us)),
        cpu_us_per_msg: results.iter().map(|result| result.cpu_us_per_msg).sum(),
        retransmits: results.iter().map(|result| result.retransmits).sum(),
        socket_drops: results.iter().map(|result| result.socket_drops).sum(),
        steal_percent: 0.0,
        valid: reason.is_none(),
        reason,
    }
}

fn floor_of(results: &[FloorResult]) -> FloorRun {
    let refused = results.iter().find(|result| !result.valid);
    let reason = refused.map(|result| result.reason.clone().unwrap_or_default());
    FloorRun {
        msgs_per_s: least(results.iter().map(|result| result.msgs_per_s)),
        packets_per_s: least(results.iter().map(|result| result.packets_per_s)),
        rotation_us: worst(results.iter().map(|result| &result.rotation_us)),
        cpu_us_per_msg: results.iter().map(|result| result.cpu_us_per_msg).sum(),
        lost: results.iter().map(|result| result.lost).sum(),
        steal_percent: 0.0,
        valid: reason.is_none(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(msgs_per_s: f64, p99: f64, digest: &str) -> LoadResult {
        LoadResult {
            delivered_msgs: 100,
            msgs_per_s,
            payload_mbit_per_s: 1.0,
            latency_us: Percentiles { p99, ..Percentiles::default() },
            lateness_us: None,
            rotation_us: Percentiles::default(),
            cpu_us_per_msg: 0.5,
            retransmits: 1,
            socket_drops: 2,
            order_digest: digest.to_owned(),
            valid: true,
            reason: None,
        }
    }

    #[test]
    fn members_together_are_as_good_as_the_worst() {
        let run = load_of(&[member(10.0, 7.0, "a"), member(9.0, 8.0, "a")]);
        assert!(run.valid);
        assert_eq!((run.msgs_per_s, run.latency_us.p99), (9.0, 8.0));
        assert_eq!((run.cpu_us_per_msg, run.retransmits, run.socket_drops), (1.0, 2, 4));
    }

    #[test]
    fn different_orders_count_for_nothing() {
        let run = load_of(&[member(10.0, 7.0, "a"), member(10.0, 7.0, "b")]);
        assert!(!run.valid && run.reason.is_some_and(|why| why.contains("different orders")));
        let lost =
            LoadResult { valid: false, reason: Some("lost".to_owned()), ..member(1.0, 1.0, "a") };
        assert_eq!(load_of(&[member(1.0, 1.0, "a"), lost]).reason.as_deref(), Some("lost"));
    }
}
