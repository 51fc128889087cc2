//! `roundel doctor`: whether this host is fit to run a member, and what to do where it is not.

mod host;

use std::io::{self, Write};

use roundel::options::MemberOptions;
use roundel::{Builder, IoInUse, JoinError, Probe, Shortcoming, Subject};
use roundel_ring::wire::MTU_MIN_BYTES;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::write_object;

const SCHEMA: &str = "roundel.doctor/1";

const EXAMPLES: &str = "\
Examples:
  roundel doctor                       this host, as `roundel cat` would use it
  roundel doctor --interface eth1      another interface
  roundel doctor --json                one JSON object a finding, for scripts

Nothing is changed but that the state directory is made, as a member would. Running members are
not disturbed.

Exit codes: 0 fit, 1 a member cannot run or reaches nobody, 2 options that cannot be used,
4 it runs, but not as well as it could.";

/// Examine this host: cause, consequence and fix of everything that is not as it should be.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    member: MemberOptions,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// A member runs, but not as well as it could.
    Warn,
    /// A member cannot run, or reaches nobody.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
struct Finding {
    name: &'static str,
    level: Level,
    cause: String,
    consequence: Option<String>,
    fix: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, cause: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, cause: cause.into(), consequence: None, fix: None }
    }

    fn bad(
        name: &'static str,
        level: Level,
        cause: impl Into<String>,
        consequence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (consequence, fix) = (Some(consequence.into()), Some(fix.into()));
        Self { name, level, cause: cause.into(), consequence, fix }
    }
}

#[derive(Serialize)]
struct StartLine {
    event: &'static str,
    schema: &'static str,
    kernel: String,
    processors: usize,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct SummaryLine {
    event: &'static str,
    schema: &'static str,
    ok: usize,
    warn: usize,
    fail: usize,
    valid: bool,
}

/// Looks at everything and reports.
pub(crate) fn run(args: &Args) -> Exit {
    let builder = match args.member.builder() {
        Ok(builder) => builder,
        Err(error) => {
            eprintln!("roundel doctor: {error}");
            return Exit::Usage;
        }
    };
    let findings = examine(&builder);
    if write(&findings, args.json).is_err() {
        return Exit::Failed;
    }
    match worst(&findings) {
        Level::Ok => Exit::Ok,
        Level::Warn => Exit::Degraded,
        Level::Fail => Exit::Failed,
    }
}

fn examine(builder: &Builder) -> Vec<Finding> {
    let probe = builder.probe();
    let io = probe.as_ref().ok().map(|probe| probe.io);
    let mut findings = match &probe {
        Ok(probe) => links(probe),
        Err(error) => vec![sockets(error)],
    };
    findings.extend([
        host::locked_memory(io),
        host::memberships(),
        host::processors(host::processor_count()),
        host::clock(host::clock_source().as_deref()),
        state_dir(builder),
        host::real_time(),
        host::packet_filter(),
    ]);
    findings
}

fn worst(findings: &[Finding]) -> Level {
    let has = |level| findings.iter().any(|finding| finding.level == level);
    [Level::Fail, Level::Warn].into_iter().find(|&level| has(level)).unwrap_or(Level::Ok)
}

/// A member could not open its sockets, or may not do what it is to do.
fn sockets(error: &JoinError) -> Finding {
    let text = error.to_string();
    let (cause, fix) = text.split_once("; fix: ").unwrap_or((&text, "see the cause"));
    let name = if matches!(error, JoinError::Placement(_)) { "privileges" } else { "sockets" };
    Finding::bad(name, Level::Fail, cause, "no member can start", fix)
}

/// What a member's sockets showed.
fn links(probe: &Probe) -> Vec<Finding> {
    let usual = [
        (Subject::Uring, "io_uring", uring(probe.io)),
        (Subject::ReceiveBuffer, "receive_buffer", host::receive_buffer()),
        (Subject::SuperPackets, "super_packets", "the kernel has GSO and GRO for UDP".to_owned()),
    ];
    let interrupts = host::interrupts(&probe.interface.name, probe.worker_cpu);
    let mut findings = vec![interface(probe), mtu(probe), multicast(probe), interrupts];
    for (subject, name, works) in usual {
        let short = probe.shortcomings.iter().find(|short| short.subject == subject);
        findings.push(short.map_or_else(|| Finding::ok(name, works), |short| falls(name, short)));
    }
    let others = probe.shortcomings.iter().filter(|short| short.subject == Subject::Other);
    findings.extend(others.map(|short| falls("sockets", short)));
    findings
}

fn falls(name: &'static str, short: &Shortcoming) -> Finding {
    Finding::bad(name, Level::Warn, &short.cause, &short.consequence, &short.fix)
}

fn uring(io: IoInUse) -> String {
    match io {
        IoInUse::Uring => "it works, and members use it".to_owned(),
        _ => "not looked at: --io asks for another way".to_owned(),
    }
}

fn interface(probe: &Probe) -> Finding {
    let on = &probe.interface;
    let cause = format!("{} with {}", on.name, on.address);
    if !on.loopback {
        return Finding::ok("interface", cause);
    }
    Finding::bad(
        "interface",
        Level::Warn,
        format!("{cause}, which leads to this host alone"),
        "members on other hosts are not reached",
        "bring up an interface with IPv4 that can multicast, or name one with --interface",
    )
}

fn mtu(probe: &Probe) -> Finding {
    let (name, bytes) = (&probe.interface.name, probe.interface.mtu_bytes);
    let cause = format!("{name} has an IP MTU of {bytes}");
    if usize::try_from(bytes).is_ok_and(|bytes| bytes >= MTU_MIN_BYTES) {
        return Finding::ok("mtu", cause);
    }
    Finding::bad(
        "mtu",
        Level::Fail,
        cause,
        format!("no member can start: a ring needs {MTU_MIN_BYTES} bytes or more"),
        format!("ip link set {name} mtu 1500"),
    )
}

fn multicast(probe: &Probe) -> Finding {
    let name = &probe.interface.name;
    match probe.hears_multicast {
        None => Finding::ok("multicast", "not used: unicast mode"),
        Some(true) => Finding::ok(
            "multicast",
            format!("a multicast on {name} came back to this host; switches are not tested"),
        ),
        Some(false) => Finding::bad(
            "multicast",
            Level::Fail,
            format!("a multicast on {name} did not come back to this host"),
            "members do not find each other",
            "let UDP and IGMP pass the packet filter, or use --mode unicast with --peer",
        ),
    }
}

fn state_dir(builder: &Builder) -> Finding {
    let fail = |cause: String, fix: &str| {
        Finding::bad("state_dir", Level::Fail, cause, "no member can start", fix)
    };
    let directory = match builder.state_directory() {
        Ok(directory) => directory,
        Err(error) => return fail(error.to_string(), "give --state-dir"),
    };
    let shown = directory.display();
    let written = std::fs::create_dir_all(&directory).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(&directory)?;
        file.write_all(b"0\n")?;
        file.as_file().sync_all()
    });
    match written {
        Ok(()) => Finding::ok("state_dir", format!("{shown} can be written")),
        Err(error) => fail(
            format!("{shown} cannot be written: {error}"),
            "give a writable directory with --state-dir",
        ),
    }
}

