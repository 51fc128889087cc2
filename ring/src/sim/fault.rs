//! Faults: what can go wrong in a simulated cluster, and while what lasts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{KindName, micros};
use crate::wire::Kind;

/// One of a member's two halves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Half {
    Data,
    Control,
}

/// A fault, with all it needs to begin and to end. Hosts are named by their place, from 0.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Fault {
    /// Every link loses frames.
    Loss { rate: f64 },
    /// One link loses frames.
    LinkLoss { from: usize, to: usize, rate: f64 },
    /// Every link loses frames of one kind.
    KindLoss {
        #[serde(with = "KindName")]
        frame: Kind,
        rate: f64,
    },
    /// Now and then a link loses so many frames in a row.
    Bursts { rate: f64, frames: u32 },
    /// Every link duplicates frames.
    Duplicate { rate: f64 },
    /// Some frames take much longer, so that they arrive after later ones.
    Spikes { rate: f64 },
    /// Some frames are cut off, or come with another head than they were sent with.
    Damage { rate: f64 },
    /// Frames longer than this get lost on the way, although every interface takes them.
    BlackHole { frame_bytes: usize },
    /// What a member multicasts on the ring is lost; its token and all else pass.
    Mute { node: usize },
    /// A host's sends fail: nobody gets such a frame.
    SendFails { node: usize, rate: f64 },
    /// A host sends no more than this; its interface keeps a little, and drops the rest.
    Bandwidth { node: usize, bytes_per_ms: u64 },
    /// Only hosts on the same side reach each other.
    Partition { side: Vec<usize> },
    /// Nothing passes from one host to another, in this direction.
    OneWay { from: usize, to: usize },
    /// Two hosts do not reach each other; both reach the rest.
    NonTransitive { a: usize, b: usize },
    /// A host's interface is down.
    InterfaceDown { node: usize },
    /// A member is killed, and started again later.
    Crash {
        node: usize,
        #[serde(rename = "back_after_us", with = "micros")]
        back_after: Duration,
    },
    /// All members are killed at once, and start again, one so long after the other.
    Storm {
        #[serde(rename = "apart_us", with = "micros")]
        apart: Duration,
    },
    /// A member is killed, and starts again with another address.
    Readdress {
        node: usize,
        #[serde(rename = "back_after_us", with = "micros")]
        back_after: Duration,
    },
    /// A member is killed, and its disk is empty when it starts again.
    LoseDisk {
        node: usize,
        #[serde(rename = "back_after_us", with = "micros")]
        back_after: Duration,
    },
    /// A member leaves, and is started again later.
    Leave { node: usize },
    /// A host's wall clock jumps.
    WallStep { node: usize, seconds: i64 },
    /// A member stands still, wholly or one half of it.
    Pause { node: usize, half: Option<Half> },
    /// What crosses between the halves of every member takes longer.
    SlowHandoff {
        #[serde(rename = "most_us", with = "micros")]
        most: Duration,
    },
    /// An application does not read.
    SlowConsumer { node: usize },
    /// Every disk takes long to write.
    SlowDisks {
        #[serde(rename = "most_us", with = "micros")]
        most: Duration,
    },
    /// A disk refuses to write.
    BadDisk { node: usize },
    /// A host gets the processor once in so long only: what comes meanwhile waits in its buffers.
    Starve {
        node: usize,
        #[serde(rename = "slice_us", with = "micros")]
        slice: Duration,
    },
    /// An application publishes many long messages at once.
    Flood { node: usize, messages: u64, bytes: (u64, u64) },
    /// What a member got before comes once more: the first tokens and packets of its last rings,
    /// and joins.
    Replay { node: usize },
    /// Frames of another cluster, and what is no frame at all, come in at every host.
    Strangers {
        #[serde(rename = "every_us", with = "micros")]
        every: Duration,
    },
    /// A fault that strikes when a member reaches a certain step, or never.
    When {
        node: usize,
        step: Step,
        #[serde(rename = "delay_us", with = "micros")]
        delay: Duration,
        #[serde(rename = "lasts_us", with = "micros")]
        lasts: Duration,
        then: Box<Fault>,
    },
}

/// A step of a member at which a fault may strike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// It begins to form a membership.
    Gathers,
    /// Its disk is about to write.
    Writes,
    /// Its disk has written, which it does not know yet.
    Written,
    /// Its worker adopts a ring, and has told nobody.
    Adopts,
    /// It installs a ring with others, and has told nobody.
    Installs,
    /// It said on a ring that it has not installed that it misses nothing.
    Acknowledges,
}

/// A fault that waits for its step.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Armed {
    pub(super) step: Step,
    pub(super) delay: Duration,
    pub(super) lasts: Duration,
    pub(super) fault: Fault,
}

impl Fault {
    /// The same in a cluster without host `gone`, where those behind it have moved up; `None`
    /// when it was about that host.
    pub(super) fn without(&self, gone: usize) -> Option<Self> {
        let mut fault = self.clone();
        if let Self::Partition { side } = &mut fault {
            side.remove(gone);
        } else if let Self::When { then, .. } = &mut fault {
            **then = then.without(gone)?;
        }
        let mut is_about_it = false;
        fault.each_host(&mut |host| {
            is_about_it |= *host == gone;
            *host -= usize::from(*host > gone);
        });
        (!is_about_it).then_some(fault)
    }

    /// Whether it can strike a cluster of so many hosts.
    pub(super) fn fits(&self, hosts: usize) -> bool {
        let inner = match self {
            Self::Partition { side } => side.len() == hosts,
            Self::When { then, .. } => then.fits(hosts),
            _ => true,
        };
        let mut all_there = true;
        self.clone().each_host(&mut |host| all_there &= *host < hosts);
        inner && all_there
    }

    /// Whether a wall clock jumps, now or later.
    pub(super) fn steps_a_clock(&self) -> bool {
        match self {
            Self::WallStep { .. } => true,
            Self::When { then, .. } => then.steps_a_clock(),
            _ => false,
        }
    }

    /// Every host that it names, but for sides of partitions and what strikes later.
    fn each_host(&mut self, change: &mut dyn FnMut(&mut usize)) {
        match self {
            Self::LinkLoss { from: a, to: b, .. }
            | Self::OneWay { from: a, to: b }
            | Self::NonTransitive { a, b } => {
                change(a);
                change(b);
            }
            Self::When { node, .. }
            | Self::Mute { node }
            | Self::SendFails { node, .. }
            | Self::Bandwidth { node, .. }
            | Self::InterfaceDown { node }
            | Self::Crash { node, .. }
            | Self::Readdress { node, .. }
            | Self::LoseDisk { node, .. }
            | Self::Leave { node }
            | Self::WallStep { node, .. }
            | Self::Pause { node, .. }
            | Self::SlowConsumer { node }
            | Self::BadDisk { node }
            | Self::Starve { node, .. }
            | Self::Flood { node, .. }
            | Self::Replay { node } => change(node),
            Self::Partition { .. }
            | Self::Loss { .. }
            | Self::KindLoss { .. }
            | Self::Bursts { .. }
            | Self::Duplicate { .. }
            | Self::Spikes { .. }
            | Self::Damage { .. }
            | Self::BlackHole { .. }
            | Self::Storm { .. }
            | Self::SlowHandoff { .. }
            | Self::SlowDisks { .. }
            | Self::Strangers { .. } => {}
        }
    }
}
