//! `roundel-perf peers`: Roundel and other systems by turns on the same hosts.

mod args;
mod corosync;
mod document;
mod nats;
mod session;
mod text;
mod tool;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use roundel::lan;
use serde_json::json;

pub(crate) use args::Args;
use document::{Cell, Document, Missing, Options, Order, ROUNDEL, Run, SCHEMA, System};
pub(crate) use nats::{MemberArgs, run_member};
use session::{Peer, Plan};

use crate::children::Children;
use crate::environment::Environment;
use crate::exit::{self, Exit, Stop, fail};
use crate::matrix::plan::{self, RatePlan};
use crate::matrix::runner::Runner;
use crate::result::{self, written};

/// Measures and tells.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        return fail(Exit::Usage, missing);
    }
    let cells = cells(&args.options());
    if cells.is_empty() {
        let names = [&corosync::NAMES[..], &[nats::NAME]].concat().join(", ");
        return fail(
            Exit::Usage,
            &format!("--only leaves nothing; fix: one of {names} or such as size=64"),
        );
    }
    let mut bench = match Bench::new(args, cells) {
        Ok(bench) => bench,
        Err(stop) => return stop.fail(),
    };
    let ended = bench.run().map_err(|stop| stop.or_interrupted(&bench.interrupted));
    let document = bench.finish();
    let told = write(args, &document);
    let exit = match ended {
        Err(stop) => stop.fail(),
        Ok(()) if result::valid(document.cells.iter().map(|cell| &cell.validity)) == 0 => {
            fail(Exit::Failed, "nothing is valid")
        }
        Ok(()) => Exit::Ok,
    };
    written(told, exit)
}

/// What is asked for: of each size Roundel first, beside at least one other.
fn cells(options: &Options) -> Vec<Cell> {
    let names = corosync::NAMES.into_iter().chain([nats::NAME]);
    let pattern = options.only.as_deref().unwrap_or_default();
    let mut cells = Vec::new();
    for size in &options.sizes {
        let others = names.clone().map(|name| Cell::new(name, *size));
        let others: Vec<Cell> = others.filter(|cell| cell.name.contains(pattern)).collect();
        let ring = Cell::new(ROUNDEL, *size);
        if !others.is_empty() || ring.name.contains(pattern) {
            cells.push(ring);
            cells.extend(others);
        }
    }
    cells
}

