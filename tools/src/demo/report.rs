//! What a demo tells, for people or as JSON.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::history::Judged;
use super::place::Place;
use super::words::{Progress, Spread};
use crate::output::write_object;

const SCHEMA: &str = "roundel.demo/1";

/// Tells what happens.
#[derive(Debug)]
pub(super) struct Reporter {
    json: bool,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Summary {
    nodes: u8,
    pub(super) io: String,
    pub(super) first_ordered: Option<Duration>,
    /// Delivered by the witness.
    pub(super) messages: u64,
    /// How long there was traffic.
    pub(super) worked_for: Option<Duration>,
    pub(super) latency_us: Option<Spread>,
    pub(super) rotation_us: Option<Spread>,
    /// Sizes of the regular configurations, from the first with all members on.
    pub(super) configurations: Vec<usize>,
    pub(super) checked: Checked,
    /// From the `kill -9` to the ring without that member.
    pub(super) killed_for: Option<Duration>,
    /// From its start to the ring with it.
    pub(super) back_after: Option<Duration>,
    /// Why the demo is not valid, if it is not.
    pub(super) reason: Option<String>,
}

/// What the judge did.
#[derive(Clone, Copy, Default, Serialize, Debug)]
pub(super) struct Checked {
    clauses: usize,
    pub(super) instances: u64,
    pub(super) violations: u64,
}

impl Checked {
    pub(super) fn new(judged: &Judged) -> Self {
        let verdict = &judged.verdict;
        let clauses = verdict.judgements().iter().filter(|j| j.instances > 0).count();
        Self { clauses, instances: verdict.instances(), violations: verdict.violation_count() }
    }
}

impl Summary {
    pub(super) fn new(nodes: u8) -> Self {
        Self {
            nodes,
            io: String::new(),
            first_ordered: None,
            messages: 0,
            worked_for: None,
            latency_us: None,
            rotation_us: None,
            configurations: Vec::new(),
            checked: Checked::default(),
            killed_for: None,
            back_after: None,
            reason: None,
        }
    }

    fn rate(&self) -> f64 {
        let seconds = self.worked_for.map_or(0.0, |span| span.as_secs_f64());
        if seconds > 0.0 { (self.messages as f64 / seconds).round() } else { 0.0 }
    }
}

#[derive(Serialize)]
struct StartLine<'a> {
    event: &'static str,
    schema: &'static str,
    nodes: u8,
    cluster: &'a str,
    port: u16,
}

#[derive(Serialize)]
struct ReadyLine<'a> {
    event: &'static str,
    at_ms: f64,
    io: &'a str,
    notices: &'a [String],
}

#[derive(Serialize)]
struct ConfigurationLine<'a> {
    event: &'static str,
    at_ms: f64,
    members: &'a [u32],
}

#[derive(Serialize)]
struct MemberLine {
    event: &'static str,
    at_ms: f64,
    member: u8,
}

#[derive(Serialize)]
struct FirstLine {
    event: &'static str,
    at_ms: f64,
}

#[derive(Serialize)]
struct ProgressLine {
    event: &'static str,
    at_ms: f64,
    msgs_per_s: f64,
    latency_us: Option<Spread>,
    rotation_us: Option<Spread>,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    event: &'static str,
    schema: &'static str,
    nodes: u8,
    io: &'a str,
    first_ordered_ms: Option<f64>,
    messages: u64,
    msgs_per_s: f64,
    latency_us: Option<Spread>,
    rotation_us: Option<Spread>,
    configurations: Vec<Members>,
    checked: Checked,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Members {
    members: usize,
}

fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Milliseconds for people.
fn shown(span: Option<Duration>) -> String {
    span.map_or_else(|| "?".to_owned(), |span| format!("{:.0} ms", span.as_secs_f64() * 1e3))
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |s| format!("{:.0} µs (p50), {:.0} (p99), {:.0} (most)", s.p50, s.p99, s.max),
    )
}

impl Reporter {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
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

    pub(super) fn start(&self, nodes: u8, place: &Place) -> io::Result<()> {
        let (cluster, port) = (place.cluster.as_str(), place.port);
        let line = StartLine { event: "start", schema: SCHEMA, nodes, cluster, port };
        let text = format!(
            "A ring of {nodes} members on this host: a process each, on 127.0.0.1 to \
             127.0.0.{nodes}, port {port}"
        );
        self.tell(&line, &text)
    }

    pub(super) fn ready(&self, since: Instant, io: &str, notices: &[String]) -> io::Result<()> {
        for notice in notices {
            eprintln!("roundel demo: {notice}");
        }
        let at_ms = ms(since.elapsed());
        self.tell(&ReadyLine { event: "ready", at_ms, io, notices }, "")
    }

