//! One run: a process of this program on each host, and what their results say together.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use roundel::lan::{Lan, LinkRate};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::document::{FloorRun, Run, Span};
use super::plan::{Cell, PORT_BUFFER_BYTES};
use crate::children::{self, Children};
use crate::environment::Ticks;
use crate::exit::Stop;
use crate::figures::{Percentiles, least};
use crate::latencies::Latencies;
use crate::result::Validity;

/// What a child may take beyond the planned time: its own bounds are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts runs.
pub(crate) struct Runner {
    lan: Lan,
    program: PathBuf,
    /// What members keep, and the program.
    folder: TempDir,
    span: Span,
    interrupted: Arc<AtomicBool>,
    /// Of the links, now.
    mtu: u32,
    loss_per_mille: u32,
    link: Option<u32>,
}

/// The result of one member of a load, as far as it is looked at.
#[derive(Deserialize, Debug)]
struct LoadResult {
    delivered_msgs: u64,
    msgs_per_s: f64,
    payload_mbit_per_s: f64,
    latency_us: Percentiles,
    latency_others_us: Option<Percentiles>,
    latency_histogram: Option<Latencies>,
    lateness_us: Option<Percentiles>,
    rotation_us: Percentiles,
    cpu_us_per_msg: f64,
    retransmits: u64,
    socket_drops: u64,
    order_digest: Option<String>,
    #[serde(flatten)]
    validity: Validity,
}

/// The same of a floor.
#[derive(Deserialize, Debug)]
struct FloorResult {
    msgs_per_s: f64,
    packets_per_s: f64,
    rotation_us: Percentiles,
    cpu_us_per_msg: f64,
    lost: u64,
    #[serde(flatten)]
    validity: Validity,
}

impl Runner {
    /// A runner on hosts of its own.
    pub(crate) fn new(hosts: u16, span: Span, interrupted: Arc<AtomicBool>) -> Result<Self, Stop> {
        let folder = tempfile::tempdir()?;
        let lan = Lan::new(hosts.into());
        Ok(Self {
            lan: lan.map_err(|error| Stop::from(error).or_interrupted(&interrupted))?,
            program: children::copy_of_program(folder.path())?,
            folder,
            span,
            interrupted,
            mtu: 0,
            loss_per_mille: 0,
            link: None,
        })
    }

    /// The hosts.
    pub(crate) fn lan(&self) -> &Lan {
        &self.lan
    }

    /// This program, as members run it.
    pub(crate) fn program(&self) -> &Path {
        &self.program
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
        if cell.link != self.link {
            let rate = |mbit_per_s| LinkRate { mbit_per_s, port_buffer_bytes: PORT_BUFFER_BYTES };
            self.lan.set_rate(cell.link.map(rate))?;
            self.link = cell.link;
        }
        Ok(())
    }

    /// Runs the load of a cell once.
    pub(crate) fn load(&self, cell: &Cell, rate: Option<u64>) -> Result<Run, Stop> {
        let is_planned = rate.is_some();
        let rate = rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string());
        let before = Ticks::now();
        let results: Vec<LoadResult> = self.run(cell, |command, host| {
            // As reasons name it.
            command.args(["load", "--id", &host.to_string()]);
            command.args(["--rate", &rate, "--service", &cell.service, "--drive", &cell.drive]);
            command.arg("--state-dir").arg(self.folder.path());
            if is_planned {
                command.arg("--histogram");
            }
            if let Some(least) = cell.size_min {
                command.args(["--size-min", &least.to_string()]);
            }
        })?;
        let steal_percent = Ticks::now().steal_percent_since(before);
        Ok(Run { steal_percent, ..load_of(&results) })
    }

    /// Runs the floor of a cell once.
    pub(crate) fn floor(&self, cell: &Cell) -> Result<FloorRun, Stop> {
        let before = Ticks::now();
        let results: Vec<FloorResult> = self.run(cell, |command, _| {
            command.arg("floor");
        })?;
        let steal_percent = Ticks::now().steal_percent_since(before);
        Ok(FloorRun { steal_percent, ..floor_of(&results) })
    }

    fn run<R: DeserializeOwned>(
        &self,
        cell: &Cell,
        what: impl Fn(&mut Command, u32),
    ) -> Result<Vec<R>, Stop> {
        let mut children = Children::new();
        for host in (1..).take(cell.members.into()) {
            let mut command = self.lan.command(host, &self.program);
            children::without_options(&mut command);
            what(&mut command, host);
            self.add_options(&mut command, cell);
            children.start(host, &mut command)?;
        }
        let planned = Duration::from_secs_f64(self.span.seconds + self.span.warmup);
        children.words(&self.interrupted, planned + PATIENCE)
    }

    fn add_options(&self, command: &mut Command, cell: &Cell) {
        let Cell { members, size, mtu, io, socket, idle, senders, .. } = cell;
        let Span { seconds, warmup } = self.span;
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
        command.stderr(Stdio::piped());
    }
}

