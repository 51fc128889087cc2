//! What a run says while it goes on, and in the end.

use std::io::{self, Write};
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use super::args::Args;
use super::judge::Compared;
use super::watch::{MemberSample, Totals};
use super::words::Ring;
use crate::environment::Environment;
use crate::figures::rounded;
use crate::result::Validity;

/// Name and version of the format.
const SCHEMA: &str = "roundel.stress/1";

/// Findings that are kept; more are only counted.
const FINDINGS_MAX: usize = 100;

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
pub(super) struct Summary {
    pub(super) event: &'static str,
    pub(super) schema: &'static str,
    pub(super) members: u16,
    pub(super) seconds: f64,
    pub(super) rate: u32,
    pub(super) service: &'static str,
    pub(super) seed: u64,
    pub(super) loss_percent: f64,
    pub(super) crashes: u64,
    pub(super) partitions: u64,
    pub(super) configurations: usize,
    /// Of all members together.
    #[serde(flatten)]
    pub(super) totals: Totals,
    pub(super) compared: Compared,
    pub(super) worst_gap_ms: f64,
    /// The last sample.
    pub(super) last: Vec<MemberSample>,
    pub(super) findings: Vec<String>,
    /// Findings beyond those.
    pub(super) more_findings: u64,
    #[serde(flatten)]
    pub(super) validity: Validity,
}

/// Says it.
pub(super) struct Reporter {
    json: bool,
    started: Instant,
    findings: Vec<String>,
    more: u64,
    last: Vec<MemberSample>,
    /// Why something could not be written.
    error: Option<io::Error>,
}

impl Reporter {
    pub(super) fn new(json: bool) -> Self {
        let (findings, last, started) = (Vec::new(), Vec::new(), Instant::now());
        Self { json, started, findings, more: 0, last, error: None }
    }

    /// Whether something was found.
    pub(super) const fn has_findings(&self) -> bool {
        !self.findings.is_empty()
    }

    /// The first line.
    pub(super) fn begin(&mut self, args: &Args) {
        let Args { members, rate, seed, interval, more, io, idle, .. } = args;
        self.tell(&json!({
            "event": "environment", "schema": SCHEMA, "environment": Environment::here(),
            "members": members, "seconds": args.seconds.as_secs_f64(), "rate": rate,
            "seed": seed, "loss_percent": f64::from(args.loss) / 10.0,
            "faults": format!("{:?}", args.faults).to_lowercase(),
            "interval_s": interval.as_secs_f64(), "service": args.service.name(),
            "io": io, "idle": idle, "options": more,
        }));
    }

    /// What must not be.
    pub(super) fn finding(&mut self, what: &str) {
        if self.findings.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        let at_s = rounded(self.started.elapsed().as_secs_f64(), 10.0);
        eprintln!("FOUND at {at_s} s: {what}");
        self.findings.push(format!("at {at_s} s: {what}"));
        self.tell(&json!({"event": "finding", "at_s": at_s, "what": what}));
    }

    /// A fault begins or ends.
    pub(super) fn fault(&mut self, kind: &str, hosts: &[u32]) {
        let at_s = rounded(self.started.elapsed().as_secs_f64(), 1e3);
        self.tell(&json!({"event": "fault", "at_s": at_s, "kind": kind, "hosts": hosts}));
    }

    /// A member installed a regular configuration.
    pub(super) fn configuration(&mut self, host: u32, ring: Ring, members: &[u32]) {
        let at_s = rounded(self.started.elapsed().as_secs_f64(), 1e3);
        let ring = json!({"epoch": ring.0, "rep": ring.1});
        self.tell(&json!({
            "event": "configuration", "at_s": at_s, "member": host, "ring": ring,
            "members": members,
        }));
    }

    /// How all are doing.
    pub(super) fn sample(&mut self, at_s: f64, members: Vec<MemberSample>, configurations: usize) {
        let told: Vec<String> = members.iter().map(text_of).collect();
        let found = self.findings.len();
        eprintln!("[{at_s:.0} s] {configurations} configurations, {found} findings");
        told.iter().for_each(|line| eprintln!("    {line}"));
        let at_s = rounded(at_s, 10.0);
        self.tell(&json!({
            "event": "sample", "at_s": at_s, "configurations": configurations,
            "findings": found, "members": members,
        }));
        self.last = members;
    }

    /// The end.
    ///
    /// # Errors
    /// That something could not be written, this or a line before.
    pub(super) fn end(mut self, mut summary: Summary) -> io::Result<()> {
        summary.findings = std::mem::take(&mut self.findings);
        summary.more_findings = self.more;
        summary.last = std::mem::take(&mut self.last);
        if self.json {
            self.tell(&summary);
        } else {
            summary.write_text(&mut io::stdout().lock())?;
        }
        self.error.map_or(Ok(()), Err)
    }

    fn tell(&mut self, line: &impl Serialize) {
        if !self.json || self.error.is_some() {
            return;
        }
        self.error = crate::talk::tell(&[line]).err();
    }
}

impl Summary {
    /// Of a run in which nothing happened.
    pub(super) fn new(args: &Args) -> Self {
        Self {
            event: "summary",
            schema: SCHEMA,
            members: args.members,
            seconds: 0.0,
            rate: args.rate,
            service: args.service.name(),
            seed: args.seed,
            loss_percent: f64::from(args.loss) / 10.0,
            crashes: 0,
            partitions: 0,
            configurations: 0,
            totals: Totals::default(),
            compared: Compared::default(),
            worst_gap_ms: 0.0,
            last: Vec::new(),
            findings: Vec::new(),
            more_findings: 0,
            validity: Validity::default(),
        }
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { members, seconds, rate, seed, totals, compared, .. } = self;
        let Self { crashes, partitions, configurations, .. } = self;
        writeln!(
            out,
            "{members} members, each {rate} messages a second, {seconds} s, seed {seed}"
        )?;
        let loss = self.loss_percent;
        writeln!(
            out,
            "  faults     {crashes} crashes, {partitions} partitions, {loss} % lost; \
             {configurations} configurations"
        )?;
        let Totals { accepted, skipped, delivered, .. } = totals;
        writeln!(
            out,
            "  messages   {accepted} published, {skipped} left out, {delivered} delivered; worst \
             gap {} ms",
            self.worst_gap_ms
        )?;
        let Compared { checkpoints, passages } = compared;
        writeln!(out, "  order      {checkpoints} places and {passages} passages compared")?;
        let Totals { retransmits, token_retransmits, socket_drops, cpu_s, .. } = totals;
        writeln!(
            out,
            "  repaired   {retransmits} packets and {token_retransmits} tokens sent again; \
             {socket_drops} dropped by the kernel; {cpu_s:.1} s of processor time"
        )?;
        self.last.iter().try_for_each(|sample| writeln!(out, "  {}", text_of(sample)))?;
        self.findings.iter().try_for_each(|what| writeln!(out, "  FOUND {what}"))?;
        writeln!(out, "{}", self.validity)
    }
}

fn text_of(sample: &MemberSample) -> String {
    let MemberSample { id, life, holdings, cpu_percent, delivered, outstanding, .. } = sample;
    let (mib, fds, threads) = (holdings.rss_kib / 1024, holdings.fds, holdings.threads);
    format!(
        "member {id}.{life}: {mib} MiB, {fds} files, {threads} threads, {cpu_percent} % processor, \
         {delivered} delivered, {outstanding} under way, worst gap {} ms",
        sample.worst_gap_ms
    )
}
