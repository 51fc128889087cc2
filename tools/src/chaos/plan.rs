//! What goes wrong, and when: drawn from the seed alone.

use std::time::Duration;

use roundel::lan::{Drops, Faults};

use super::chance::Chance;
use super::kind::{Kind, Profile};
use super::words::Load;

/// What lasts is there long enough for some frames to meet it, also where few are sent.
const SHORT_MS: u64 = 150;

/// Frames as the protocol's header tells them: what it begins with, and the kind.
const fn frames(kind: u8) -> [u8; 4] {
    [b'R', b'l', 1, kind]
}
const DATA: [u8; 4] = frames(1);
const TOKENS: [u8; 4] = frames(2);
const JOINS: [u8; 4] = frames(3);
const COMMITS: [u8; 4] = frames(4);

/// Faults that overlap, and what the members publish meanwhile.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Episode {
    pub(super) faults: Vec<Fault>,
    pub(super) load: Load,
    /// Who publishes; all when none.
    pub(super) sender: Option<u32>,
    /// How long after healing the next one begins.
    pub(super) calm: Duration,
}

/// A fault: what is done, in its order.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// By the time since the episode's begin.
    pub(super) steps: Vec<(Duration, Step)>,
}

/// Something that is done to a member or to the network.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    Kill(u32),
    Start(u32),
    /// With a receive buffer of so many bytes.
    StartSmall(u32, usize),
    Leave(u32),
    Pause(u32),
    Resume(u32),
    /// Milliseconds between reads.
    Read(u32, u64),
    Hogs(u32),
    HogsEnd,
    Interface(u32, bool),
    Cable(u32, bool),
    Drops(Vec<Drops>),
    DropsEnd,
    /// Mbit/s.
    Rate(u32, u32),
    RateEnd(u32),
    Detour(u32, u64, Faults),
    DetourEnd(u32),
    Fill(u32),
    FillEnd(u32),
    Seal(u32),
    SealEnd(u32),
    Twin(u32),
    TwinEnd(u32),
    Second(u32),
    SecondEnd(u32),
    Foreign,
    ForeignEnd,
    Garbage(u64),
    GarbageEnd,
}

/// Draws episodes without end.
#[derive(Debug)]
pub(super) struct Plan {
    chance: Chance,
    members: u32,
    kinds: Vec<Kind>,
    /// Kinds that come before any comes again.
    deck: Vec<Kind>,
    loads: u64,
}

impl Plan {
    pub(super) fn new(seed: u64, members: u32, profile: Profile) -> Self {
        let mut kinds = profile.kinds();
        if members < 3 {
            kinds.retain(|kind| *kind != Kind::PartitionNonTransitive);
        }
        Self { chance: Chance::new(seed), members, kinds, deck: Vec::new(), loads: 0 }
    }

    /// The next episode.
    pub(super) fn draw(&mut self) -> Episode {
        let at_once = match self.chance.index(100) {
            0..=29 => 1,
            30..=69 => 2,
            _ => 3,
        };
        let mut kinds: Vec<Kind> = Vec::new();
        while kinds.len() < at_once {
            let kind = self.next_kind();
            let goes_with = |other: &Kind| {
                let ends_all = [kind, *other].contains(&Kind::KillAll);
                let both_processes = kind.is_about_processes() && other.is_about_processes();
                let both_corrupt = [kind, *other] == [Kind::Corrupt; 2];
                !(kind.is_alone() || ends_all && both_processes || both_corrupt)
            };
            if kinds.iter().all(goes_with) {
                kinds.push(kind);
            } else {
                // It comes first in the next episode.
                self.deck.push(kind);
                break;
            }
            if kind.is_alone() {
                break;
            }
        }
        let mut hosts: Vec<u32> = (1..=self.members).collect();
        self.chance.shuffle(&mut hosts);
        let mut faults = Vec::new();
        for (index, kind) in kinds.into_iter().enumerate() {
            // Another host for each, so that none takes away what another needs.
            hosts.rotate_left(usize::from(index > 0));
            faults.push(self.fault(kind, &hosts));
        }
        if self.chance.percent(60) {
            end_together(&mut faults);
        }
        let needs_traffic = |fault: &Fault| matches!(fault.kind, Kind::Rate | Kind::LossData);
        let (load, sender) = self.load(faults.iter().any(needs_traffic));
        let calm = self.chance.millis(50, 500);
        Episode { faults, load, sender, calm }
    }

