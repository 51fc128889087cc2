//! How a run ends: all is healed, one ring must come of it, and the histories are judged.

use std::time::Duration;

use bytes::Bytes;

use super::scenario::run_until;
use super::state::chain;
use super::world::{What, World};
use crate::service::Service;
use crate::sim::check::{self, Verdict};
use crate::sim::god::Violated;
use crate::sim::run::Failure;
use crate::trace::History;

/// From the last fault to a cluster that has settled as far as its cut lets it.
pub(super) const SETTLES_WITHIN: Duration = Duration::from_secs(5);

impl World {
    /// Ends every fault and starts whoever is down.
    pub(super) fn heal(&mut self) -> Result<(), Violated> {
        self.sides.fill(0);
        (0..self.hosts.len()).try_for_each(|node| self.start(node))
    }

    /// Demands one quiet ring of all, and that it orders a message.
    pub(super) fn demand_one_ring(&mut self) -> Result<(), Failure> {
        let demand = |world: &mut Self, demand: &str| {
            run_until(world, Self::is_settled).map_err(|violated| match violated.invariant {
                "a start is reached" => Failure::new(demand, world.describe()),
                _ => Failure::from(violated),
            })
        };
        demand(self, "one operational ring of all live members")?;
        if !self.is_primary() {
            return Err(Failure::new("an eligible cluster has a primary", self.describe()));
        }
        let payload = Bytes::from_static(b"after");
        self.push(self.now, 0, What::Publish(Service::Safe, payload));
        demand(self, "new messages are delivered")
    }

    /// Stands for all that the histories say, but for when.
    pub(super) fn said(&self) -> u64 {
        self.hosts.iter().fold(0, |said, host| chain(said, &host.said()))
    }

    /// Judges the histories of a run that has ended well.
    pub(super) fn judge(&self) -> Verdict {
        check::check(&self.histories(), check::Options { quiescent: true })
    }

    /// What every member did.
    pub(super) fn histories(&self) -> Vec<History> {
        self.hosts.iter().flat_map(|host| host.histories.iter().cloned()).collect()
    }

    /// What every member is at, for a human.
    pub(super) fn describe(&self) -> String {
        let member = |host: &super::host::Host| match &host.life {
            None => format!("{} is down", host.id()),
            Some(life) => {
                let (ordering, membership) = (life.data.ordering(), life.control.membership());
                let (installed, aru) = (ordering.installed(), ordering.aru());
                let (state, id) = (membership.state_name(), host.id());
                format!(
                    "{id}: {state} on ring {} of {:?}, aru {aru}",
                    installed.ring,
                    installed.ids()
                )
            }
        };
        self.hosts.iter().map(member).collect::<Vec<_>>().join("; ")
    }
}
