//! Members that say nothing on the layer's channel: whatever it does waits for them.

use std::io;
use std::time::{Duration, Instant};

use roundel::NodeId;
use serde::Serialize;

use crate::events::Events;
use crate::output::write_object;

/// What a layer says comes within a few rotations; who takes longer has no such layer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Told once each time that others are waited for.
#[derive(Clone, Default, Debug)]
pub(super) struct Absent {
    missing: Vec<NodeId>,
    since: Option<Instant>,
    is_told: bool,
}

#[derive(Serialize)]
struct WaitingLine {
    event: &'static str,
    members: Vec<u32>,
}

impl Absent {
    /// Tells of those that are `missing` at `now` if they have been for long.
    pub(super) fn see(
        &mut self,
        now: Instant,
        missing: &[NodeId],
        command: &str,
        events: &mut Events,
    ) -> io::Result<()> {
        if !self.is_due(now, missing) {
            return Ok(());
        }
        if events.is_json() {
            let (event, members) = ("waiting", missing.iter().map(|member| member.0).collect());
            return write_object(events.out(), &WaitingLine { event, members });
        }
        let members: Vec<String> = missing.iter().map(ToString::to_string).collect();
        eprintln!(
            "roundel {command}: waiting for member {}, which says nothing; fix: if it runs another \
             command, start `roundel {command}` there, or end it",
            members.join(", ")
        );
        Ok(())
    }

    fn is_due(&mut self, now: Instant, missing: &[NodeId]) -> bool {
        if self.missing != missing {
            *self = Self { missing: missing.to_vec(), ..Self::default() };
        }
        if missing.is_empty() {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_due = !self.is_told && now.duration_since(since) >= PATIENCE;
        self.is_told |= is_due;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_of_once_and_anew_after_its_end() {
        let (mut absent, start) = (Absent::default(), Instant::now());
        let mut is_due =
            |seconds, missing| absent.is_due(start + Duration::from_secs(seconds), missing);
        let (one, other) = ([NodeId(1)], [NodeId(2)]);
        assert_eq!([0, 1, 2, 3].map(|at| is_due(at, &one)), [false, false, true, false]);
        assert!(!is_due(4, &[]));
        assert_eq!([5, 6, 7].map(|at| is_due(at, &one)), [false, false, true]);
        assert_eq!([8, 9, 10].map(|at| is_due(at, &other)), [false, false, true]);
    }
}