    fn next_kind(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
            self.chance.shuffle(&mut self.deck);
        }
        self.deck.pop().unwrap_or(Kind::Kill)
    }

    /// Messages of all members together: a trickle to some thousands a second.
    fn load(&mut self, is_busy: bool) -> (Load, Option<u32>) {
        self.loads += 1;
        let chance = &mut self.chance;
        let (total, burst_ms, one) = match chance.index(100) {
            _ if is_busy => (chance.number(2_000, 4_000), 1, false),
            0..=4 => (chance.number(20, 100), 1, false),
            5..=14 => (chance.number(500, 2_000), 1, true),
            15..=29 => (chance.number(1_000, 2_500), chance.number(50, 400), false),
            30..=39 => (chance.number(2_500, 6_000), 1, false),
            _ => (chance.number(1_000, 2_500), 1, false),
        };
        let sender = one.then(|| chance.number(1, self.members));
        let senders = if one { 1 } else { self.members };
        let large_per_mille = if chance.percent(30) { chance.number(1, 8) } else { 0 };
        let number = self.loads;
        (Load { number, pace: total / senders, burst_ms, large_per_mille }, sender)
    }

    /// A load of nothing.
    pub(super) fn rest(&mut self) -> Load {
        self.loads += 1;
        Load { number: self.loads, ..Load::default() }
    }

    /// `hosts` are all members in a random order.
    fn fault(&mut self, kind: Kind, hosts: &[u32]) -> Fault {
        let begin = self.chance.millis(0, 300);
        let steps = match kind {
            Kind::Kill
            | Kind::KillAtOnce
            | Kind::RestartStorm
            | Kind::KillAll
            | Kind::Leave
            | Kind::SmallBuffers => self.deaths(kind, begin, hosts),
            Kind::Stop | Kind::CpuSlices | Kind::CpuHogs | Kind::SlowReader => {
                self.stalls(kind, begin, hosts[0])
            }
            Kind::LinkDown | Kind::CableOut => self.cables(kind, begin, hosts[0]),
            Kind::Loss
            | Kind::LossOneWay
            | Kind::LossTokens
            | Kind::LossData
            | Kind::LossJoins
            | Kind::LossCommits => self.losses(kind, begin, hosts),
            Kind::Partition | Kind::PartitionOneWay | Kind::PartitionNonTransitive => {
                self.partitions(kind, begin, hosts)
            }
            Kind::Rate | Kind::Delay | Kind::Duplicate | Kind::Reorder | Kind::Corrupt => {
                self.frames(kind, begin, hosts)
            }
            Kind::DiskFull | Kind::DiskReadOnly => self.disks(kind, begin, hosts[0]),
            Kind::Twin | Kind::SecondRefused | Kind::Foreign | Kind::Garbage => {
                self.strangers(kind, begin, hosts[0])
            }
        };
        Fault { kind, steps }
    }

    /// From a step to the one that ends it.
    fn span(&mut self, begin: Duration, step: Step, end: Step) -> Vec<(Duration, Step)> {
        let lasts = match self.chance.index(10) {
            0 => self.chance.millis(1_500, 3_000),
            1..=4 => self.chance.millis(SHORT_MS, 300),
            _ => self.chance.millis(300, 1_200),
        };
        vec![(begin, step), (begin + lasts, end)]
    }

    fn deaths(&mut self, kind: Kind, begin: Duration, hosts: &[u32]) -> Vec<(Duration, Step)> {
        let (host, chance) = (hosts[0], &mut self.chance);
        match kind {
            Kind::KillAtOnce => {
                let back = begin + chance.millis(0, 20);
                vec![(begin, Step::Kill(host)), (back, Step::Start(host))]
            }
            Kind::RestartStorm => {
                let (mut at, mut steps) = (begin, Vec::new());
                for _ in 0..chance.number(4, 9) {
                    steps.push((at, Step::Kill(host)));
                    at += chance.millis(0, 60);
                    steps.push((at, Step::Start(host)));
                    at += chance.millis(5, 250);
                }
                steps
            }
            Kind::KillAll => {
                let back = begin + chance.millis(0, 400);
                let kills = hosts.iter().map(|host| (begin, Step::Kill(*host)));
                kills.chain(hosts.iter().map(|host| (back, Step::Start(*host)))).collect()
            }
            Kind::Leave => {
                let back = begin + chance.millis(50, 1_200);
                vec![(begin, Step::Leave(host)), (back, Step::Start(host))]
            }
            Kind::SmallBuffers => {
                let bytes = chance.index(4) * 2_048 + 2_048;
                let started = begin + chance.millis(0, 100);
                let ended = started + chance.millis(800, 2_500);
                vec![
                    (begin, Step::Kill(host)),
                    (started, Step::StartSmall(host, bytes)),
                    (ended, Step::Kill(host)),
                    (ended, Step::Start(host)),
                ]
            }
            _ => {
                let back = begin + chance.millis(100, 1_500);
                vec![(begin, Step::Kill(host)), (back, Step::Start(host))]
            }
        }
    }

    fn stalls(&mut self, kind: Kind, begin: Duration, host: u32) -> Vec<(Duration, Step)> {
        match kind {
            Kind::CpuSlices => {
                let (mut at, mut steps) = (begin, Vec::new());
                for _ in 0..self.chance.number(5, 25) {
                    steps.push((at, Step::Pause(host)));
                    at += self.chance.millis(20, 90);
                    steps.push((at, Step::Resume(host)));
                    at += self.chance.millis(2, 20);
                }
                steps
            }
            Kind::CpuHogs => {
                let threads = self.chance.number(2, 5);
                self.span(begin, Step::Hogs(threads), Step::HogsEnd)
            }
            Kind::SlowReader => {
                let pause_ms = [2, 20, 100, 60_000][self.chance.index(4)];
                self.span(begin, Step::Read(host, pause_ms), Step::Read(host, 0))
            }
            _ => self.span(begin, Step::Pause(host), Step::Resume(host)),
        }
    }

    fn cables(&mut self, kind: Kind, begin: Duration, host: u32) -> Vec<(Duration, Step)> {
        let step = |up| match kind {
            Kind::LinkDown => Step::Interface(host, up),
            _ => Step::Cable(host, up),
        };
        if self.chance.percent(30) {
            let (mut at, mut steps) = (begin, Vec::new());
            for _ in 0..self.chance.number(2, 6) {
                steps.push((at, step(false)));
                at += self.chance.millis(10, 200);
                steps.push((at, step(true)));
                at += self.chance.millis(10, 300);
            }
            return steps;
        }
        self.span(begin, step(false), step(true))
    }

    fn losses(&mut self, kind: Kind, begin: Duration, hosts: &[u32]) -> Vec<(Duration, Step)> {
        let (payload, range) = match kind {
            Kind::LossTokens => (Some(TOKENS), [300, 1_000]),
            Kind::LossData => (Some(DATA), [100, 600]),
            Kind::LossJoins => (Some(JOINS), [200, 1_000]),
            Kind::LossCommits => (Some(COMMITS), [200, 1_000]),
            Kind::LossOneWay => (None, [100, 1_000]),
            _ => (None, [20, 400]),
        };
        let per_mille = self.chance.number(range[0], range[1]);
        let (mut from, mut to) = (hosts.to_vec(), hosts.to_vec());
        if kind == Kind::LossOneWay {
            let one = if self.chance.percent(50) { &mut from } else { &mut to };
            one.truncate(1);
        }
        let drops = Drops { from, to, payload, per_mille };
        let mut steps = self.span(begin, Step::Drops(vec![drops]), Step::DropsEnd);
        if matches!(kind, Kind::LossJoins | Kind::LossCommits) {
            // Something to form a membership about.
            let (killed, back) = (self.chance.millis(0, 50), self.chance.millis(60, 400));
            steps.push((begin + killed, Step::Kill(hosts[0])));
            steps.push((begin + back, Step::Start(hosts[0])));
            if let Some(last) = steps.get_mut(1) {
                last.0 = last.0.max(begin + Duration::from_millis(400));
            }
        }
        steps
    }

    fn partitions(&mut self, kind: Kind, begin: Duration, hosts: &[u32]) -> Vec<(Duration, Step)> {
        let size = 1 + self.chance.index(hosts.len() - 1);
        let (one, other) = match kind {
            Kind::PartitionNonTransitive => (&hosts[..1], &hosts[1..2]),
            _ => hosts.split_at(size),
        };
        let cut = |from: &[u32], to: &[u32]| Drops {
            from: from.to_vec(),
            to: to.to_vec(),
            payload: None,
            per_mille: 1_000,
        };
        let mut cuts = vec![cut(one, other)];
        if kind != Kind::PartitionOneWay {
            cuts.push(cut(other, one));
        }
        self.span(begin, Step::Drops(cuts), Step::DropsEnd)
    }

    fn frames(&mut self, kind: Kind, begin: Duration, hosts: &[u32]) -> Vec<(Duration, Step)> {
        let (host, chance) = (hosts[0], &mut self.chance);
        let part = f64::from(chance.number(5, 60)) / 100.0;
        let none = Faults::default();
        let faults = match kind {
            Kind::Rate => {
                let rate = Step::Rate(host, chance.number(1, 2));
                let lasts = chance.millis(800, 2_000);
                return vec![(begin, rate), (begin + lasts, Step::RateEnd(host))];
            }
            Kind::Delay => {
                Faults { delay: chance.millis(1, 60), jitter: chance.millis(0, 30), ..none }
            }
            Kind::Duplicate => Faults { duplicate: part, jitter: chance.millis(0, 3), ..none },
            Kind::Reorder => Faults { reorder: part, held_back: chance.millis(1, 40), ..none },
            _ => Faults { corrupt: part / 2.0, ..none },
        };
        // The bridge learns anew where a host is.
        let lasts = chance.millis(300, 1_500);
        // Two wrong bits in one frame may have the checksum of none.
        let count = if kind != Kind::Corrupt && chance.percent(30) { 2 } else { 1 };
        let mut steps = Vec::new();
        for host in hosts.iter().take(count) {
            let seed = chance.between(0, u64::MAX);
            steps.push((begin, Step::Detour(*host, seed, faults)));
            steps.push((begin + lasts, Step::DetourEnd(*host)));
        }
        steps.sort_by_key(|(at, _)| *at);
        steps
    }

    fn disks(&mut self, kind: Kind, begin: Duration, host: u32) -> Vec<(Duration, Step)> {
        let (step, end) = match kind {
            Kind::DiskFull => (Step::Fill(host), Step::FillEnd(host)),
            _ => (Step::Seal(host), Step::SealEnd(host)),
        };
        let mut steps = self.span(begin, step, end);
        if self.chance.percent(50) {
            // A start on such a disk is refused.
            let at = begin + self.chance.millis(10, 200);
            steps.push((at, Step::Kill(host)));
            steps.push((at + self.chance.millis(5, 100), Step::Start(host)));
            steps.sort_by_key(|(at, _)| *at);
        }
        steps
    }

    fn strangers(&mut self, kind: Kind, begin: Duration, host: u32) -> Vec<(Duration, Step)> {
        let lasts = self.chance.millis(1_300, 2_500);
        match kind {
            // Its life must be later by the clock's second, and that of the first one's return.
            Kind::Twin => vec![
                (begin + Duration::from_millis(1_100), Step::Twin(host)),
                (begin + Duration::from_millis(1_100) + lasts, Step::TwinEnd(host)),
            ],
            Kind::SecondRefused => {
                vec![(begin, Step::Second(host)), (begin + 2 * lasts, Step::SecondEnd(host))]
            }
            Kind::Foreign => vec![(begin, Step::Foreign), (begin + lasts, Step::ForeignEnd)],
            _ => {
                let seed = self.chance.between(0, u64::MAX);
                self.span(begin, Step::Garbage(seed), Step::GarbageEnd)
            }
        }
    }
}

