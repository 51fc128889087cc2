//! Which cells a matrix has: one factor at a time around a base point.

use serde::{Deserialize, Serialize};

/// One combination of factors.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) members: u16,
    /// Bytes of a message.
    pub(crate) size: usize,
    /// Messages have all sizes from this one on.
    pub(crate) size_min: Option<usize>,
    pub(crate) service: String,
    /// IP MTU of all links.
    pub(crate) mtu: u32,
    pub(crate) io: String,
    pub(crate) socket: String,
    pub(crate) idle: String,
    /// Of datagrams, at each receiver, in thousandths.
    pub(crate) loss_per_mille: u32,
    /// `all` or `one`.
    pub(crate) senders: String,
    /// `threads` or `inline`.
    #[serde(default = "threads")]
    pub(crate) drive: String,
    /// Of each link, in Mbit/s; as fast as the machine without.
    #[serde(default)]
    pub(crate) link: Option<u32>,
    pub(crate) rate: RatePlan,
}

/// What there was before there was a choice.
fn threads() -> String {
    Cell::base().drive
}

/// How fast each sender sends.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RatePlan {
    /// As fast as messages are accepted.
    Max,
    /// Messages a second.
    PerSecond(u64),
    /// Of what the same cell takes at most without loss, in percent.
    PercentOfMax(u64),
}

/// Members of the base point.
pub(crate) const MEMBERS: u16 = 3;

/// Members of the largest cell.
pub(crate) const MEMBERS_MAX: u16 = 8;

/// The size of the base point: a packet of an Ethernet frame.
pub(crate) const SIZE: usize = 1350;

/// The MTUs of the base point: that of jumbo frames, and of all others.
pub(crate) const MTUS: [u32; 2] = [9000, 1500];

pub(crate) const SIZES: [usize; 8] = [64, 256, 1024, SIZE, 4 << 10, 8 << 10, 16 << 10, 64 << 10];

/// Rates of the latency ladder: of each member, then in percent of the maximum.
pub(crate) const RATES: [u64; 3] = [100, 1_000, 10_000];
pub(crate) const PERCENTS: [u64; 6] = [10, 25, 50, 70, 85, 95];

/// Services and losses, in thousandths, of which there is a ladder.
pub(crate) const LADDER_SERVICES: [&str; 2] = ["agreed", "safe"];
pub(crate) const LADDER_LOSSES: [u32; 2] = [0, 10];

/// With loss a ring takes less than its maximum: no more of it is asked for, in percent.
const LOSSY_MAX: u64 = 85;

/// Members and sizes of which there is every pair.
pub(crate) const GRID_MEMBERS: [u16; 3] = [2, MEMBERS, 4];
pub(crate) const GRID_SIZES: [usize; 3] = [64, SIZE, 8 << 10];

/// In thousandths.
pub(crate) const LOSSES: [u32; 4] = [0, 1, 10, 50];

/// Services that are compared by what loss, in thousandths, costs their latency, and the rate of each
/// member at which they are: far from what the ring takes, so that nothing waits but for repair.
pub(crate) const SERVICES: [&str; 5] = ["reliable", "fifo", "causal", "agreed", "safe"];
pub(crate) const SERVICE_LOSSES: [u32; 3] = [0, 10, 50];
pub(crate) const SERVICE_RATE: RatePlan = RatePlan::PerSecond(2_000);

/// The link that most networks have, in Mbit/s, and what its switch keeps for a port.
pub(crate) const LINK: u32 = 1_000;
pub(crate) const PORT_BUFFER_BYTES: u32 = 300_000;

/// The load at which latency is looked at against loss, in percent of the maximum.
pub(crate) const LOSS_LOAD_PERCENT: u64 = 50;

impl Cell {
    /// The point around which factors change.
    pub(crate) fn base() -> Self {
        Self {
            members: MEMBERS,
            size: SIZE,
            size_min: None,
            service: "agreed".to_owned(),
            mtu: MTUS[0],
            io: "auto".to_owned(),
            socket: "udp".to_owned(),
            idle: "auto".to_owned(),
            loss_per_mille: 0,
            senders: "all".to_owned(),
            drive: "threads".to_owned(),
            link: None,
            rate: RatePlan::Max,
        }
    }

