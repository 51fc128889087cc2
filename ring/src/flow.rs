//! Flow control: how many packets a member may number in one token visit.

use crate::params::Params;
use crate::seq::Seq;

/// What flow control looks at, all in packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Waiting here.
    pub backlog: u32,
    /// Waiting at all members, this one included.
    pub total_backlog: u32,
    /// Multicast by the others in the last rotation.
    pub others_sent: u32,
    /// Requested packets multicast by this member in this visit.
    pub retransmitted: u32,
    /// Last number given on the ring.
    pub seq: Seq,
    /// What the tightest member will store.
    pub least_ceiling: Seq,
}

/// Packets this member may number now.
///
/// Bounded by its backlog, its personal window, what is left of the global window, the tightest
/// member's ceiling, and its fair share by backlog; at least 1 if it has backlog and the ceiling
/// allows, so that nobody starves.
#[must_use]
pub fn allowance(params: &Params, demand: &Demand) -> u32 {
    let room = u32::try_from(demand.least_ceiling.since(demand.seq)).unwrap_or(u32::MAX);
    let spent = demand.others_sent.saturating_add(demand.retransmitted);
    let window_left = params.global_packets.saturating_sub(spent);
    // What a rotation may bring where a receive buffer is the tightest: what is left of it, and what
    // the others took. Else who comes first after its owner would take all of it, each time.
    let pool = params.global_packets.min(room.saturating_add(demand.others_sent));
    let share = fair_share(pool, demand);
    let wanted = demand.backlog.min(params.personal_packets);
    wanted.min(window_left).min(share).max(wanted.min(1)).min(room)
}

/// The part of a rotation's packets that is this member's by its part of all backlog.
fn fair_share(pool: u32, demand: &Demand) -> u32 {
    let total = u64::from(demand.total_backlog.max(demand.backlog).max(1));
    let share = u64::from(pool) * u64::from(demand.backlog) / total;
    u32::try_from(share).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Demand = Demand {
        backlog: 0,
        total_backlog: 0,
        others_sent: 0,
        retransmitted: 0,
        seq: Seq(100),
        least_ceiling: Seq(10_000),
    };

    fn allowed(demand: Demand) -> u32 {
        let params = Params { personal_packets: 64, global_packets: 256, ..Params::default() };
        allowance(&params, &demand)
    }

    #[test]
    fn the_tightest_bound_counts() {
        assert_eq!(allowed(IDLE), 0);
        assert_eq!(allowed(Demand { backlog: 5, total_backlog: 5, ..IDLE }), 5);
        let busy = Demand { backlog: 500, total_backlog: 500, ..IDLE };
        assert_eq!(allowed(busy), 64);
        assert_eq!(allowed(Demand { others_sent: 200, retransmitted: 30, ..busy }), 26);
        assert_eq!(allowed(Demand { total_backlog: 50_000, ..busy }), 2);
        assert_eq!(allowed(Demand { least_ceiling: Seq(103), ..busy }), 3);
    }

    #[test]
    fn nobody_starves_but_no_ceiling_is_passed() {
        let late = Demand { backlog: 1, total_backlog: 9_000, others_sent: 300, ..IDLE };
        assert_eq!(allowed(late), 1);
        assert_eq!(allowed(Demand { least_ceiling: Seq(100), ..late }), 0);
        assert_eq!(allowed(Demand { least_ceiling: Seq(90), ..late }), 0);
    }
}