/// Lets faults that have an end last until that of the last one, so that all heals in one instant.
fn end_together(faults: &mut [Fault]) {
    let last = faults.iter().filter_map(|fault| fault.steps.iter().map(|(at, _)| *at).max()).max();
    for fault in faults.iter_mut().filter(|fault| fault.steps.len() == 2) {
        if let (Some((end, _)), Some(last)) = (fault.steps.last_mut(), last) {
            *end = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_every_kind_comes() {
        let draw = |seed| -> Vec<Episode> {
            let mut plan = Plan::new(seed, 5, Profile::All);
            (0..40).map(|_| plan.draw()).collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for seed in 0..20 {
            let kinds: BTreeSet<Kind> =
                draw(seed).iter().flat_map(|one| one.faults.iter().map(|f| f.kind)).collect();
            assert_eq!(kinds.len(), Kind::ALL.len(), "{seed}");
        }
    }

    #[test]
    fn what_must_be_alone_is_and_times_are_bounded() {
        let mut plan = Plan::new(3, 4, Profile::All);
        for _ in 0..300 {
            let episode = plan.draw();
            assert!(!episode.faults.is_empty() && episode.faults.len() <= 3);
            let alone = episode.faults.iter().any(|fault| fault.kind.is_alone());
            assert!(!alone || episode.faults.len() == 1);
            let last = episode.faults.iter().flat_map(|f| f.steps.iter().map(|(at, _)| *at)).max();
            assert!(last.unwrap() <= Duration::from_secs(6), "{episode:?}");
        }
    }

    #[test]
    fn a_profile_draws_its_own_and_two_members_have_no_third() {
        let mut plan = Plan::new(1, 2, Profile::Partitions);
        for _ in 0..50 {
            for fault in plan.draw().faults {
                assert!(plan.kinds.contains(&fault.kind));
                assert_ne!(fault.kind, Kind::PartitionNonTransitive);
            }
        }
    }
}
