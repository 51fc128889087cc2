//! Which network interface a member uses.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::str::FromStr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use thiserror::Error;

use crate::sys::options;

/// The interface a member sends and receives on, with the address it is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's index of it, by which groups are joined: no route is needed.
    pub index: u32,
    /// The member's address on it.
    pub address: Ipv4Addr,
    /// Its IP MTU in bytes.
    pub mtu_bytes: u32,
    /// Whether it leads to this host alone.
    pub loopback: bool,
}

/// How an interface was asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Wanted {
    /// The first that is up, can multicast, is not loopback and has an IPv4 address; else
    /// loopback.
    #[default]
    Any,
    /// By its name.
    Name(String),
    /// By its address; any address of its network for loopback, such as 127.0.0.2.
    Address(Ipv4Addr),
    /// The first with an address in a network.
    Network {
        /// The network's address.
        address: Ipv4Addr,
        /// Bits of the address that count, 0 to 32.
        prefix: u8,
    },
}

/// An interface cannot be used.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// The kernel does not list interfaces.
    #[error("the network interfaces cannot be listed: {0}; fix: allow netlink sockets")]
    List(nix::Error),
    /// None is as wanted.
    #[error("no interface that is up has {wanted}; fix: use one of: {there}")]
    None {
        /// What was wanted.
        wanted: String,
        /// What there is.
        there: String,
    },
    /// It went away while it was looked at.
    #[error("interface {name} cannot be asked for its {what}: {error}; fix: see that it stays up")]
    Gone {
        /// Its name.
        name: String,
        /// What was asked.
        what: &'static str,
        /// The answer.
        error: std::io::Error,
    },
    /// A network has a prefix of more than 32 bits, or one that is no number.
    #[error("`{0}` is not a network; fix: write it like 192.168.1.0/24")]
    Network(String),
}

impl FromStr for Wanted {
    type Err = InterfaceError;

    fn from_str(text: &str) -> Result<Self, InterfaceError> {
        if let Some((address, prefix)) = text.split_once('/') {
            let network = match (address.parse(), prefix.parse()) {
                (Ok(address), Ok(prefix)) if prefix <= 32 => Self::Network { address, prefix },
                _ => return Err(InterfaceError::Network(text.to_owned())),
            };
            return Ok(network);
        }
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

impl Interface {
    /// The interface of this host that is as wanted.
    ///
    /// # Errors
    ///
    /// When none is; the error lists what there is.
    pub fn choose(wanted: &Wanted) -> Result<Self, InterfaceError> {
        let candidates = list()?;
        let Some((candidate, address)) = pick(&candidates, wanted) else {
            return Err(InterfaceError::None {
                wanted: describe(wanted),
                there: describe_all(&candidates),
            });
        };
        let gone = |what, error| InterfaceError::Gone { name: candidate.name.clone(), what, error };
        let index =
            if_nametoindex(candidate.name.as_str()).map_err(|error| gone("index", error.into()))?;
        let mtu_bytes = options::mtu_bytes(&candidate.name).map_err(|error| gone("MTU", error))?;
        Ok(Self {
            name: candidate.name.clone(),
            index,
            address,
            mtu_bytes,
            loopback: candidate.loopback,
        })
    }
}

/// An address of an interface that is up.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Candidate {
    name: String,
    address: Ipv4Addr,
    mask: u32,
    loopback: bool,
    multicast: bool,
}

impl Candidate {
    fn has(&self, address: Ipv4Addr) -> bool {
        let in_network = (self.address.to_bits() ^ address.to_bits()) & self.mask == 0;
        // The kernel takes every address of a loopback network for its own.
        self.address == address || (self.loopback && in_network)
    }
}

fn list() -> Result<Vec<Candidate>, InterfaceError> {
    let mut candidates = Vec::new();
    for entry in getifaddrs().map_err(InterfaceError::List)? {
        let ipv4 = |storage: Option<nix::sys::socket::SockaddrStorage>| {
            Some(storage?.as_sockaddr_in()?.ip())
        };
        let Some(address) = ipv4(entry.address) else {
            continue;
        };
        if !entry.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        // A labelled address (`eth0:1`) belongs to the interface before the colon.
        let (name, _) = entry.interface_name.split_once(':').unwrap_or((&entry.interface_name, ""));
        candidates.push(Candidate {
            name: name.to_owned(),
            address,
            mask: ipv4(entry.netmask).map_or(u32::MAX, Ipv4Addr::to_bits),
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            multicast: entry.flags.contains(InterfaceFlags::IFF_MULTICAST),
        });
    }
    Ok(candidates)
}

fn pick<'a>(candidates: &'a [Candidate], wanted: &Wanted) -> Option<(&'a Candidate, Ipv4Addr)> {
    let at_own_address = |candidate: &'a Candidate| (candidate, candidate.address);
    match wanted {
        Wanted::Any => candidates
            .iter()
            .find(|candidate| candidate.multicast && !candidate.loopback)
            .or_else(|| candidates.iter().find(|candidate| candidate.loopback))
            .map(at_own_address),
        Wanted::Name(name) => {
            candidates.iter().find(|candidate| candidate.name == *name).map(at_own_address)
        }
        Wanted::Address(address) => candidates
            .iter()
            .find(|candidate| candidate.address == *address)
            .or_else(|| candidates.iter().find(|candidate| candidate.has(*address)))
            .map(|candidate| (candidate, *address)),
        Wanted::Network { address, prefix } => {
            let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
            candidates
                .iter()
                .find(|candidate| (candidate.address.to_bits() ^ address.to_bits()) & mask == 0)
                .map(at_own_address)
        }
    }
}

