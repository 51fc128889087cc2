//! What messages cost of processor time, and how the cost grows.

use super::{Cells, at_members, heights, line, members_scale, msgs_per_s, widths};
use crate::figures::Spread;
use crate::matrix::document::CellResult;
use crate::matrix::plan::{Cell, GRID_MEMBERS, GRID_SIZES};
use crate::report::bytes;
use crate::report::scale::Scale;
use crate::report::svg::{Axis, Chart};

pub(super) fn of_members(cells: &Cells<'_>) -> Chart {
    let (mut lines, mut all) = (Vec::new(), Vec::new());
    for (colour, size) in GRID_SIZES.into_iter().enumerate() {
        let around = Cell { size, ..Cell::base() };
        let found = cells.like(&around, |like, cell| like.members = cell.members);
        let each = |result: &CellResult| Some(of_delivery(result));
        lines.push(line(&bytes(size), colour, &found, at_members, each));
        all.extend(found);
    }
    Chart {
        title: "Processor time of a delivery against members",
        note: "Of all members together at the greatest rate, by messages delivered at all of \
               them: it should stay level."
            .to_owned(),
        x: Axis { label: "members", scale: members_scale(&all) },
        y: Axis { label: "µs of a delivered message", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

pub(super) fn of_size(cells: &Cells<'_>) -> Chart {
    let mut lines = Vec::new();
    for (colour, members) in GRID_MEMBERS.into_iter().enumerate() {
        let around = Cell { members, ..Cell::base() };
        let found = cells.like(&around, |like, cell| like.size = cell.size);
        let x = |result: &CellResult| result.cell.size as f64;
        let of_byte =
            |result: &CellResult| Some(of_delivery(result).times(1e3 / result.cell.size as f64));
        lines.push(line(&format!("{members} members"), colour, &found, x, of_byte));
    }
    Chart {
        title: "Processor time of a delivered byte against size",
        note: "The same by bytes of payload: what a message costs whatever its size shows at the \
               left, what a byte costs at the right."
            .to_owned(),
        x: Axis { label: "bytes of a message", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "ns of a delivered byte", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

/// In microseconds, by messages and members that delivered them.
fn of_delivery(result: &CellResult) -> Spread {
    result.figures.cpu_us_per_msg.times(1.0 / f64::from(result.cell.members))
}

pub(super) fn of_rate(cells: &Cells<'_>) -> Chart {
    let base = Cell::base().size;
    let kinds = [(64, "agreed"), (base, "agreed"), (base, "safe")];
    let mut lines = Vec::new();
    for (colour, (size, service)) in kinds.into_iter().enumerate() {
        let found = cells.ladder(&Cell { size, service: service.to_owned(), ..Cell::base() });
        let y = |result: &CellResult| Some(Spread::of([result.cpu_percent_of_member()]));
        lines.push(line(&format!("{}, {service}", bytes(size)), colour, &found, msgs_per_s, y));
    }
    Chart {
        title: "Processor time against rate",
        note: "Of one member: the ring's threads, the load's sender and its receiver.".to_owned(),
        x: Axis { label: "messages a second, of all members", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "% of a processor", scale: Scale::linear(heights(&lines)) },
        lines,
    }
}