    /// What differs from the base point, `base` if nothing: the same in every matrix, so that two
    /// compare.
    pub(crate) fn name(&self) -> String {
        let base = Self::base();
        let mut parts = Vec::new();
        let mut tell = |differs: bool, name: &str, value: String| {
            if differs {
                parts.push(format!("{name}={value}"));
            }
        };
        tell(self.members != base.members, "members", self.members.to_string());
        tell(self.size != base.size, "size", self.size.to_string());
        tell(self.size_min.is_some(), "from", self.size_min.unwrap_or_default().to_string());
        tell(self.service != base.service, "service", self.service.clone());
        tell(self.mtu != base.mtu, "mtu", self.mtu.to_string());
        tell(self.io != base.io, "io", self.io.clone());
        tell(self.socket != base.socket, "socket", self.socket.clone());
        tell(self.idle != base.idle, "idle", self.idle.clone());
        tell(self.loss_per_mille != 0, "loss", percent(self.loss_per_mille));
        tell(self.senders != base.senders, "senders", self.senders.clone());
        tell(self.drive != base.drive, "drive", self.drive.clone());
        tell(self.link.is_some(), "link", self.link.unwrap_or_default().to_string());
        match self.rate {
            RatePlan::Max => {}
            RatePlan::PerSecond(rate) => tell(true, "rate", rate.to_string()),
            RatePlan::PercentOfMax(percent) => tell(true, "rate", format!("{percent}%")),
        }
        if parts.is_empty() { "base".to_owned() } else { parts.join(",") }
    }

    /// The cell whose throughput is the maximum of which this one takes a part; `None` for one
    /// that takes none.
    pub(crate) fn maximum(&self) -> Option<Self> {
        let takes_part = matches!(self.rate, RatePlan::PercentOfMax(_));
        takes_part.then(|| Self { rate: RatePlan::Max, loss_per_mille: 0, ..self.clone() })
    }

    /// Whether there is a floor to compare it with: a floor has no rate but its greatest, repairs
    /// nothing, and has messages of one size.
    pub(crate) fn has_floor(&self) -> bool {
        self.rate == RatePlan::Max && self.loss_per_mille == 0 && self.size_min.is_none()
    }
}

/// A loss for people: `0.1%`.
pub(crate) fn percent(per_mille: u32) -> String {
    format!("{}%", f64::from(per_mille) / 10.0)
}

/// The cells of a matrix of at most so many members, each once, maxima before their parts.
pub(crate) fn full(hosts: u16) -> Vec<Cell> {
    let base = Cell::base;
    let named = str::to_owned;
    let mut cells = vec![base()];
    for mtu in MTUS {
        cells.extend(SIZES.map(|size| Cell { size, mtu, ..base() }));
        cells.push(Cell { size: 300, size_min: Some(64), mtu, ..base() });
        cells.push(Cell { senders: named("one"), mtu, ..base() });
        cells.extend(["uring", "mmsg"].map(|io| Cell { io: named(io), mtu, ..base() }));
        cells.push(Cell { socket: named("raw"), mtu, ..base() });
    }
    cells.extend((2..=MEMBERS_MAX).map(|members| Cell { members, ..base() }));
    for service in ["reliable", "fifo", "causal", "safe"] {
        cells.push(Cell { service: named(service), ..base() });
    }
    cells.extend(["spin", "backoff", "park"].map(|idle| Cell { idle: named(idle), ..base() }));
    for service in LADDER_SERVICES {
        let cell = |size, rate| Cell { size, rate, service: named(service), ..base() };
        for size in [64, SIZE] {
            cells.extend(RATES.map(|rate| cell(size, RatePlan::PerSecond(rate))));
        }
        for loss_per_mille in LADDER_LOSSES {
            let percents = PERCENTS.iter().filter(|it| loss_per_mille == 0 || **it <= LOSSY_MAX);
            let rates = percents.map(|percent| RatePlan::PercentOfMax(*percent));
            cells.extend(rates.map(|rate| Cell { loss_per_mille, ..cell(SIZE, rate) }));
        }
    }
    for size in [64, SIZE] {
        let inline = Cell { drive: named("inline"), size, ..base() };
        cells.extend(RATES.map(|rate| Cell { rate: RatePlan::PerSecond(rate), ..inline.clone() }));
    }
    for around in [Cell { drive: named("inline"), ..base() }, on_link(SIZE)] {
        cells.push(around.clone());
        let rates = PERCENTS.map(RatePlan::PercentOfMax);
        cells.extend(rates.map(|rate| Cell { rate, ..around.clone() }));
    }
    cells.push(on_link(64));
    cells.push(Cell { mtu: MTUS[0], ..on_link(SIZE) });
    for members in GRID_MEMBERS {
        cells.extend(GRID_SIZES.map(|size| Cell { members, size, ..base() }));
    }
    for service in SERVICES {
        let cell = Cell { service: named(service), rate: SERVICE_RATE, ..base() };
        cells.extend(SERVICE_LOSSES.map(|loss_per_mille| Cell { loss_per_mille, ..cell.clone() }));
    }
    for rate in [RatePlan::Max, RatePlan::PercentOfMax(LOSS_LOAD_PERCENT)] {
        cells.extend(LOSSES.map(|loss_per_mille| Cell { loss_per_mille, rate, ..base() }));
    }
    once(cells, hosts)
}

