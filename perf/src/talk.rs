//! How a parent and the members that it starts talk: lines on standard input and output.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Receiver};

use serde::Serialize;

/// The lines of standard input, read in a thread of its own. Disconnected means that the input has
/// ended: the parent is done, or dead.
pub(crate) fn orders() -> io::Result<Receiver<String>> {
    let (sender, orders) = mpsc::channel();
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("perf-orders".to_owned()).spawn(read)?;
    Ok(orders)
}

/// Writes each as a line of JSON.
pub(crate) fn tell(lines: &[impl Serialize]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
