//! Runs the program under test and reads what it prints.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Each run keeps all processors busy.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is no network for `test`; says so then.
pub(crate) fn is_skipped(test: &str) -> bool {
    let missing = roundel::lan::missing();
    if let Some(reason) = missing {
        // Not `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "{test} skipped: {reason}");
    }
    missing.is_some()
}

/// The program with these arguments.
pub(crate) fn perf(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel-perf"));
    command.args(args);
    command
}

/// All lines of JSON that it printed.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Starts a member of a run on a loopback address that ends in `host`, and that nobody else is
/// likely to use: other tests use another `net`.
pub(crate) fn member(command: &str, net: u8, cluster: &str, host: u8, options: &[&str]) -> Child {
    let process = std::process::id();
    perf(&[command, "--json"])
        .args(["--cluster", &format!("{cluster}-{process}")])
        .args(["--interface", &format!("127.{net}.{}.{host}", process % 250)])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs three members on addresses that follow each other to their ends.
pub(crate) fn three(start: impl Fn(u8) -> Child, first_host: u8) -> Vec<Output> {
    let members: Vec<Child> = (first_host..first_host + 3).map(start).collect();
    members.into_iter().map(|member| member.wait_with_output().unwrap()).collect()
}

/// The one line of JSON that a member prints.
pub(crate) fn result(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text:?}");
    assert!(!text.contains("\": ") && !text.contains(", \""), "compact: {text}");
    let result: Value = serde_json::from_str(&text).unwrap();
    for fact in ["kernel", "cpu", "version"] {
        assert!(result["environment"][fact].is_string(), "{fact}: {result}");
    }
    result
}