/// A cell on slower links, where the network and not the processors is what there is too little of.
fn on_link(size: usize) -> Cell {
    Cell { size, mtu: MTUS[1], link: Some(LINK), ..Cell::base() }
}

/// A few of them, of every kind.
pub(crate) fn quick(hosts: u16) -> Vec<Cell> {
    let base = Cell::base;
    let named = str::to_owned;
    let half = RatePlan::PercentOfMax(LOSS_LOAD_PERCENT);
    let cells = vec![
        base(),
        Cell { mtu: MTUS[1], ..base() },
        Cell { size: 64, ..base() },
        Cell { size: 64 << 10, ..base() },
        Cell { members: 2, ..base() },
        Cell { members: 5, ..base() },
        Cell { service: named("safe"), ..base() },
        Cell { io: named("mmsg"), ..base() },
        Cell { socket: named("raw"), ..base() },
        Cell { senders: named("one"), ..base() },
        Cell { drive: named("inline"), ..base() },
        on_link(SIZE),
        Cell { loss_per_mille: 10, ..base() },
        Cell { rate: RatePlan::PerSecond(1_000), ..base() },
        Cell { rate: RatePlan::PerSecond(10_000), ..base() },
        Cell { rate: half, ..base() },
        Cell { rate: half, loss_per_mille: 10, ..base() },
    ];
    once(cells, hosts)
}

/// Those whose name contains `pattern`, and the maxima that they need.
pub(crate) fn only(cells: &[Cell], pattern: &str) -> Vec<Cell> {
    let is_wanted = |cell: &Cell| cell.name().contains(pattern);
    let maxima: Vec<Cell> =
        cells.iter().filter(|cell| is_wanted(cell)).filter_map(Cell::maximum).collect();
    let is_needed = |cell: &&Cell| is_wanted(cell) || maxima.contains(cell);
    cells.iter().filter(is_needed).cloned().collect()
}

fn once(cells: Vec<Cell>, hosts: u16) -> Vec<Cell> {
    let mut kept: Vec<Cell> = Vec::new();
    for cell in cells {
        if cell.members <= hosts && !kept.contains(&cell) {
            kept.push(cell);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cell_is_there_once_and_its_maximum_before_it() {
        for cells in [full(8), quick(8), full(3)] {
            let names: BTreeSet<String> = cells.iter().map(Cell::name).collect();
            assert_eq!(names.len(), cells.len());
            for (index, cell) in cells.iter().enumerate() {
                let Some(maximum) = cell.maximum() else { continue };
                assert!(cells[..index].contains(&maximum), "{}", cell.name());
            }
        }
        assert_eq!(full(8)[0], Cell::base());
        assert!((110..=125).contains(&full(8).len()), "{}", full(8).len());
        assert!(full(3).iter().all(|cell| cell.members <= 3));
    }

    #[test]
    fn names_say_what_differs() {
        assert_eq!(Cell::base().name(), "base");
        let cell =
            Cell { size: 64, loss_per_mille: 1, rate: RatePlan::PercentOfMax(50), ..Cell::base() };
        assert_eq!(cell.name(), "size=64,loss=0.1%,rate=50%");
    }

    #[test]
    fn a_pattern_brings_the_maxima_that_it_needs() {
        let names =
            |pattern| -> Vec<String> { only(&full(8), pattern).iter().map(Cell::name).collect() };
        assert_eq!(names("service=safe,rate=25%"), ["service=safe", "service=safe,rate=25%"]);
        assert_eq!(names("io=mmsg"), ["io=mmsg", "mtu=1500,io=mmsg"]);
        assert!(names("no such").is_empty());
    }
}
