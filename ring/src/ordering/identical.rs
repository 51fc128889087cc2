//! When two ordering machines are alike: the same inputs lead to the same outputs.

use std::hash::{Hash, Hasher};

use super::{Ordering, TraceLog};

/// All that decides what the machine does next; who it is and its tunables are taken to be the
/// same. Counts and memory decide nothing.
impl Hash for Ordering {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            identity: _,
            params: _,
            installed,
            phase,
            waiting,
            backlog,
            arena: _,
            outbox,
            stream,
            reports,
            trace,
            scratch: _,
            drained,
            receive,
            pace,
            own_delivered: _,
            primary,
            counters: _,
        } = self;
        (installed, phase, waiting, backlog, outbox).hash(state);
        stream.len().hash(state);
        (reports, drained, receive, pace).hash(state);
        primary.hash(state);
        // What was recorded is taken in each cycle.
        trace.as_ref().map(|TraceLog { entries: _, partial }| partial).hash(state);
    }
}
