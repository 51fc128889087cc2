//! What is to be seen of the cluster from outside: how often it changed, and whether it is one.

use super::node::{Life, Node};
use super::world::World;
use crate::configuration::ConfigurationKind;
use crate::id::RingId;
use crate::time::Time;
use crate::trace::Event;

impl World {
    /// Entries into gather of all living members.
    pub(super) fn gathers(&self) -> u64 {
        self.lives().map(|life| life.control.membership().gathers()).sum()
    }

    /// Tokens that the living members sent again.
    pub(super) fn token_retransmits(&self) -> u64 {
        self.lives().map(|life| life.data.ordering().counters().token_retransmits).sum()
    }

    fn lives(&self) -> impl Iterator<Item = &Life> {
        self.nodes.iter().filter_map(|node| node.life.as_ref())
    }

    /// Sizes of the regular configurations that a member installed since, in its last life.
    pub(super) fn regular_sizes(&self, node: usize, since: Time) -> impl Iterator<Item = usize> {
        let entries = self.nodes[node].histories.last().into_iter().flat_map(|it| &it.entries);
        let size = |event: &Event| match event {
            Event::Configuration(it) if it.kind == ConfigurationKind::Regular => {
                Some(it.members.len())
            }
            _ => None,
        };
        entries.filter(move |entry| entry.time >= since).filter_map(move |entry| size(&entry.event))
    }

    /// Whether all hosts are on one ring and nothing is left to do.
    pub(super) fn is_one_quiet_ring(&self) -> bool {
        are_one(self.nodes.iter().map(|node| {
            let life = node.life.as_ref()?;
            let (ordering, membership) = (life.data.ordering(), life.control.membership());
            let whole = ordering.installed().len() == self.nodes.len();
            let settled = membership.is_operational() && ordering.is_quiet();
            let read = life.data_side.stream.is_empty() && life.data_side.commands.is_empty();
            let same = ordering.installed().ring == membership.installed().ring;
            // A report of what was before the healing may still be on its way.
            let handed = life.data_half.handed_at.max(life.control_half.handed_at) <= self.now;
            let quiet = whole && settled && read && same && handed;
            (quiet && !life.leaving).then_some(ordering.installed().ring)
        }))
    }

    /// Whether all but one work on one ring of exactly themselves.
    pub(super) fn is_one_ring(&self, without: usize) -> bool {
        let others = self.nodes.iter().filter(|node| node.index != without);
        are_one(others.map(|node| {
            let life = node.life.as_ref()?;
            let installed = life.data.ordering().installed();
            let works = life.control.membership().is_operational();
            (works && installed.len() == self.nodes.len() - 1).then_some(installed.ring)
        }))
    }

    /// What every host is at, for a human.
    pub(super) fn describe(&self) -> String {
        let member = |node: &Node| match &node.life {
            None => format!("{} is down", node.id()),
            Some(life) => {
                let (ordering, membership) = (life.data.ordering(), life.control.membership());
                format!(
                    "{}: {} on ring {} of {:?} (aru {}, quiet {}, backlog empty {})",
                    node.id(),
                    membership.state_name(),
                    ordering.installed().ring,
                    ordering.installed().ids(),
                    ordering.aru(),
                    ordering.is_quiet(),
                    ordering.is_backlog_empty(),
                )
            }
        };
        self.nodes.iter().map(member).collect::<Vec<_>>().join("; ")
    }
}

/// Whether there is a ring, and everybody is on it.
fn are_one(mut rings: impl Iterator<Item = Option<RingId>>) -> bool {
    let first = rings.next().flatten();
    first.is_some() && rings.all(|ring| ring == first)
}
