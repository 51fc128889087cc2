//! What a run did and which faults *hit*.

use crate::counters::DataCounters;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of a run, or of many.
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Adds another run's.
            pub const fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// Every counter by name.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

stats! {
    /// Steps of the simulation.
    events,
    /// Messages accepted from applications.
    messages,
    /// Packets written to delivery streams.
    packets_delivered,
    /// Frames dropped at random.
    frames_lost,
    /// Frames dropped because of their kind.
    frames_lost_by_kind,
    /// Frames dropped in a row.
    frames_lost_in_bursts,
    /// Frames dropped by a partition, in whatever shape.
    frames_blocked,
    /// Frames longer than a link takes, although both its ends do.
    frames_in_black_hole,
    /// Frames that arrived cut off or with another head.
    frames_damaged,
    /// Frames of other clusters, and what was no frame.
    strangers,
    /// Frames that came again, long after.
    frames_replayed,
    /// Frames that did not leave their host.
    sends_failed,
    /// Frames beyond what a host's link carries.
    frames_over_bandwidth,
    /// Frames to an address that their receiver has no longer.
    frames_misaddressed,
    /// Frames that arrived twice.
    frames_duplicated,
    /// Frames overtaken by later ones.
    frames_delayed,
    /// Frames longer than what their receiver's interface takes.
    frames_too_long,
    /// Frames dropped by a full receive buffer.
    frames_overflowed,
    /// Times that a data half was told of such drops.
    drops_told,
    /// Hosts that got the processor from time to time only.
    starvations,
    /// Applications that published much at once.
    floods,
    /// Frames without effect at their receiver.
    frames_ignored,
    /// Packets multicast again on a ring in operation.
    packets_retransmitted,
    /// Old packets rebroadcast in recovery.
    packets_recovered,
    /// Old packets that nobody held any more.
    voids,
    /// Packets delivered before a hole or an undelivered safe packet.
    packets_overtaken,
    /// Packets that left without the token.
    packets_free,
    /// Packets delivered before they had a place.
    packets_delivered_free,
    /// Packets without a place multicast in recovery.
    packets_recovered_free,
    /// Packets discarded behind one.
    packets_discarded,
    /// Tokens sent again.
    token_retransmits,
    /// Tokens held on an idle ring.
    token_holds,
    /// Rings installed, counted at each member.
    installations,
    /// Transitional configurations with at least two members and one message.
    shared_transitionals,
    /// Recoveries that began with a non-empty obligation set.
    obliged_recoveries,
    /// Recoveries cut short by another membership change.
    recoveries_cut_short,
    /// Times a membership was formed anew.
    gathers,
    /// Members killed.
    crashes,
    /// Members killed just before their disk would have begun to write.
    crashes_before_a_write,
    /// Members killed while their disk was writing: the write is lost.
    storage_writes_lost,
    /// Members killed while their disk was writing: it was done all the same.
    storage_writes_landed,
    /// Members killed when their disk had written, before they knew.
    crashes_after_a_write,
    /// Members killed as they began to form a membership.
    crashes_in_gather,
    /// Writes that the disk refused.
    storage_writes_failed,
    /// Members killed between adopting a ring and installing it.
    crashes_in_recovery,
    /// Of them, those killed so in two lives, one after the other.
    second_crashes_in_recovery,
    /// Members killed just after they installed a ring.
    crashes_after_installation,
    /// All members killed at once.
    storms,
    /// Members that came back with another address.
    new_addresses,
    /// Members that came back with an empty disk.
    lost_disks,
    /// Wall clocks that jumped.
    wall_steps,
    /// Faults that struck at a chosen step of the protocol.
    strikes,
    /// Members started again within one token timeout.
    quick_restarts,
    /// Members that left properly.
    leaves,
    /// Symmetric partitions in which somebody was cut off.
    partitions,
    /// Interfaces that went down.
    interfaces_down,
    /// One-way link failures.
    one_way_cuts,
    /// Pairs cut while both still reach a third.
    non_transitive_cuts,
    /// Members that stood still, both halves, for longer than the token timeout.
    pauses,
    /// Data halves that stood still alone.
    data_pauses,
    /// Control halves that stood still alone.
    control_pauses,
    /// Directives and reports that crossed late.
    handoffs_delayed,
    /// Applications that stopped reading until their delivery stream was full.
    slow_consumers,
    /// Records of primary components that became durable.
    records_stored,
    /// Views given to applications behind the virtual synchrony filter.
    views,
}

impl Stats {
    /// Takes in what one member's data half counted.
    pub(super) fn absorb(&mut self, counters: &DataCounters) {
        self.packets_delivered += counters.packets_delivered;
        self.frames_ignored += counters.ignored.total();
        self.packets_retransmitted += counters.packets_retransmitted;
        self.packets_recovered += counters.packets_recovered;
        self.voids += counters.voids;
        self.packets_overtaken += counters.packets_overtaken;
        self.packets_free += counters.packets_free;
        self.packets_delivered_free += counters.packets_delivered_free;
        self.packets_recovered_free += counters.packets_recovered_free;
        self.packets_discarded += counters.packets_discarded;
        self.token_retransmits += counters.token_retransmits;
        self.token_holds += counters.holds;
        self.installations += counters.installed;
        self.shared_transitionals += counters.shared_transitionals;
        self.obliged_recoveries += counters.obliged_recoveries;
        self.recoveries_cut_short += counters.recoveries_cut_short;
    }
}
