//! What a member has adapted to, told in few words: at most one line in a while, however often it
//! changes.

use std::fmt;
use std::time::{Duration, Instant};

/// Shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// Sees the receive window, and says when there is something to tell.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Adaptation {
    /// What was told last, in packets; the first is not told.
    known: Option<u32>,
    told_at: Option<Instant>,
}

/// A change by a factor of two or more since the last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    from: u32,
    to: u32,
}

impl Adaptation {
    /// The window is so many packets at `now`.
    pub(crate) fn see(&mut self, packets: u32, now: Instant) -> Option<Change> {
        let from = *self.known.get_or_insert(packets);
        let changed = packets <= from / 2 || packets / 2 >= from;
        let soon = self.told_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        if !changed || soon {
            return None;
        }
        (self.known, self.told_at) = (Some(packets), Some(now));
        Some(Change { from, to: packets })
    }
}

impl Change {
    pub(crate) const fn is_for_worse(self) -> bool {
        self.to < self.from
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "the others may send this member {to} packets in a rotation, {from} before: ")?;
        f.write_str(if self.is_for_worse() {
            "its receive buffer was full and the kernel dropped some; the ring is slower so; fix: \
             sysctl -w net.core.rmem_max=16777216 or CAP_NET_ADMIN, and fewer threads that compute \
             on its processors"
        } else {
            "nothing was dropped since"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_doubles_are_told_and_not_too_often() {
        let mut adaptation = Adaptation::default();
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        assert_eq!(adaptation.see(512, at(0)), None, "the first is as it should be");
        assert_eq!(adaptation.see(300, at(1)), None);
        assert_eq!(adaptation.see(256, at(2)), Some(Change { from: 512, to: 256 }));
        assert_eq!(adaptation.see(64, at(3)), None, "too soon");
        assert_eq!(adaptation.see(16, at(12)), Some(Change { from: 256, to: 16 }));
        assert_eq!(adaptation.see(31, at(40)), None);
        assert_eq!(adaptation.see(512, at(60)), Some(Change { from: 16, to: 512 }));
    }

    #[test]
    fn a_line_has_its_cause() {
        let worse = Change { from: 512, to: 256 };
        assert!(worse.is_for_worse() && worse.to_string().contains("fix:"));
        assert!(Change { from: 16, to: 32 }.to_string().contains("nothing was dropped"));
    }
}
