//! How the members are doing: what they count, and what their processes hold.

use std::collections::BTreeMap;

use serde::Serialize;

use super::growth::{Holdings, growth};
use super::words::Tally;
use crate::figures::rounded;

/// All members, by host.
#[derive(Default, Debug)]
pub(super) struct Watch {
    members: BTreeMap<u32, Member>,
    /// Of lives that are over.
    over: Totals,
    worst_gap_ns: u64,
}

/// A member in one life.
#[derive(Default, Debug)]
struct Member {
    life: u32,
    /// A second apart.
    looks: Vec<Holdings>,
    tally: Option<Tally>,
    /// At the last sample.
    sampled_cpu_ns: u64,
    sampled_at_s: f64,
    /// Since the last sample.
    gap_ns: u64,
}

/// Sums over members and lives.
#[derive(Serialize, Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Totals {
    pub(super) accepted: u64,
    pub(super) skipped: u64,
    pub(super) delivered: u64,
    pub(super) delivered_bytes: u64,
    pub(super) retransmits: u64,
    pub(super) token_retransmits: u64,
    pub(super) socket_drops: u64,
    pub(super) cpu_s: f64,
}

/// A member in a sample.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub(super) struct MemberSample {
    pub(super) id: u32,
    pub(super) life: u32,
    #[serde(flatten)]
    pub(super) holdings: Holdings,
    pub(super) cpu_percent: f64,
    /// Since the start of this life.
    pub(super) delivered: u64,
    pub(super) accepted: u64,
    pub(super) skipped: u64,
    /// Accepted and not delivered here yet.
    pub(super) outstanding: u64,
    pub(super) retransmits: u64,
    pub(super) socket_drops: u64,
    /// Longest time without a delivery since the sample before.
    pub(super) worst_gap_ms: f64,
}

impl Totals {
    fn add(&mut self, tally: &Tally) {
        self.accepted += tally.accepted;
        self.skipped += tally.skipped;
        self.delivered += tally.delivered;
        self.delivered_bytes += tally.delivered_bytes;
        self.retransmits += tally.retransmits;
        self.token_retransmits += tally.token_retransmits;
        self.socket_drops += tally.socket_drops;
        self.cpu_s += tally.cpu_ns as f64 / 1e9;
    }
}

impl Watch {
    /// A member begins a life; yields what grew in the one before.
    pub(super) fn handle_start(&mut self, host: u32, life: u32, at_s: f64) -> Vec<String> {
        let next = Member { life, sampled_at_s: at_s, ..Member::default() };
        let before = self.members.insert(host, next).unwrap_or_default();
        if let Some(tally) = &before.tally {
            self.over.add(tally);
        }
        growth(&before.looks)
    }

    /// What was before does not count as a gap: members were coming together.
    pub(super) fn handle_begin(&mut self) {
        self.worst_gap_ns = 0;
        self.members.values_mut().for_each(|member| member.gap_ns = 0);
    }

    /// A member counted.
    pub(super) fn handle_tally(&mut self, host: u32, life: u32, tally: Tally) {
        let Some(member) = self.members.get_mut(&host).filter(|it| it.life == life) else { return };
        member.gap_ns = member.gap_ns.max(tally.gap_ns);
        self.worst_gap_ns = self.worst_gap_ns.max(tally.gap_ns);
        member.tally = Some(tally);
    }

    /// A member's process holds this, a second after the look before.
    pub(super) fn handle_look(&mut self, host: u32, holdings: Holdings) {
        if let Some(member) = self.members.get_mut(&host).filter(|it| it.tally.is_some()) {
            member.looks.push(holdings);
        }
    }

    /// What grew in the lives that last, by host.
    pub(super) fn growth(&self) -> Vec<(u32, String)> {
        let grown = |(host, member): (&u32, &Member)| {
            let host = *host;
            growth(&member.looks).into_iter().map(move |what| (host, what))
        };
        self.members.iter().flat_map(grown).collect()
    }

    /// The last tally of each member.
    pub(super) fn tallies(&self) -> impl Iterator<Item = (u32, Option<&Tally>)> {
        self.members.iter().map(|(host, member)| (*host, member.tally.as_ref()))
    }

    /// Over all members and lives.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.over;
        self.members.values().filter_map(|it| it.tally.as_ref()).for_each(|it| totals.add(it));
        totals
    }

    /// Longest time that a member was without a delivery.
    pub(super) fn worst_gap_ms(&self) -> f64 {
        milliseconds(self.worst_gap_ns)
    }

    /// All members that live, and a new interval.
    pub(super) fn sample(&mut self, at_s: f64) -> Vec<MemberSample> {
        self.members.iter_mut().filter_map(|(host, member)| member.sample(*host, at_s)).collect()
    }
}

impl Member {
    fn sample(&mut self, id: u32, at_s: f64) -> Option<MemberSample> {
        let (tally, holdings) = (self.tally.as_ref()?, *self.looks.last()?);
        let worked_s = tally.cpu_ns.saturating_sub(self.sampled_cpu_ns) as f64 / 1e9;
        let passed_s = (at_s - self.sampled_at_s).max(1e-3);
        let sample = MemberSample {
            id,
            life: self.life,
            holdings,
            cpu_percent: rounded(worked_s * 100.0 / passed_s, 10.0),
            delivered: tally.delivered,
            accepted: tally.accepted,
            skipped: tally.skipped,
            outstanding: tally.accepted.saturating_sub(tally.own_delivered),
            retransmits: tally.retransmits,
            socket_drops: tally.socket_drops,
            worst_gap_ms: milliseconds(self.gap_ns),
        };
        (self.sampled_cpu_ns, self.sampled_at_s, self.gap_ns) = (tally.cpu_ns, at_s, 0);
        Some(sample)
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    rounded(nanoseconds as f64 / 1e6, 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_add_up_and_a_sample_is_of_its_interval() {
        let mut watch = Watch::default();
        let tally = Tally { accepted: 10, own_delivered: 7, gap_ns: 5_000_000, ..Tally::default() };
        assert!(watch.handle_start(1, 1, 0.0).is_empty());
        watch.handle_tally(1, 1, tally);
        watch.handle_look(1, Holdings::default());
        let first = watch.sample(1.0)[0];
        assert_eq!((first.outstanding, first.worst_gap_ms), (3, 5.0));
        watch.handle_tally(1, 1, Tally { gap_ns: 1_000_000, cpu_ns: 500_000_000, ..tally });
        let second = watch.sample(2.0)[0];
        assert_eq!((second.worst_gap_ms, second.cpu_percent), (1.0, 50.0));
        watch.handle_start(1, 2, 2.0);
        assert!(watch.sample(3.0).is_empty());
        watch.handle_tally(1, 1, tally);
        assert_eq!(watch.tallies().next(), Some((1, None)), "of a life that is over");
        watch.handle_tally(1, 2, tally);
        assert_eq!((watch.totals().accepted, watch.worst_gap_ms()), (20, 5.0));
        watch.handle_begin();
        assert!(watch.worst_gap_ms() < 1.0);
    }
}
