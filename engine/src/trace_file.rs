//! A member's history, written by the worker before the effects of a cycle leave it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use roundel_ring::id::{Incarnation, NodeId};
use roundel_ring::time::Time;
use roundel_ring::trace::{self, Entry, Event};

/// Room for the lines of a usual cycle.
const BUFFER_BYTES: usize = 1 << 20;

/// The trace file of one incarnation. Lines go out in one `write(2)` a cycle, so a `kill -9`
/// loses at most a torn last line.
#[derive(Debug)]
pub(crate) struct TraceFile {
    file: File,
    lines: Vec<u8>,
    node: NodeId,
    incarnation: Incarnation,
}

impl TraceFile {
    /// Makes the file new.
    pub(crate) fn create(path: &Path, node: NodeId, incarnation: Incarnation) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(Self { file, lines: Vec::with_capacity(BUFFER_BYTES), node, incarnation })
    }

    /// Writes the entries of one cycle.
    pub(crate) fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.lines.clear();
        for entry in entries {
            trace::write_line(&mut self.lines, self.node, self.incarnation, entry);
        }
        self.file.write_all(&self.lines)
    }

    /// Writes the last line of a member that leaves.
    pub(crate) fn finish(&mut self, time: Time) -> io::Result<()> {
        self.write(&[Entry { time, event: Event::Fail }])
    }
}
