//! JSON output: compact, one object a line.

use std::io::{self, Write};

use serde::Serialize;

/// Writes one object and its newline.
pub(crate) fn write_object<T: Serialize>(out: &mut impl Write, object: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}
