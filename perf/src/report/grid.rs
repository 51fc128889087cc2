//! How near the ring comes to the floor, by members and size.

use std::fmt::Write as _;

use crate::matrix::document::CellResult;
use crate::matrix::plan::{Cell, GRID_MEMBERS, GRID_SIZES};

/// The table, if one of its cells was measured.
pub(super) fn table(cells: &[CellResult], to: &mut String) {
    let part = |members, size| {
        let wanted = Cell { members, size, ..Cell::base() };
        let found = cells.iter().find(|it| it.validity.valid && it.cell == wanted);
        found.and_then(|result| result.figures.of_floor)
    };
    let rows = GRID_MEMBERS.map(|members| GRID_SIZES.map(|size| part(members, size)));
    if rows.as_flattened().iter().all(Option::is_none) {
        return;
    }
    to.push_str(
        "<h2>Floor ratio by members and size</h2><p>Messages a second of the ring, by those of \
         the same packets without a protocol on the same hosts in the same minute; medians, both \
         at the greatest rate.</p><table class=\"grid\"><thead><tr><th>members",
    );
    for size in GRID_SIZES {
        let _ = write!(to, "<th>{}", super::bytes(size));
    }
    to.push_str("</tr></thead><tbody>");
    for (members, row) in GRID_MEMBERS.into_iter().zip(rows) {
        let _ = write!(to, "<tr><td>{members}");
        for part in row {
            to.push_str(&super::part_of_floor(part));
        }
        to.push_str("</tr>");
    }
    to.push_str("</tbody></table>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::document;

    #[test]
    fn every_member_count_has_every_size() {
        let mut document = document();
        let mut html = String::new();
        table(&document.cells, &mut html);
        assert_eq!(html.matches("0.67").count(), GRID_MEMBERS.len() * GRID_SIZES.len());
        document.cells.retain(|result| result.cell.size != GRID_SIZES[0]);
        let mut html = String::new();
        table(&document.cells, &mut html);
        assert_eq!(html.matches("<td>–").count(), GRID_MEMBERS.len(), "not measured");
        document.cells.clear();
        let mut html = String::new();
        table(&document.cells, &mut html);
        assert!(html.is_empty());
    }
}