/// Why a member's result counts for nothing, if one does.
fn refused<'a>(mut all: impl Iterator<Item = &'a Validity>) -> Option<String> {
    all.find(|validity| !validity.valid).map(|it| it.reason.clone().unwrap_or_default())
}

fn load_of(results: &[LoadResult]) -> Run {
    let reason = refused(results.iter().map(|result| &result.validity));
    // Reliable and fifo messages have none: they count where they are delivered.
    let order = |result: &LoadResult| {
        result.order_digest.clone().map(|digest| (digest, result.delivered_msgs))
    };
    let orders_differ = results.windows(2).any(|two| order(&two[0]) != order(&two[1]));
    let reason = reason.or_else(|| {
        orders_differ.then(|| "the members delivered different orders: a defect".to_owned())
    });
    Run {
        msgs_per_s: least(results.iter().map(|result| result.msgs_per_s)),
        payload_mbit_per_s: least(results.iter().map(|result| result.payload_mbit_per_s)),
        latency_us: Percentiles::worst(results.iter().map(|result| &result.latency_us)),
        latency_others_us: worst_of_others(results),
        latencies: Latencies::merged(
            results.iter().filter_map(|result| result.latency_histogram.as_ref()),
        ),
        lateness_us: Percentiles::worst(
            results.iter().filter_map(|result| result.lateness_us.as_ref()),
        ),
        rotation_us: Percentiles::worst(results.iter().map(|result| &result.rotation_us)),
        cpu_us_per_msg: results.iter().map(|result| result.cpu_us_per_msg).sum(),
        retransmits: results.iter().map(|result| result.retransmits).sum(),
        socket_drops: results.iter().map(|result| result.socket_drops).sum(),
        steal_percent: 0.0,
        validity: Validity::of(reason),
    }
}

/// Where all members have one clock.
fn worst_of_others(results: &[LoadResult]) -> Option<Percentiles> {
    let told: Option<Vec<&Percentiles>> =
        results.iter().map(|result| result.latency_others_us.as_ref()).collect();
    told.map(|told| Percentiles::worst(told.into_iter()))
}

fn floor_of(results: &[FloorResult]) -> FloorRun {
    let reason = refused(results.iter().map(|result| &result.validity));
    FloorRun {
        msgs_per_s: least(results.iter().map(|result| result.msgs_per_s)),
        packets_per_s: least(results.iter().map(|result| result.packets_per_s)),
        rotation_us: Percentiles::worst(results.iter().map(|result| &result.rotation_us)),
        cpu_us_per_msg: results.iter().map(|result| result.cpu_us_per_msg).sum(),
        lost: results.iter().map(|result| result.lost).sum(),
        steal_percent: 0.0,
        validity: Validity::of(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latencies::tests::rising;

    fn member(msgs_per_s: f64, p99: f64, digest: &str) -> LoadResult {
        LoadResult {
            delivered_msgs: 100,
            msgs_per_s,
            payload_mbit_per_s: 1.0,
            latency_us: Percentiles { p99, ..Percentiles::default() },
            latency_others_us: Some(Percentiles { p99: p99 + 1.0, ..Percentiles::default() }),
            latency_histogram: Some(rising(10)),
            lateness_us: None,
            rotation_us: Percentiles::default(),
            cpu_us_per_msg: 0.5,
            retransmits: 1,
            socket_drops: 2,
            order_digest: Some(digest.to_owned()),
            validity: Validity::of(None),
        }
    }

    #[test]
    fn members_together_are_as_good_as_the_worst() {
        let run = load_of(&[member(10.0, 7.0, "a"), member(9.0, 8.0, "a")]);
        assert!(run.validity.valid);
        assert_eq!((run.msgs_per_s, run.latency_us.p99), (9.0, 8.0));
        assert_eq!(run.latency_others_us.map(|others| others.p99), Some(9.0));
        assert_eq!(run.latencies.map(|all| all.count()), Some(20), "percentiles are of all");
        assert_eq!((run.cpu_us_per_msg, run.retransmits, run.socket_drops), (1.0, 2, 4));
    }

    #[test]
    fn different_orders_count_for_nothing() {
        let run = load_of(&[member(10.0, 7.0, "a"), member(10.0, 7.0, "b")]);
        let Validity { valid, reason } = run.validity;
        assert!(!valid && reason.is_some_and(|why| why.contains("different orders")));
        let lost = Validity::refused("lost".to_owned());
        let member = |validity| LoadResult { validity, ..member(1.0, 1.0, "a") };
        assert_eq!(load_of(&[member(Validity::of(None)), member(lost.clone())]).validity, lost);
    }
}
