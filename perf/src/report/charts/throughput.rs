//! How many messages there are.

use super::{Cells, at_members, dashed, heights, line, members_scale, widths};
use crate::matrix::document::CellResult;
use crate::matrix::plan::{Cell, MTUS};
use crate::report::scale::Scale;
use crate::report::svg::{Axis, Chart, Line};

pub(super) fn of_size(cells: &Cells<'_>) -> Chart {
    let mut lines = Vec::new();
    for (colour, mtu) in MTUS.into_iter().enumerate() {
        let around = Cell { mtu, ..Cell::base() };
        let found = cells.like(&around, |like, cell| like.size = cell.size);
        let x = |result: &CellResult| result.cell.size as f64;
        lines.extend(ring_and_floor(&format!(", MTU {mtu}"), colour, &found, x));
    }
    Chart {
        title: "Throughput against size",
        note: "Ordered messages of all members, delivered at each; the floor is the same packets \
               without a protocol, measured in turn with it."
            .to_owned(),
        x: Axis { label: "bytes of a message", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "messages a second", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

pub(super) fn of_members(cells: &Cells<'_>) -> Chart {
    let found = cells.like(&Cell::base(), |like, cell| like.members = cell.members);
    let lines = Vec::from(ring_and_floor("", 0, &found, at_members));
    Chart {
        title: "Throughput against members",
        note: "All members share the processors of this one machine, so that each message costs \
               more the more members receive it."
            .to_owned(),
        x: Axis { label: "members", scale: members_scale(&found) },
        y: Axis { label: "messages a second", scale: Scale::linear(heights(&lines)) },
        lines,
    }
}

fn ring_and_floor(
    of: &str,
    colour: usize,
    found: &[&CellResult],
    x: impl Fn(&CellResult) -> f64,
) -> [Line; 2] {
    let ring = |result: &CellResult| Some(result.figures.msgs_per_s);
    let floor = |result: &CellResult| result.figures.floor_msgs_per_s;
    [
        line(&format!("ring{of}"), colour, found, &x, ring),
        dashed(line(&format!("floor{of}"), colour, found, &x, floor)),
    ]
}
