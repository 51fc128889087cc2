//! Values as they are written on command lines, in files and in the environment.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;
use std::time::Duration;

use roundel_ring::id::NodeId;
use roundel_ring::primary::Policy;
use roundel_ring::service::Service;
use roundel_transport::RawProtocol;

use crate::placement::Pin;
use crate::worker::SlowConsumer;

/// A duration: `250ms`, `1s`, `2m`.
///
/// # Errors
/// What is wrong, and how a duration is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|e| format!("{e}; write a duration such as 250ms or 2s"))
}

/// A size in bytes: `8MiB`, `64KiB`, `1000`.
///
/// # Errors
/// How a size is written.
pub fn size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let written = text.trim();
    let digits = written.find(|c: char| !c.is_ascii_digit()).unwrap_or(written.len());
    let (number, unit) = written.split_at(digits);
    let unit = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start());
    let bytes = unit.and_then(|(_, unit)| number.parse::<usize>().ok()?.checked_mul(unit));
    bytes.ok_or_else(|| "write a size such as 8MiB, 64KiB or 1000 (bytes)".to_owned())
}

/// A delivery service by its name.
///
/// # Errors
/// Which there are.
pub fn service(text: &str) -> Result<Service, String> {
    let names = || Service::ALL.map(Service::name).join(", ");
    Service::from_name(text).ok_or_else(|| format!("use one of: {}", names()))
}

/// `auto`, `none`, `CPU` or `CPU,CPU`.
pub(super) fn pin(text: &str) -> Result<Pin, String> {
    match text {
        "auto" => return Ok(Pin::Auto),
        "none" => return Ok(Pin::None),
        _ => {}
    }
    let cpus: Result<Vec<usize>, _> = text.split(',').map(|cpu| cpu.trim().parse()).collect();
    match cpus {
        Ok(cpus) if cpus.len() <= 2 => Ok(Pin::Cpus(cpus)),
        _ => Err("use auto, none, a processor's number, or two of them as 2,3".to_owned()),
    }
}

/// A number that raw sockets may use.
pub(super) fn raw_protocol(text: &str) -> Result<RawProtocol, String> {
    let number = text.parse().map_err(|_| "use a number, such as 253 or 254".to_owned())?;
    RawProtocol::new(number).map_err(|error| error.to_string())
}

/// `hold` or `evict:D`.
pub(super) fn slow_consumer(text: &str) -> Result<SlowConsumer, String> {
    if text == "hold" {
        return Ok(SlowConsumer::Hold);
    }
    let after = text.strip_prefix("evict:").and_then(|after| duration(after).ok());
    after.map(SlowConsumer::Evict).ok_or_else(|| "use hold, or evict:D such as evict:5s".to_owned())
}

/// `none`, `majority:1,2,3`, `weighted:1=2,2=1` or `dynamic:1,2,3`.
pub(super) fn primary(text: &str) -> Result<Policy, String> {
    const USAGE: &str = "use none, majority:1,2,3, weighted:1=2,2=1 or dynamic:1,2,3";
    let policy = read_primary(text).ok_or_else(|| USAGE.to_owned())?;
    policy.validate().map_err(|error| error.to_string())?;
    Ok(policy)
}

fn read_primary(text: &str) -> Option<Policy> {
    fn nodes<T: FromIterator<NodeId>>(text: &str) -> Option<T> {
        text.split(',').map(node).collect()
    }
    fn node(text: &str) -> Option<NodeId> {
        text.trim().parse().ok().map(NodeId)
    }
    let weight = |text: &str| {
        let (id, weight) = text.split_once('=')?;
        Some((node(id)?, weight.trim().parse().ok()?))
    };
    match text.split_once(':') {
        None if text == "none" => Some(Policy::None),
        Some(("majority", of)) => Some(Policy::Majority(nodes(of)?)),
        Some(("dynamic", initial)) => Some(Policy::Dynamic { initial: nodes(initial)? }),
        Some(("weighted", of)) => {
            let weights: Vec<(NodeId, u32)> = of.split(',').map(weight).collect::<Option<_>>()?;
            let distinct: BTreeMap<NodeId, u32> = weights.iter().copied().collect();
            (distinct.len() == weights.len()).then_some(Policy::Weighted(distinct))
        }
        _ => None,
    }
}

/// A peer as it is named: its address, and its token port where it is not the usual one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    address: Ipv4Addr,
    token_port: Option<u16>,
}

impl Peer {
    /// Where its tokens go when its members' port is `port`.
    pub(super) fn token_address(self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.token_port.unwrap_or(port.saturating_add(1)))
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address, token_port: None });
        }
        let full: Result<SocketAddrV4, _> = text.parse();
        full.map(|full| Self { address: *full.ip(), token_port: Some(full.port()) })
            .map_err(|_| "write an IPv4 address, or address:port such as 10.0.0.2:7401".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_policies_are_named() {
        let of = || [1, 2, 3].map(NodeId).into();
        assert_eq!(primary("none"), Ok(Policy::None));
        assert_eq!(primary("majority:1,2,3"), Ok(Policy::Majority(of())));
        assert_eq!(primary("dynamic:3, 2,1"), Ok(Policy::Dynamic { initial: of() }));
        let weights = [(NodeId(1), 2), (NodeId(2), 1)].into();
        assert_eq!(primary("weighted:1=2,2=1"), Ok(Policy::Weighted(weights)));
        let wrong =
            ["", "some", "majority", "majority:", "majority:a", "weighted:1", "weighted:1=0"];
        for text in wrong.into_iter().chain(["weighted:1=1,1=2", "dynamic:1,,2", "none:1"]) {
            assert!(primary(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("8MiB", 8 << 20),
            ("64 KiB", 64 << 10),
            ("1GiB", 1 << 30),
            ("1000", 1000),
            ("12B", 12),
            ("3kB", 3000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "8mib", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert!(duration("250").unwrap_err().contains("such as 250ms"));
    }

    #[test]
    fn pins_and_policies() {
        assert_eq!(pin("2,3"), Ok(Pin::Cpus(vec![2, 3])));
        assert!(pin("1,2,3").is_err() && pin("x").is_err());
        let evict = SlowConsumer::Evict(Duration::from_secs(5));
        assert_eq!(slow_consumer("evict:5s"), Ok(evict));
        assert!(slow_consumer("evict").is_err());
    }

    #[test]
    fn a_peer_without_a_port_has_the_usual_token_port() {
        let at = |text: &str| text.parse::<Peer>().unwrap().token_address(7400).to_string();
        assert_eq!(at("10.0.0.2"), "10.0.0.2:7401");
        assert_eq!(at("10.0.0.2:9000"), "10.0.0.2:9000");
        assert!("10.0.0.2:".parse::<Peer>().is_err());
    }
}