/// The systems, and the hosts on which they run by turns.
struct Bench {
    runner: Runner,
    peers: Vec<Box<dyn Peer>>,
    document: Document,
    interrupted: Arc<AtomicBool>,
    /// What the peers leave behind.
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(args: &Args, cells: Vec<Cell>) -> Result<Self, Stop> {
        let interrupted = exit::interrupted()?;
        let (options, folder) = (args.options(), tempfile::tempdir()?);
        let settings = "agreed, defaults of a member".to_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let ring = System { name: ROUNDEL, version, order: Order::Total, settings };
        let (mut systems, mut skipped) = (vec![ring], Vec::new());
        let mut peers = Vec::new();
        let is_asked = |name: &str| cells.iter().any(|cell| cell.system == name);
        // One more: a broker has a host of its own.
        let runner = Runner::new(options.members + 1, options.span(), interrupted.clone())?;
        for peer in find(folder.path(), runner.program(), options.members) {
            match peer {
                Ok(peer) if is_asked(peer.system().name) => {
                    systems.push(peer.system().clone());
                    peers.push(peer);
                }
                Err(missing) if is_asked(missing.name) => {
                    let Missing { name, reason, fix } = &missing;
                    eprintln!("roundel-perf: {name} is skipped: {reason}; fix: {fix}");
                    skipped.push(missing);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let is_there = |cell: &Cell| systems.iter().any(|system| system.name == cell.system);
        let cells = cells.into_iter().filter(is_there).collect();
        let environment = Environment::here();
        let document = Document { schema: SCHEMA, environment, options, systems, skipped, cells };
        Ok(Self { runner, peers, document, interrupted, _folder: folder })
    }

    /// Runs all by turns, as far as nobody interrupts.
    fn run(&mut self) -> Result<(), Stop> {
        let link = self.document.options.link;
        self.runner.prepare(&plan::Cell { link, ..plan::Cell::base() })?;
        let rounds = self.document.options.runs;
        for round in 1..=rounds {
            for index in 0..self.document.cells.len() {
                let Cell { system, size, .. } = self.document.cells[index];
                let peer = self.peers.iter().find(|peer| peer.system().name == system);
                self.plug_broker(peer.is_some_and(|peer| peer.has_broker()))?;
                let ran = match peer {
                    Some(peer) => self.run_peer(peer.as_ref(), size),
                    None => self.run_ring(size),
                };
                let runs = match ran {
                    Err(Stop::Failed(reason)) => [reason.clone(), reason].map(Run::failed),
                    runs => runs?,
                };
                let cell = &mut self.document.cells[index];
                text::progress(&cell.name, &runs, round, rounds);
                cell.push(runs);
            }
        }
        Ok(())
    }

    /// The broker's host is on the network with its broker alone: what others multicast would be
    /// copied to it, too.
    fn plug_broker(&self, is_up: bool) -> Result<(), Stop> {
        let host = u32::from(self.document.options.members) + 1;
        let mut command = self.runner.lan().command(host, Path::new("ip"));
        command.args(["link", "set", "eth0", if is_up { "up" } else { "down" }]);
        let failed = || Stop::Failed("the broker's link cannot be set".to_owned());
        command.status()?.success().then_some(()).ok_or_else(failed)
    }

    fn run_ring(&self, size: usize) -> Result<[Run; 2], Stop> {
        let Options { members, rate, .. } = self.document.options;
        let cell = plan::Cell { members, size, ..plan::Cell::base() };
        let paced = plan::Cell { rate: RatePlan::PerSecond(rate), ..cell.clone() };
        let maximum = Run::of_ring(self.runner.load(&cell, None)?, false);
        Ok([maximum, Run::of_ring(self.runner.load(&paced, Some(rate))?, true)])
    }

    fn run_peer(&self, peer: &dyn Peer, size: usize) -> Result<[Run; 2], Stop> {
        let Options { members, rate, .. } = self.document.options;
        let (lan, span) = (self.runner.lan(), self.document.options.span());
        let mut servers = Children::new();
        peer.serve(lan, &mut servers, &self.interrupted)?;
        let run = |rate| {
            let plan = Plan { members, size, rate, span };
            match session::run(peer, lan, &servers, &plan, &self.interrupted) {
                Err(Stop::Failed(reason)) => Ok(Run::failed(reason)),
                run => run,
            }
        };
        Ok([run(None)?, run(Some(rate))?])
    }

    /// Ends all, and compares.
    fn finish(self) -> Document {
        let mut document = self.document;
        let (rings, mut others): (Vec<_>, Vec<_>) =
            document.cells.into_iter().partition(|cell| cell.system == ROUNDEL);
        for cell in &mut others {
            if let Some(ring) = rings.iter().find(|ring| ring.size == cell.size) {
                cell.compare(ring);
            }
        }
        document.cells = rings;
        document.cells.extend(others);
        document.cells.sort_by_key(|cell| cell.size);
        document
    }
}

/// All peers, there or not.
fn find(folder: &Path, program: &Path, members: u16) -> Vec<Result<Box<dyn Peer>, Missing>> {
    let boxed = |peer: corosync::Corosync| -> Box<dyn Peer> { Box::new(peer) };
    let corosync = corosync::find(folder, members).into_iter().map(|found| found.map(boxed));
    let nats = nats::find(folder, program, members).map(|peer| -> Box<dyn Peer> { Box::new(peer) });
    corosync.chain([nats]).collect()
}

/// Writes the file, and the result to standard output.
fn write(args: &Args, document: &Document) -> io::Result<()> {
    if let Some(file) = &args.output {
        fs::write(file, serde_json::to_vec(document)?)?;
    }
    let mut out = io::stdout().lock();
    if !args.json {
        return text::write(document, &mut out);
    }
    let Document { schema, environment, options, systems, skipped, cells } = document;
    let head = json!({
        "event": "environment", "schema": schema, "environment": environment,
        "options": options, "systems": systems, "skipped": skipped,
    });
    writeln!(out, "{head}")?;
    for cell in cells {
        writeln!(out, "{}", json!({"event": "cell", "result": cell}))?;
    }
    let valid = result::valid(cells.iter().map(|cell| &cell.validity));
    let summary = json!({"event": "summary", "cells": cells.len(), "valid": valid});
    writeln!(out, "{summary}")?;
    out.flush()
}
