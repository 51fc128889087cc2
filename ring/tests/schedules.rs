//! Schedules that once failed: made as small as they went (`roundel sim --shrink`), and run for
//! ever, each with its own seed and with others, since what a seed decides moves with the code.
#![cfg(feature = "sim")]
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a file that is no schedule is a mistake of whoever put it there"
)]

use std::fs;
use std::path::{Path, PathBuf};

use roundel_ring::sim::{Schedule, play};

/// Seeds beside a schedule's own.
const OTHER_SEEDS: u64 = 20;

fn schedules() -> Vec<(PathBuf, Schedule)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    let read = |path: PathBuf| {
        let schedule: Schedule = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        schedule.validate().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, schedule)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn what_once_failed_holds() {
    let schedules = schedules();
    assert!(!schedules.is_empty());
    for (path, schedule) in schedules {
        let others = (0..OTHER_SEEDS).map(|seed| schedule.clone().with_seed(seed));
        for (number, schedule) in [schedule.clone()].into_iter().chain(others).enumerate() {
            let failure = play(&schedule).failure;
            assert!(failure.is_none(), "{}, run {number}: {failure:?}", path.display());
        }
    }
}

/// A schedule that was written and read again is the same, and so is its history.
#[test]
fn a_file_says_it_all() {
    for seed in 0..30 {
        let drawn = Schedule::draw(&roundel_ring::sim::Scenario::new(seed));
        let text = serde_json::to_string(&drawn).unwrap();
        let read: Schedule = serde_json::from_str(&text).unwrap();
        assert!(read == drawn, "seed {seed} is another schedule once written and read");
        if seed < 3 {
            assert_eq!(play(&read).digest(), play(&drawn).digest(), "seed {seed}");
        }
    }
}