fn describe(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Any => "an IPv4 address".to_owned(),
        Wanted::Name(name) => format!("the name {name} and an IPv4 address"),
        Wanted::Address(address) => format!("the address {address}"),
        Wanted::Network { address, prefix } => format!("an address in {address}/{prefix}"),
    }
}

fn describe_all(candidates: &[Candidate]) -> String {
    let mut text = String::new();
    for candidate in candidates {
        let comma = if text.is_empty() { "" } else { ", " };
        let (name, address) = (&candidate.name, candidate.address);
        let prefix = candidate.mask.leading_ones();
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{name} ({address}/{prefix})");
    }
    if text.is_empty() {
        text.push_str("none is there: bring one up");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, address: [u8; 4], prefix: u32, loopback: bool) -> Candidate {
        Candidate {
            name: name.to_owned(),
            address: address.into(),
            mask: u32::MAX << (32 - prefix),
            loopback,
            multicast: !loopback,
        }
    }

    fn host() -> Vec<Candidate> {
        vec![
            candidate("lo", [127, 0, 0, 1], 8, true),
            candidate("eth0", [10, 0, 0, 5], 24, false),
            candidate("eth1", [10, 0, 1, 5], 24, false),
        ]
    }

    fn picked(wanted: &str) -> Option<(String, Ipv4Addr)> {
        let host = host();
        let wanted = wanted.parse().unwrap();
        pick(&host, &wanted).map(|(candidate, address)| (candidate.name.clone(), address))
    }

    #[test]
    fn the_rule_prefers_a_network_to_loopback() {
        let host = host();
        assert_eq!(pick(&host, &Wanted::Any).unwrap().0.name, "eth0");
        assert_eq!(pick(&host[..1], &Wanted::Any).unwrap().0.name, "lo");
        assert_eq!(pick(&[], &Wanted::Any), None);
    }

    #[test]
    fn an_interface_is_found_by_name_address_and_network() {
        let eth1 = Some(("eth1".to_owned(), Ipv4Addr::new(10, 0, 1, 5)));
        assert_eq!(picked("eth1"), eth1);
        assert_eq!(picked("10.0.1.5"), eth1);
        assert_eq!(picked("10.0.1.0/24"), eth1);
        assert_eq!(picked("10.0.1.99"), None);
        assert_eq!(picked("10.0.2.0/24"), None);
        assert_eq!(picked("0.0.0.0/0").unwrap().0, "lo");
    }

    #[test]
    fn loopback_has_every_address_of_its_network() {
        let lo = Some(("lo".to_owned(), Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(picked("127.0.0.2"), lo);
    }

    #[test]
    fn a_network_that_is_none_is_an_error_with_a_fix() {
        for text in ["10.0.0.0/33", "10.0.0/8", "10.0.0.0/x"] {
            let error = text.parse::<Wanted>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("fix:"), "{error}");
        }
    }

    #[test]
    fn this_host_has_loopback_and_says_so() {
        let lo = Interface::choose(&Wanted::Address(Ipv4Addr::new(127, 0, 0, 7))).unwrap();
        assert!(lo.loopback && lo.index > 0 && lo.mtu_bytes >= 1500, "{lo:?}");
        assert_eq!(lo.address, Ipv4Addr::new(127, 0, 0, 7));
        let error = Interface::choose(&Wanted::Name("no-such-0".to_owned())).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("no-such-0") && error.contains("lo (127.0.0.1/8)"), "{error}");
    }
}
