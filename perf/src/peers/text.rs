//! The result for people.

use std::io::{self, Write};

use super::document::{Cell, Document, Figures, Missing, Run, System};
use crate::figures::Spread;

/// Says on stderr what came of a round.
pub(crate) fn progress(name: &str, [maximum, paced]: &[Run; 2], round: u32, rounds: u32) {
    let told = match maximum.validity.reason.as_ref().or(paced.validity.reason.as_ref()) {
        Some(reason) => format!("NOT VALID: {reason}"),
        None => {
            let latency = paced.latency_us.unwrap_or_default();
            let (rate, cpu) = (maximum.msgs_per_s, maximum.cpu_us_per_msg);
            let (p50, p99) = (latency.p50, latency.p99);
            format!("{rate:.0} msg/s, {cpu:.2} µs of processor; p50 {p50:.0} µs, p99 {p99:.0} µs")
        }
    };
    eprintln!("[{round}/{rounds}] {name}: {told}");
}

/// Writes a table, and what to know of it.
pub(crate) fn write(document: &Document, out: &mut impl Write) -> io::Result<()> {
    let Document { options, systems, skipped, cells, .. } = document;
    writeln!(
        out,
        "{} members, {} runs of {} s; latency at {} messages a second of each; medians, least to \
         greatest",
        options.members, options.runs, options.seconds, options.rate
    )?;
    for cell in cells {
        write_cell(cell, out)?;
    }
    for System { name, version, order, settings } in systems {
        writeln!(out, "{name} {version}: order {}; {settings}", order.name())?;
    }
    for Missing { name, reason, fix } in skipped {
        writeln!(out, "{name} is skipped: {reason}; fix: {fix}")?;
    }
    Ok(())
}

fn write_cell(cell: &Cell, out: &mut impl Write) -> io::Result<()> {
    if !cell.validity.valid {
        return writeln!(out, "{}: {}", cell.name, cell.validity);
    }
    writeln!(out, "{}", cell.name)?;
    let mut line = |what: &str, figures: &Figures, digits: [usize; 2]| {
        let [whole, fine] = digits;
        writeln!(
            out,
            "  {what:<14} at most       messages/s {}, processor µs each {}",
            spread(figures.msgs_per_s, whole),
            spread(figures.cpu_us_per_msg, fine),
        )?;
        writeln!(
            out,
            "  {:<14} at that rate  p50 µs {}, p99 µs {}, processor µs each {}",
            "",
            spread(figures.p50_us, whole),
            spread(figures.p99_us, whole),
            spread(figures.paced_cpu_us_per_msg, fine),
        )
    };
    line("itself", &cell.figures, [0, 2])?;
    match &cell.ratio {
        Some(ratio) => line("Roundel by it", ratio, [2, 3]),
        None => Ok(()),
    }
}

fn spread(Spread { median, min, max }: Spread, digits: usize) -> String {
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}
