//! Flow control: how many packets a member may number in one token visit.

use crate::params::Params;
use crate::seq::Seq;
use crate::wire::token::Token;

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
    /// The same, less one for each member that the token visits before the one whose ceiling it
    /// is: so much is left to them.
    pub shared_ceiling: Seq,
}

/// Packets this member may number now.
///
/// Bounded by its backlog, its personal window, what is left of the global window, the tightest
/// member's ceiling, and its fair share by backlog; at least 1 if it has backlog and the ceiling
/// allows, and never what the ceiling leaves to those after it: so nobody starves.
#[must_use]
pub fn allowance(params: &Params, demand: &Demand) -> u32 {
    let below = |ceiling: Seq| u32::try_from(ceiling.since(demand.seq)).unwrap_or(u32::MAX);
    let room = below(demand.least_ceiling);
    let spent = demand.others_sent.saturating_add(demand.retransmitted);
    let window_left = params.global_packets.saturating_sub(spent);
    // What a rotation may bring where a receive buffer is the tightest: what is left of it, and what
    // the others took. Else who comes first after its owner would take all of it, each time.
    let pool = params.global_packets.min(room.saturating_add(demand.others_sent));
    let share = fair_share(pool, demand);
    let wanted = demand.backlog.min(params.personal_packets);
    let mine = wanted.min(window_left).min(share).min(below(demand.shared_ceiling));
    mine.max(wanted.min(1)).min(room)
}

/// One part in so many of what a rotation may bring is for what all send without the token.
const FREE_PART: u64 = 4;

/// Packets that a member may have under way without the token until it has it again: its share of a
/// part of what the tightest member takes in one rotation. They come besides what the token allows, so
/// a buffer that is full to the last packet may lose some, which adapts its window like any loss.
#[must_use]
pub fn free_share(token: &Token) -> u32 {
    let room = token.least_ceiling().since(token.seq);
    let members = token.promises.len() as u64;
    u32::try_from(room / (FREE_PART * members.max(1))).unwrap_or(u32::MAX)
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
    use crate::wire::token::Promise;

    const IDLE: Demand = Demand {
        backlog: 0,
        total_backlog: 0,
        others_sent: 0,
        retransmitted: 0,
        seq: Seq(100),
        least_ceiling: Seq(10_000),
        shared_ceiling: Seq(10_000),
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
        assert_eq!(allowed(Demand { shared_ceiling: Seq(102), ..busy }), 2);
    }

    #[test]
    fn nobody_starves_but_no_ceiling_is_passed() {
        let late = Demand { backlog: 1, total_backlog: 9_000, others_sent: 300, ..IDLE };
        assert_eq!(allowed(late), 1);
        assert_eq!(allowed(Demand { least_ceiling: Seq(100), ..late }), 0);
        assert_eq!(allowed(Demand { least_ceiling: Seq(90), ..late }), 0);
        assert_eq!(allowed(Demand { shared_ceiling: Seq(90), ..late }), 1);
    }

    /// What each member numbers in each of some rotations when all have more than they may.
    fn rotations(receive_packets: &[u32]) -> Vec<Vec<u32>> {
        let members = receive_packets.len();
        let promise = |packets: &u32| Promise { aru: Seq(0), ceiling: Seq((*packets).into()) };
        let promises = receive_packets.iter().map(promise).collect();
        let mut token = Token { promises, ..Token::default() };
        let mut sent = vec![0; members];
        let rotation = |_| {
            for me in 0..members {
                let room = u64::from(receive_packets[me]);
                token.promises[me].ceiling = token.seq.plus(room);
                let others_sent = sent.iter().sum::<u32>() - sent[me];
                sent[me] = allowed(Demand {
                    backlog: 1_000,
                    total_backlog: 1_000 * u32::try_from(members).unwrap(),
                    others_sent,
                    seq: token.seq,
                    least_ceiling: token.least_ceiling(),
                    shared_ceiling: token.shared_ceiling(me),
                    ..IDLE
                });
                token.seq = token.seq.plus(u64::from(sent[me]));
            }
            sent.clone()
        };
        (0..20).map(rotation).collect()
    }

    #[test]
    fn a_small_receive_buffer_starves_nobody() {
        let with = |smallest, members: usize| [vec![smallest], vec![512; members - 1]].concat();
        let cases = [with(25, 8), with(100, 16), vec![20; 20], vec![32; 32], with(40, 3)];
        for receive_packets in cases {
            for sent in rotations(&receive_packets) {
                assert!(sent.iter().all(|&sent| sent > 0), "{receive_packets:?}: {sent:?}");
            }
        }
    }
}
