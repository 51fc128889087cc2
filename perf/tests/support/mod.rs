//! Members as processes of this program on loopback addresses, for tests of their results.

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Each run keeps all processors busy.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a member of a run on a loopback address that ends in `host`, and that nobody else is
/// likely to use: other tests use another `net`.
pub(crate) fn member(command: &str, net: u8, cluster: &str, host: u8, options: &[&str]) -> Child {
    let process = std::process::id();
    Command::new(env!("CARGO_BIN_EXE_roundel-perf"))
        .args([command, "--json", "--cluster", &format!("{cluster}-{process}")])
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
    serde_json::from_str(&text).unwrap()
}
