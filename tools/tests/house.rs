//! The rules of the house, held by the project against itself.
//!
//! Each test says how much it looked at and fails when that is nothing. The detectors are tested
//! on damaged samples beside them, so that a rule which finds nothing is known to be able to.

use std::{
    fs,
    io::{self, Write as _},
};

#[path = "house/crates.rs"]
mod crates;
#[path = "house/mask.rs"]
mod mask;
#[path = "house/mutants.rs"]
mod mutants;
#[path = "house/rules.rs"]
mod rules;
#[path = "house/tree.rs"]
mod tree;

use rules::Finding;
use tree::File;

/// Fails on findings, and when there was nothing to look at.
#[track_caller]
fn verdict(looked_at: usize, findings: &[Finding]) {
    assert!(looked_at > 0, "the rule looked at nothing: fix how it finds what it judges");
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(list.is_empty(), "{} in {looked_at} looked at\n{}\n", list.len(), list.join("\n"));
}

fn sources() -> io::Result<Vec<File>> {
    Ok(tree::rust_files()?.into_iter().filter(|file| !file.is_test()).collect())
}

#[test]
fn files_are_short() {
    let sources = sources().unwrap();
    verdict(sources.len(), &rules::long_files(&sources));
}

#[test]
fn the_median_file_is_short() {
    let sources = sources().unwrap();
    let (median, limit) = (rules::median_lines(&sources), rules::FILE_LINES_MEDIAN_LIMIT);
    verdict(sources.len(), &[]);
    assert!(
        median < limit,
        "the median source has {median} lines, fewer than {limit} are allowed\n\
                             fix: split the longest files by concern"
    );
}

#[test]
fn functions_are_short() {
    let files = tree::rust_files().unwrap();
    verdict(rules::count_functions(&files), &rules::long_functions(&files));
}

#[test]
fn lines_of_code_are_narrow() {
    let files = tree::rust_files().unwrap();
    verdict(files.len(), &rules::wide_lines(&files));
}

#[test]
fn unsafe_code_is_in_transport_sys_alone() {
    let files = tree::rust_files().unwrap();
    verdict(files.len(), &rules::misplaced_unsafe(&files));
}

#[test]
fn crates_forbid_unsafe_code() {
    let roots = crates::safe_roots(&crates::packages().unwrap()).unwrap();
    verdict(roots.len(), &rules::missing_forbid(&roots));
}

#[test]
fn crates_depend_downwards() {
    let packages = crates::packages().unwrap();
    verdict(packages.len(), &crates::forbidden_dependencies(&packages));
}

#[test]
fn crates_are_in_the_workspace_and_take_its_lints() {
    let packages = crates::packages().unwrap();
    let has_manifest = |folder: &str| tree::root().join(folder).join("Cargo.toml").exists();
    verdict(packages.len(), &crates::unlisted(&packages, has_manifest));
    verdict(packages.len(), &crates::unlinted(&packages));
}

#[test]
fn the_top_level_is_fixed() {
    let entries = fs::read_dir(tree::root()).unwrap();
    let names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    verdict(names.len(), &rules::strangers_on_top(&names));
}

#[test]
fn nothing_is_left_for_later() {
    let files = tree::files().unwrap();
    verdict(files.len(), &rules::leftovers(&files));
}

#[test]
fn mutants_still_apply() {
    if !mutants::git_is_there() {
        // Not `eprintln!`, which the test harness swallows.
        let _ = writeln!(io::stderr(), "mutants_still_apply skipped: git is not installed");
        return;
    }
    for folder in ["ring/mutants", "engine/mutants"] {
        let patches = mutants::patches(&tree::root().join(folder)).unwrap();
        verdict(patches.len(), &mutants::stale(&tree::root(), &patches).unwrap());
    }
}
