//! Kinds of faults, and the profiles that draw from them.

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// `kill -9`, and a start after a while.
    Kill,
    /// `kill -9`, and a start at once.
    KillAtOnce,
    /// One member killed and started again and again.
    RestartStorm,
    /// All members killed and started in one instant.
    KillAll,
    /// A member leaves and comes back.
    Leave,
    /// SIGSTOP, and SIGCONT after a while.
    Stop,
    /// A member gets the processor for short slices only.
    CpuSlices,
    /// More threads that compute than processors.
    CpuHogs,
    /// An application that reads slowly.
    SlowReader,
    /// A member's interface goes down and up.
    LinkDown,
    /// A member's cable is pulled and put back.
    CableOut,
    /// Datagrams are lost everywhere.
    Loss,
    /// Datagrams from or to one member are lost.
    LossOneWay,
    /// Tokens are lost.
    LossTokens,
    /// Data frames are lost.
    LossData,
    /// Joins are lost while a membership forms.
    LossJoins,
    /// Commit tokens are lost while a membership forms.
    LossCommits,
    /// Two parts do not hear each other.
    Partition,
    /// One part does not hear the other, which hears it.
    PartitionOneWay,
    /// Two members do not hear each other, all others hear both.
    PartitionNonTransitive,
    /// A member's link carries little.
    Rate,
    /// Frames of a member come later.
    Delay,
    /// Frames of a member come twice.
    Duplicate,
    /// Frames of a member pass each other.
    Reorder,
    /// Frames of a member have a wrong bit.
    Corrupt,
    /// A member's state directory has no room.
    DiskFull,
    /// A member's state directory cannot be written.
    DiskReadOnly,
    /// A member's sockets keep a few kilobytes.
    SmallBuffers,
    /// A second member of one id, on another host.
    Twin,
    /// A second member of one id and state directory.
    SecondRefused,
    /// Members of another cluster on the same group and port.
    Foreign,
    /// Datagrams of no protocol on the ports.
    Garbage,
}

impl Kind {
    pub(super) const ALL: [Self; 32] = [
        Self::Kill,
        Self::KillAtOnce,
        Self::RestartStorm,
        Self::KillAll,
        Self::Leave,
        Self::Stop,
        Self::CpuSlices,
        Self::CpuHogs,
        Self::SlowReader,
        Self::LinkDown,
        Self::CableOut,
        Self::Loss,
        Self::LossOneWay,
        Self::LossTokens,
        Self::LossData,
        Self::LossJoins,
        Self::LossCommits,
        Self::Partition,
        Self::PartitionOneWay,
        Self::PartitionNonTransitive,
        Self::Rate,
        Self::Delay,
        Self::Duplicate,
        Self::Reorder,
        Self::Corrupt,
        Self::DiskFull,
        Self::DiskReadOnly,
        Self::SmallBuffers,
        Self::Twin,
        Self::SecondRefused,
        Self::Foreign,
        Self::Garbage,
    ];

    /// The name in output.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillAtOnce => "kill_at_once",
            Self::RestartStorm => "restart_storm",
            Self::KillAll => "kill_all",
            Self::Leave => "leave",
            Self::Stop => "stop",
            Self::CpuSlices => "cpu_slices",
            Self::CpuHogs => "cpu_hogs",
            Self::SlowReader => "slow_reader",
            Self::LinkDown => "link_down",
            Self::CableOut => "cable_out",
            Self::Loss => "loss",
            Self::LossOneWay => "loss_one_way",
            Self::LossTokens => "loss_tokens",
            Self::LossData => "loss_data",
            Self::LossJoins => "loss_joins",
            Self::LossCommits => "loss_commits",
            Self::Partition => "partition",
            Self::PartitionOneWay => "partition_one_way",
            Self::PartitionNonTransitive => "partition_non_transitive",
            Self::Rate => "rate",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
            Self::DiskFull => "disk_full",
            Self::DiskReadOnly => "disk_read_only",
            Self::SmallBuffers => "small_buffers",
            Self::Twin => "twin",
            Self::SecondRefused => "second_refused",
            Self::Foreign => "foreign",
            Self::Garbage => "garbage",
        }
    }

    /// Its profile.
    const fn profile(self) -> Profile {
        match self {
            Self::Kill | Self::KillAtOnce | Self::RestartStorm | Self::KillAll | Self::Leave => {
                Profile::Churn
            }
            Self::Stop | Self::CpuSlices | Self::CpuHogs | Self::SlowReader => Profile::Stalls,
            Self::LinkDown
            | Self::CableOut
            | Self::Partition
            | Self::PartitionOneWay
            | Self::PartitionNonTransitive => Profile::Partitions,
            Self::Loss
            | Self::LossOneWay
            | Self::LossTokens
            | Self::LossData
            | Self::LossJoins
            | Self::LossCommits
            | Self::Rate
            | Self::Delay
            | Self::Duplicate
            | Self::Reorder
            | Self::Corrupt
            | Self::SmallBuffers => Profile::Frames,
            Self::DiskFull | Self::DiskReadOnly => Profile::Disks,
            Self::Twin | Self::SecondRefused | Self::Foreign | Self::Garbage => Profile::Strangers,
        }
    }

    /// Nothing else goes on meanwhile: it says what must come of it.
    pub(super) const fn is_alone(self) -> bool {
        matches!(self, Self::Twin | Self::SecondRefused)
    }

    /// It needs members to be where they are, or ends them all.
    pub(super) const fn is_about_processes(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::KillAtOnce
                | Self::RestartStorm
                | Self::KillAll
                | Self::Leave
                | Self::Stop
                | Self::CpuSlices
                | Self::SlowReader
                | Self::SmallBuffers
                | Self::DiskFull
                | Self::DiskReadOnly
                | Self::LossJoins
                | Self::LossCommits
        )
    }
}

/// What a run draws its faults from.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// Every kind.
    All,
    /// Members die, leave and come back.
    Churn,
    /// The network falls apart in every shape.
    Partitions,
    /// Frames are lost, late, doubled, damaged.
    Frames,
    /// Members stand still or are slow.
    Stalls,
    /// State directories cannot be written.
    Disks,
    /// Who does not belong there.
    Strangers,
}

impl Profile {
    /// The kinds it has.
    pub(super) fn kinds(self) -> Vec<Kind> {
        let has = |kind: &Kind| matches!(self, Self::All) || kind.profile() == self;
        Kind::ALL.into_iter().filter(has).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_profile() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        let parts = Profile::value_variants().iter().filter(|one| **one != Profile::All);
        let sum: usize = parts.map(|profile| profile.kinds().len()).sum();
        assert_eq!(sum, Profile::All.kinds().len());
    }
}
