//! Runs from seeds, short ones always and long ones on demand, and what they reached.

use std::collections::BTreeMap;
use std::{env, fs};

use crate::decoders::Seen;
use crate::frames::{KINDS, cluster, folder};
use crate::input::{Input, Random};
use crate::{cluster, decoders, frames, messages, traces};
use roundel_ring::wire::Header;

/// A number from the environment.
fn asked(name: &str, usual: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Frames from seeds, each read by the decoder of its kind.
fn decode(seed: u64, runs: u64) -> Seen {
    let (mut random, mut input, mut seen) = (Random::new(seed), Vec::new(), Seen::default());
    for _ in 0..runs {
        let bytes = 8 + random.next() as usize % 56;
        random.fill(&mut input, bytes);
        decoders::check(&frames::described(&input), &mut seen);
    }
    for (kind, (read, accepted)) in KINDS.iter().zip(seen.by_kind) {
        println!("{kind:?}: {read} read, {accepted} accepted");
    }
    println!("{} headers refused, seed {seed}", seen.headers_refused);
    seen
}

/// Clusters from seeds, until so many steps were done.
fn live(seed: u64, steps: u64) -> cluster::Reached {
    let mut sum = cluster::Reached::default();
    let mut input = Vec::new();
    let mut at = seed;
    while sum.steps < steps {
        let mut random = Random::new(at);
        let bytes = 64 + random.next() as usize % 960;
        random.fill(&mut input, bytes);
        let seed = at;
        let outcome = std::panic::catch_unwind(|| cluster::check(&input));
        let Ok(reached) = outcome else { panic!("seed {seed}") };
        sum.add(&reached);
        at += 1;
    }
    println!("seeds {seed}..{at}: {sum:?}");
    sum
}

#[test]
fn frames_from_seeds_reach_every_decoder() {
    let seen = decode(1, 200_000);
    for (kind, (read, accepted)) in KINDS.iter().zip(seen.by_kind) {
        assert!(read > 5_000 && accepted > 1_000, "{kind:?}: {read} read, {accepted} accepted");
    }
}

#[test]
fn clusters_from_seeds_reach_deep() {
    let reached = live(1, 40_000);
    assert!(reached.installed > 100 && reached.delivered > 1_000, "{reached:?}");
    assert!(reached.free > 100, "{reached:?}");
    assert!(reached.assembled > 10 && reached.recovered > 10, "{reached:?}");
    assert!(reached.judged > 500 && reached.believed > 100, "{reached:?}");
}

#[test]
fn traces_and_fragments_from_seeds() {
    let (mut random, mut input) = (Random::new(1), Vec::new());
    let (mut accepted, mut packets, mut completed) = (0, 0, 0);
    for _ in 0..20_000 {
        let bytes = random.next() as usize % 400;
        random.fill(&mut input, bytes);
        accepted += u64::from(traces::check(&traces::described(&input)));
        let (more, whole) = messages::check(&input);
        (packets, completed) = (packets + more, completed + whole);
    }
    println!("{accepted} traces, {packets} packets, {completed} fragmented messages accepted");
    assert!(accepted > 500 && packets > 5_000 && completed > 100);
}

#[test]
#[ignore = "a long run: FUZZ_RUNS frames from FUZZ_SEED, 10^8 unless told"]
fn many_frames() {
    decode(asked("FUZZ_SEED", 1), asked("FUZZ_RUNS", 100_000_000));
}

#[test]
#[ignore = "a long run: FUZZ_RUNS steps from FUZZ_SEED, 10^7 unless told"]
fn many_steps() {
    live(asked("FUZZ_SEED", 1), asked("FUZZ_RUNS", 10_000_000));
}

/// Keeps, of the frames of some clusters, those that are unlike any kept before in kind and
/// length.
#[test]
#[ignore = "writes the corpus of real frames"]
fn keep_real_frames() {
    let mut kept = BTreeMap::new();
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut input = Vec::new();
        random.fill(&mut input, 300);
        // Only what members do of themselves.
        input.iter_mut().for_each(|byte| *byte %= 160);
        let mut input = Input::new(&input);
        let mut cluster = cluster::Cluster::new();
        while !input.is_empty() {
            cluster.operate(&mut input);
            for (_, frame) in cluster.sent() {
                let header = Header::parse(&mut &frame[..], self::cluster()).unwrap();
                let lengths = (frame.len() - 16) / if header.sender.0 == 1 { 8 } else { 64 };
                kept.entry((header.kind, lengths)).or_insert_with(|| frame.clone());
            }
        }
    }
    fs::create_dir_all(folder()).unwrap();
    for ((kind, lengths), frame) in kept {
        let name = format!("{kind:?}-{lengths:03}.bin").to_lowercase();
        fs::write(folder().join(name), frame).unwrap();
    }
}
