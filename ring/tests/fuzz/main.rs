//! Every decoder, and whole members, on inputs that nobody means well with.
//!
//! An input is bytes; each target makes of them what it needs, so that a fuzzer with coverage, a
//! seed and the corpus (`__fuzz__`) lead to the same places. `run` beside this file drives the
//! fuzzer; the long runs are the ignored tests of `campaign`.
#![cfg(feature = "sim")]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it expects")]
#![allow(clippy::cast_possible_truncation, reason = "tests choose small numbers, and cut lies")]

mod bounds;
mod campaign;
mod cluster;
mod decoders;
mod frames;
mod hostile;
mod input;
mod member;
mod messages;
mod traces;

use roundel_ring::wire::Malformed;

const MALFORMED: [Malformed; 9] = [
    Malformed::Truncated,
    Malformed::Trailing,
    Malformed::Magic,
    Malformed::Version,
    Malformed::Kind,
    Malformed::Cluster,
    Malformed::Count,
    Malformed::Order,
    Malformed::Range,
];

/// Lets a fuzzer, if there is one, or chance and the corpus make inputs. A fuzzer that starts this
/// program again forgets which test it drove, so `FUZZ_TARGET` says so, too.
fn drive(target: &str, check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    if std::env::var("FUZZ_TARGET").is_ok_and(|chosen| chosen != target) {
        return;
    }
    bolero::check!(name = target).for_each(|input: &[u8]| check(input));
}

struct Target {
    name: &'static str,
    check: fn(&[u8]),
}

const TARGETS: [Target; 4] = [
    Target {
        name: "frames",
        check: |input| decoders::check(&frames::described(input), &mut decoders::Seen::default()),
    },
    Target {
        name: "trace_lines",
        check: |input| {
            traces::check(&traces::described(input));
        },
    },
    Target {
        name: "fragments",
        check: |input| {
            messages::check(input);
        },
    },
    Target {
        name: "members",
        check: |input| {
            cluster::check(input);
        },
    },
];

fn run(target: &str) {
    let Target { name, check } = TARGETS.into_iter().find(|it| it.name == target).unwrap();
    drive(name, check);
}

#[test]
fn frames() {
    run("frames");
}

#[test]
fn trace_lines() {
    run("trace_lines");
}

#[test]
fn fragments() {
    run("fragments");
}

#[test]
fn members() {
    run("members");
}

/// The corpus is what coverage has found: all of it, each time.
#[test]
fn the_whole_corpus() {
    for Target { name, check } in TARGETS {
        let folder: std::path::PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "__fuzz__", name, "corpus"]
                .iter()
                .collect();
        let entries = std::fs::read_dir(folder).unwrap();
        let inputs: Vec<_> = entries.map(|entry| std::fs::read(entry.unwrap().path())).collect();
        inputs.iter().for_each(|input| check(input.as_ref().unwrap()));
        println!("{name}: {} inputs", inputs.len());
        assert!(inputs.len() > 10, "{name}: {} inputs", inputs.len());
    }
}
