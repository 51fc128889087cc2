//! What a run tells, for people or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use roundel_ring::sim::check::Verdict;
use serde::Serialize;

use super::judge::Counts;
use super::kind::Kind;
use crate::output::write_object;

const SCHEMA: &str = "roundel.chaos/1";

/// Tells what happens, and counts it.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    pub(super) started: Instant,
    seed: u64,
    members: u32,
    profile: String,
    pub(super) sittings: u64,
    pub(super) episodes: u64,
    /// Faults that struck, by kind; 0 for those that were drawn and never did.
    struck: BTreeMap<Kind, u64>,
    not_applied: BTreeMap<Kind, u64>,
    /// Sittings by their policies, and the one of the last.
    policies: BTreeMap<&'static str, u64>,
    policy: &'static str,
    pub(super) counts: Counts,
    heals: Vec<Duration>,
    verdict: Verdict,
    /// Violations besides those of the verdict.
    wrongs: u64,
}

#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    schema: &'static str,
    members: u32,
    seed: u64,
    seconds: u32,
    profile: &'a str,
}

#[derive(Serialize)]
struct EpisodeLine<'a> {
    event: &'static str,
    at_s: f64,
    episode: u64,
    faults: &'a [&'static str],
    heal_ms: Option<f64>,
}

#[derive(Serialize)]
struct NotApplied<'a> {
    event: &'static str,
    episode: u64,
    fault: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct SittingLine {
    event: &'static str,
    at_s: f64,
    sitting: u64,
    policy: &'static str,
    episodes: u64,
    configuration_changes: u64,
    primaries: u64,
    messages: u64,
    deliveries: u64,
    violations: u64,
}

#[derive(Serialize)]
struct ViolationLine<'a> {
    event: &'static str,
    sitting: u64,
    episode: u64,
    clause: &'a str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    schema: &'static str,
    members: u32,
    seed: u64,
    profile: &'a str,
    seconds: f64,
    sittings: u64,
    episodes: u64,
    faults: BTreeMap<&'static str, u64>,
    faults_not_applied: BTreeMap<&'static str, u64>,
    /// Sittings with each.
    policies: &'a BTreeMap<&'static str, u64>,
    configuration_changes: u64,
    primaries: u64,
    messages: u64,
    deliveries: u64,
    heal_to_one_ring_ms: Heal,
    clauses: BTreeMap<&'static str, u64>,
    violations: u64,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Where the histories of violating sittings are.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a str>,
}

#[derive(Serialize)]
struct Heal {
    count: usize,
    p50: f64,
    max: f64,
}

fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Report {
    pub(super) fn new(json: bool, members: u32, seed: u64, profile: &str) -> Self {
        Self {
            json,
            started: Instant::now(),
            seed,
            members,
            profile: profile.to_owned(),
            sittings: 0,
            episodes: 0,
            struck: BTreeMap::new(),
            not_applied: BTreeMap::new(),
            policies: BTreeMap::new(),
            policy: "",
            counts: Counts::default(),
            heals: Vec::new(),
            verdict: Verdict::empty(),
            wrongs: 0,
        }
    }

    pub(super) fn start(&self, seconds: u32) -> io::Result<()> {
        let (event, schema, members, seed) = ("start", SCHEMA, self.members, self.seed);
        let profile = self.profile.as_str();
        let line = Start { event, schema, members, seed, seconds, profile };
        let text = format!("{members} members under chaos for {seconds} s, seed {seed}");
        self.tell(&line, &text)
    }

    /// The next sitting's policy for the primary component.
    pub(super) fn policy(&mut self, name: &'static str) {
        *self.policies.entry(name).or_default() += 1;
        self.policy = name;
    }

    /// A fault is over: how often it struck.
    pub(super) fn fault(&mut self, kind: Kind, struck: u64) {
        *self.struck.entry(kind).or_default() += u64::from(struck > 0);
    }

    /// A fault that never struck, with the reason.
    pub(super) fn not_applied(&mut self, kind: Kind, reason: &str) -> io::Result<()> {
        *self.not_applied.entry(kind).or_default() += 1;
        let (event, episode, fault) = ("not_applied", self.episodes, kind.name());
        let line = NotApplied { event, episode, fault, reason };
        self.tell(&line, &format!("episode {episode}: {fault} did not strike: {reason}"))
    }

    pub(super) fn episode(
        &mut self,
        faults: &[&'static str],
        heal: Option<Duration>,
    ) -> io::Result<()> {
        self.heals.extend(heal);
        let at_s = self.at_s();
        let (event, episode, heal_ms) = ("episode", self.episodes, heal.map(ms));
        // For people there are too many of them.
        self.tell(&EpisodeLine { event, at_s, episode, faults, heal_ms }, "")
    }

    pub(super) fn violation(&mut self, clause: &str, detail: &str) -> io::Result<()> {
        self.wrongs += 1;
        self.tell_violation(clause, detail)
    }

    fn tell_violation(&self, clause: &str, detail: &str) -> io::Result<()> {
        let (event, sitting, episode) = ("violation", self.sittings, self.episodes);
        let line = ViolationLine { event, sitting, episode, clause, detail };
        let text = format!("VIOLATION in sitting {sitting}, episode {episode}: {clause}: {detail}");
        self.tell(&line, &text)
    }

    /// A sitting was judged; whether it is clean.
    pub(super) fn sitting(&mut self, verdict: &Verdict, counts: Counts) -> io::Result<bool> {
        for violation in verdict.violations() {
            self.tell_violation(violation.clause.name(), &violation.text)?;
        }
        self.verdict.add(verdict);
        self.counts.add(counts);
        let line = SittingLine {
            event: "sitting",
            at_s: self.at_s(),
            sitting: self.sittings,
            policy: self.policy,
            episodes: self.episodes,
            configuration_changes: counts.configuration_changes,
            primaries: counts.primaries,
            messages: counts.messages,
            deliveries: counts.deliveries,
            violations: verdict.violation_count(),
        };
        let text = format!(
            "{:7.1} s  sitting {} ({}): {} configuration changes, {} primaries, {} messages, {} \
             deliveries, {} violations; {} episodes so far",
            line.at_s,
            line.sitting,
            line.policy,
            line.configuration_changes,
            line.primaries,
            line.messages,
            line.deliveries,
            line.violations,
            line.episodes
        );
        self.tell(&line, &text)?;
        Ok(verdict.violation_count() == 0)
    }

    /// A sitting was judged again after its members had left; whether it is clean. What was judged
    /// is counted once.
    pub(super) fn ended(&mut self, verdict: &Verdict) -> io::Result<bool> {
        for violation in verdict.violations() {
            self.violation(violation.clause.name(), &violation.text)?;
        }
        Ok(verdict.violation_count() == 0)
    }

    pub(super) fn violations(&self) -> u64 {
        self.wrongs + self.verdict.violation_count()
    }

    /// Clauses that were judged at least once.
    pub(super) fn has_judged(&self) -> bool {
        self.verdict.instances() > 0
    }

    pub(super) fn summary(&mut self, reason: Option<&str>, kept: Option<&str>) -> io::Result<()> {
        self.heals.sort_unstable();
        let names = |counts: &BTreeMap<Kind, u64>| {
            counts.iter().map(|(kind, count)| (kind.name(), *count)).collect()
        };
        let judged = self.verdict.judgements().iter();
        let summary = Summary {
            event: "summary",
            schema: SCHEMA,
            members: self.members,
            seed: self.seed,
            profile: &self.profile,
            seconds: self.at_s(),
            sittings: self.sittings,
            episodes: self.episodes,
            faults: names(&self.struck),
            faults_not_applied: names(&self.not_applied),
            policies: &self.policies,
            configuration_changes: self.counts.configuration_changes,
            primaries: self.counts.primaries,
            messages: self.counts.messages,
            deliveries: self.counts.deliveries,
            heal_to_one_ring_ms: Heal {
                count: self.heals.len(),
                p50: self.heal_ms(50),
                max: self.heal_ms(100),
            },
            clauses: judged.map(|judged| (judged.clause.name(), judged.instances)).collect(),
            violations: self.violations(),
            valid: reason.is_none(),
            reason,
            kept,
        };
        self.tell(&summary, &self.text(&summary))
    }

    fn heal_ms(&self, percent: usize) -> f64 {
        let last = self.heals.len().saturating_sub(1);
        self.heals.get(last * percent / 100).map_or(0.0, |span| ms(*span))
    }

    fn text(&self, summary: &Summary<'_>) -> String {
        let mut text = String::from("\nFaults that struck (not applied)\n");
        for (kind, count) in &self.struck {
            let missed = self.not_applied.get(kind).copied().unwrap_or(0);
            let missed = if missed > 0 { format!(" ({missed})") } else { String::new() };
            text.push_str(&format!("  {:<26}{count:>7}{missed}\n", kind.name()));
        }
        text.push_str(&format!(
            "{} configuration changes survived, {} primary components, {} messages ordered, {} \
             deliveries in {:.0} s\n\
             from heal to one ring: {:.0} ms (p50), {:.0} ms (most), {} times\n\
             {} clauses judged {} times, {} violations",
            summary.configuration_changes,
            summary.primaries,
            summary.messages,
            summary.deliveries,
            summary.seconds,
            summary.heal_to_one_ring_ms.p50,
            summary.heal_to_one_ring_ms.max,
            summary.heal_to_one_ring_ms.count,
            summary.clauses.values().filter(|instances| **instances > 0).count(),
            self.verdict.instances(),
            summary.violations
        ));
        if let Some(reason) = summary.reason {
            text.push_str(&format!(
                "\nnot valid: {reason}; the same faults again: roundel chaos --members {} \
                 --seed {} --profile {}",
                summary.members, summary.seed, summary.profile
            ));
        }
        if let Some(kept) = summary.kept {
            text.push_str(&format!("\nthe histories of sittings with violations: {kept}"));
        }
        text
    }

    fn at_s(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0
    }

    fn tell<T: Serialize>(&self, object: &T, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            write_object(&mut out, object)?;
        } else if !text.is_empty() {
            writeln!(out, "{text}")?;
        }
        out.flush()
    }
}
