//! Whether a process takes more and more.

/// What a process holds.
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Holdings {
    /// Resident memory.
    pub(super) rss_kib: u64,
    /// Open file descriptors.
    pub(super) fds: u64,
    pub(super) threads: u64,
}

/// Looks at a process from its start on, a second apart; with fewer nothing is judged: pools and
/// windows are still filling.
const LOOKS_MIN: usize = 30;

/// Looks at the end of which the least counts: one that is high by chance is none.
const LAST: usize = 5;

/// Growth of memory that is none: a tenth and this.
const RSS_SLACK_KIB: u64 = 16 * 1024;

/// What grew between the first quarter of these looks and their end, as sentences.
pub(super) fn growth(looks: &[Holdings]) -> Vec<String> {
    if looks.len() < LOOKS_MIN {
        return Vec::new();
    }
    let (first, last) = (&looks[..looks.len() / 4], &looks[looks.len() - LAST..]);
    let before = first.iter().copied().fold(Holdings::default(), Holdings::most);
    let after = last.iter().copied().reduce(Holdings::least).unwrap_or_default();
    let rss_allowed = before.rss_kib + before.rss_kib / 10 + RSS_SLACK_KIB;
    let kinds = [
        ("KiB of memory", before.rss_kib, rss_allowed, after.rss_kib),
        ("file descriptors", before.fds, before.fds, after.fds),
        ("threads", before.threads, before.threads, after.threads),
    ];
    let grown = kinds.into_iter().filter(|(_, _, allowed, after)| after > allowed);
    grown.map(|(what, before, _, after)| format!("grew from {before} to {after} {what}")).collect()
}

impl Holdings {
    fn by(self, other: Self, choose: fn(u64, u64) -> u64) -> Self {
        Self {
            rss_kib: choose(self.rss_kib, other.rss_kib),
            fds: choose(self.fds, other.fds),
            threads: choose(self.threads, other.threads),
        }
    }

    fn most(self, other: Self) -> Self {
        self.by(other, u64::max)
    }

    fn least(self, other: Self) -> Self {
        self.by(other, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Holdings = Holdings { rss_kib: 100_000, fds: 20, threads: 5 };

    /// A minute: this at the end of it, after what is usual.
    fn minute(end: Holdings) -> Vec<Holdings> {
        [vec![USUAL; 30], vec![end; 30]].concat()
    }

    #[test]
    fn growth_beyond_the_bound_is_found() {
        assert!(growth(&minute(Holdings { rss_kib: 126_384, ..USUAL })).is_empty());
        let more = growth(&minute(Holdings { rss_kib: 126_385, ..USUAL }));
        assert_eq!(more, ["grew from 100000 to 126385 KiB of memory"]);
        assert_eq!(growth(&minute(Holdings { fds: 21, threads: 6, ..USUAL })).len(), 2);
    }

    #[test]
    fn a_start_a_moment_and_a_short_life_are_excused() {
        let start = [vec![Holdings::default(); 10], vec![USUAL; 50]].concat();
        assert!(growth(&start).is_empty());
        let mut moment = minute(USUAL);
        moment[58].fds = 100;
        assert!(growth(&moment).is_empty());
        let more = Holdings { fds: 21, ..USUAL };
        assert!(growth(&minute(more)[20..40]).is_empty());
    }
}