    pub(super) fn configuration(&self, since: Instant, members: &[u32]) -> io::Result<()> {
        let at = since.elapsed();
        let line = ConfigurationLine { event: "configuration", at_ms: ms(at), members };
        self.tell(&line, &format!("{} configuration {members:?}", clock(at)))
    }

    pub(super) fn first_ordered(&self, after: Duration) -> io::Result<()> {
        let line = FirstLine { event: "first_ordered", at_ms: ms(after) };
        self.tell(&line, &format!("{} the first message is ordered", clock(after)))
    }

    pub(super) fn kill(&self, since: Instant, member: u8, process: Option<u32>) -> io::Result<()> {
        let at = since.elapsed();
        let process = process.map_or_else(String::new, |process| format!(" {process}"));
        let text = format!("{} kill -9{process}: member {member} is gone", clock(at));
        self.tell(&MemberLine { event: "kill", at_ms: ms(at), member }, &text)
    }

    pub(super) fn restart(&self, since: Instant, member: u8) -> io::Result<()> {
        let at = since.elapsed();
        let text = format!("{} member {member} is started again", clock(at));
        self.tell(&MemberLine { event: "restart", at_ms: ms(at), member }, &text)
    }

    pub(super) fn progress(
        &self,
        since: Instant,
        msgs_per_s: f64,
        progress: &Progress,
    ) -> io::Result<()> {
        let at = since.elapsed();
        let Progress { latency_us, rotation_us, .. } = *progress;
        let msgs_per_s = msgs_per_s.round();
        let line =
            ProgressLine { event: "progress", at_ms: ms(at), msgs_per_s, latency_us, rotation_us };
        let text = format!(
            "{} {msgs_per_s:>6.0} messages/s   latency {}   token rotation {}",
            clock(at),
            spread(latency_us),
            spread(rotation_us)
        );
        self.tell(&line, &text)
    }

    pub(super) fn summary(&self, summary: &Summary, place: &Place) -> io::Result<()> {
        let line = SummaryLine {
            event: "summary",
            schema: SCHEMA,
            nodes: summary.nodes,
            io: &summary.io,
            first_ordered_ms: summary.first_ordered.map(ms),
            messages: summary.messages,
            msgs_per_s: summary.rate(),
            latency_us: summary.latency_us,
            rotation_us: summary.rotation_us,
            configurations: summary
                .configurations
                .iter()
                .map(|&members| Members { members })
                .collect(),
            checked: summary.checked,
            valid: summary.reason.is_none(),
            reason: summary.reason.as_deref(),
        };
        self.tell(&line, &seen(summary, place))
    }
}

/// Seconds since the members were started.
fn clock(at: Duration) -> String {
    format!("{:6.2} s", at.as_secs_f64())
}

/// The end of the story, for people.
fn seen(summary: &Summary, place: &Place) -> String {
    let Summary { nodes, messages, checked, .. } = summary;
    let mut text = String::from("\nWhat was seen\n");
    let mut say = |line: String| {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    };
    if let Some(reason) = &summary.reason {
        say(format!("It did not go as it must: {reason}."));
    }
    say(format!(
        "{messages} messages of {nodes} members in one order, {:.0} a second, the first after {}.",
        summary.rate(),
        shown(summary.first_ordered)
    ));
    say(format!(
        "From planned sending to own delivery: {}; the longest waited out the kill.",
        spread(summary.latency_us)
    ));
    say(format!("The token once around: {}.", spread(summary.rotation_us)));
    say(format!(
        "{} after the kill the others went on without member {nodes}; {} after its start it was \
         back.",
        shown(summary.killed_for),
        shown(summary.back_after)
    ));
    if summary.configurations.len() > 3 {
        let sizes: Vec<String> = summary.configurations.iter().map(ToString::to_string).collect();
        say(format!(
            "Some members did not hear each other in time: configurations of {} members followed \
             each other.",
            sizes.join(", ")
        ));
    }
    say(format!(
        "The members' histories keep to extended virtual synchrony: {} clauses judged {} times, \
         {} violations.",
        checked.clauses, checked.instances, checked.violations
    ));
    text.push_str("\nWhat to try next\n");
    if place.is_kept() {
        text.push_str(&format!("  roundel check {}\n", place.traces().display()));
    } else {
        text.push_str("  roundel demo --state-dir demo        keeps the histories\n");
    }
    text.push_str(
        "  roundel demo --nodes 5 --seconds 20  a larger ring\n  \
         roundel cat --interface 127.0.0.1    a member that orders what you type; in a second\n  \
         roundel cat --interface 127.0.0.2    terminal another\n  \
         roundel sim --seeds 0..100           a hundred simulated clusters under faults\n  \
         roundel doctor                       whether this host is fit for more",
    );
    text
}
