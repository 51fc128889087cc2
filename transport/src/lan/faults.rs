//! Faults of single hosts and of single directions between them.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use super::{BURST_BYTES, HOST_BUFFER_BYTES, Lan, LanError, LinkRate, ask, ip, nft, table, tc};

/// Datagrams that the bridge drops on their way between hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drops {
    /// From any of these.
    pub from: Vec<u32>,
    /// To any of these.
    pub to: Vec<u32>,
    /// Only UDP whose payload begins with these four bytes; of a super-packet, its first frame's.
    pub payload: Option<[u8; 4]>,
    /// How many of a thousand.
    pub per_mille: u32,
}

impl Drops {
    fn rule(&self) -> String {
        let mut rule =
            format!("iifname {{ {} }} oifname {{ {} }}", ports(&self.from), ports(&self.to));
        if let Some(payload) = self.payload {
            let _ =
                write!(rule, " meta l4proto udp @th,64,32 {:#010x}", u32::from_be_bytes(payload));
        }
        if self.per_mille < 1000 {
            let _ = write!(rule, " numgen random mod 1000 < {}", self.per_mille);
        }
        rule + " counter drop"
    }
}

/// What the bridge calls these hosts' ports, with and without a detour.
fn ports(hosts: &[u32]) -> String {
    let names: Vec<String> = hosts.iter().map(|host| format!("p{host}, b{host}")).collect();
    names.join(", ")
}

impl Lan {
    /// From now on the bridge drops these, and nothing that an earlier call asked for.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_drops(&self, drops: &[Drops]) -> Result<(), LanError> {
        let rules: Vec<String> = drops.iter().map(Drops::rule).collect();
        let chain = "type filter hook forward priority 1";
        nft(&self.bridge(), &table("bridge", "drops", chain, &rules))
    }

    /// How many datagrams each of the drops has hit since they were set.
    ///
    /// # Errors
    /// That no drops were ever set, or that the kernel does not tell.
    pub fn drops_hit(&self) -> Result<Vec<u64>, LanError> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.bridge(), "nft", "list", "table", "bridge", "drops"]);
        Ok(numbers_after(&ask("nft", command, "")?, "counter packets "))
    }

    /// Takes a host's own interface down, or up again.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_interface(&self, host: u32, up: bool) -> Result<(), LanError> {
        ip(Some(&self.namespace(host)), &format!("link set eth0 {}\n", up_or_down(up)))
    }

    /// Pulls a host's cable, or puts it back: its interface is up and without a carrier meanwhile.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_cable(&self, host: u32, up: bool) -> Result<(), LanError> {
        ip(Some(&self.bridge()), &format!("link set p{host} {}\n", up_or_down(up)))
    }

    /// From now on a host's link carries so much each way; `None` for as much as the machine can.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_host_rate(&self, host: u32, rate: Option<LinkRate>) -> Result<(), LanError> {
        let queue = |limit: u32| match rate {
            None => "noqueue".to_owned(),
            Some(LinkRate { mbit_per_s, .. }) => {
                format!("tbf rate {mbit_per_s}mbit burst {BURST_BYTES} limit {limit}")
            }
        };
        let port = queue(rate.map_or(0, |rate| rate.port_buffer_bytes));
        tc(&self.bridge(), &format!("qdisc replace dev p{host} root {port}\n"))?;
        let own = queue(HOST_BUFFER_BYTES);
        tc(&self.namespace(host), &format!("qdisc replace dev eth0 root {own}\n"))
    }

    /// How often a host's link, whose rate was set, had something wait or dropped.
    ///
    /// # Errors
    /// That the kernel does not tell.
    pub fn rate_hit(&self, host: u32) -> Result<u64, LanError> {
        let mut hit = 0;
        for (namespace, device) in
            [(self.bridge(), format!("p{host}")), (self.namespace(host), "eth0".to_owned())]
        {
            let mut command = Command::new("tc");
            command.args(["-s", "-n", &namespace, "qdisc", "show", "dev", &device]);
            let answer = ask("tc", command, "")?;
            hit += numbers_after(&answer, "overlimits ").into_iter().sum::<u64>();
        }
        Ok(hit)
    }

    /// A socket of a host, bound to any port of its address.
    ///
    /// # Errors
    /// That it cannot be made there.
    pub fn socket(&self, host: u32) -> Result<UdpSocket, LanError> {
        let address = Self::address(host);
        inside(&self.namespace(host), move || UdpSocket::bind((address, 0)))
    }
}

/// Does something in a namespace: in a thread of its own, which alone goes there.
pub(super) fn inside<T: Send + 'static>(
    namespace: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, LanError> {
    let path = format!("/run/netns/{namespace}");
    let system = |error| LanError::System { what: format!("entering {path}"), error };
    let file = File::open(&path).map_err(system)?;
    let there = move || {
        setns(file, CloneFlags::CLONE_NEWNET)?;
        work()
    };
    let thread = std::thread::Builder::new().name("lan".to_owned()).spawn(there).map_err(system)?;
    let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread ended early")));
    ended.map_err(system)
}

const fn up_or_down(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

/// The numbers that stand behind a word.
fn numbers_after(text: &str, word: &str) -> Vec<u64> {
    let number = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    text.match_indices(word).filter_map(|(at, _)| number(&text[at + word.len()..])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_ports_kinds_and_chances() {
        let mut drops = Drops { from: vec![1], to: vec![2, 3], payload: None, per_mille: 1000 };
        let rule = "iifname { p1, b1 } oifname { p2, b2, p3, b3 } counter drop";
        assert_eq!(drops.rule(), rule);
        (drops.payload, drops.per_mille) = (Some(*b"Rl\x01\x02"), 300);
        let kind = " meta l4proto udp @th,64,32 0x526c0102 numgen random mod 1000 < 300 ";
        assert_eq!(drops.rule(), rule.replace(" counter", &format!("{kind}counter")));
    }

    #[test]
    fn counters_are_read_in_their_order() {
        let text = "x counter packets 12 bytes 3 drop\ny counter packets 0 bytes 0 drop\n";
        assert_eq!(numbers_after(text, "counter packets "), [12, 0]);
    }
}
