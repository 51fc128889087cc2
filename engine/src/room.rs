//! How a publisher waits for room.

use std::time::Duration;

use crate::doorbell::Bed;
use crate::sync::Backoff;

/// Longest wait for room before looking again: several publishers share one bell, and one ring
/// may be taken by another.
const ROOM_POLL: Duration = Duration::from_millis(5);

/// Waiting for room between tries.
#[derive(Default, Debug)]
pub(crate) struct RoomWait {
    backoff: Backoff,
    /// The bell was told; the next try decides whether there is anything to wait for.
    prepared: bool,
}

impl RoomWait {
    /// After a try that found no room.
    pub(crate) fn step(&mut self, room: &Bed) {
        if !self.backoff.is_completed() {
            self.backoff.snooze();
        } else if std::mem::replace(&mut self.prepared, true) {
            room.wait(ROOM_POLL);
            self.prepared = false;
        } else {
            room.prepare_sleep();
        }
    }
}
