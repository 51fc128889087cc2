//! When two membership machines are alike: the same inputs lead to the same outputs.

use std::hash::{Hash, Hasher};

use super::Membership;

/// All that decides what the machine does next; who it is and its tunables are taken to be the
/// same. Counts and notices decide nothing.
impl Hash for Membership {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            identity: _,
            params: _,
            ledger,
            installed,
            given_up,
            worker,
            state: machine,
            peers,
            beacon_at,
            outbox,
            directives,
            letters,
            notices: _,
            ignored: _,
            gathers: _,
            pace,
        } = self;
        (ledger, installed, given_up, worker, machine, peers).hash(state);
        (beacon_at, outbox, directives, letters, pace).hash(state);
    }
}