fn write(findings: &[Finding], json: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (ok, warn, fail) = (count(Level::Ok), count(Level::Warn), count(Level::Fail));
    if json {
        let (kernel, processors) = (host::kernel(), host::processor_count());
        write_object(&mut out, &StartLine { event: "start", schema: SCHEMA, kernel, processors })?;
        for finding in findings {
            write_object(&mut out, &FindingLine { event: "finding", finding })?;
        }
        let valid = warn + fail == 0;
        let line = SummaryLine { event: "summary", schema: SCHEMA, ok, warn, fail, valid };
        write_object(&mut out, &line)?;
        return out.flush();
    }
    for Finding { name, level, cause, consequence, fix } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        writeln!(out, "{level:<5} {name:<15} {cause}")?;
        if let Some(consequence) = consequence {
            writeln!(out, "{:<21} so: {consequence}", "")?;
        }
        if let Some(fix) = fix {
            writeln!(out, "{:<21} fix: {fix}", "")?;
        }
    }
    writeln!(out, "{ok} as they should be, {warn} could be better, {fail} must be mended")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use roundel::{Node, Wanted};

    fn lo() -> Probe {
        let lo = Wanted::Address([127, 0, 0, 1].into());
        Node::builder("doctor").interface(lo).probe().unwrap()
    }

    #[test]
    fn what_is_bad_has_a_consequence_and_a_fix() {
        let mut probe = lo();
        probe.interface.mtu_bytes = 1_200;
        probe.hears_multicast = Some(false);
        probe.shortcomings = vec![Shortcoming {
            subject: Subject::Uring,
            cause: "c".to_owned(),
            consequence: "d".to_owned(),
            fix: "f".to_owned(),
        }];
        let findings = links(&probe);
        let level = |name| findings.iter().find(|f| f.name == name).map(|f| f.level);
        assert_eq!(level("mtu"), Some(Level::Fail));
        assert_eq!(level("multicast"), Some(Level::Fail));
        assert_eq!(level("io_uring"), Some(Level::Warn));
        assert_eq!(level("interface"), Some(Level::Warn));
        assert_eq!(level("super_packets"), Some(Level::Ok));
        assert_eq!(worst(&findings), Level::Fail);
        for finding in findings.iter().filter(|finding| finding.level != Level::Ok) {
            assert!(finding.consequence.is_some() && finding.fix.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn a_member_that_cannot_start_is_a_failure_with_the_members_own_words() {
        let wanted = Wanted::Name("no-such-0".to_owned());
        let error = Node::builder("doctor").interface(wanted).probe().unwrap_err();
        let finding = sockets(&error);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.fix.is_some_and(|fix| fix.contains("lo (")));
    }

    #[test]
    fn a_state_directory_is_made_and_written() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("new");
        let builder = |path: &std::path::Path| Node::builder("doctor").state_dir(path);
        assert_eq!(state_dir(&builder(&inside)).level, Level::Ok);
        assert!(inside.is_dir() && inside.read_dir().unwrap().next().is_none());
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(state_dir(&builder(&file)).level, Level::Fail);
    }
}
