//! A network of its own: hosts are network namespaces, each with one veth link to a bridge in
//! a namespace of its own. Nothing outside of these namespaces is touched.
//!
//! For tests and measurements on one machine. Needs root, iproute2 and nftables; [`missing`] says
//! what is not there.

mod detour;
mod faults;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use thiserror::Error;

pub use crate::impair::{Faults, FaultsHit};
use crate::raw::RawProtocol;
pub use detour::Detour;
pub use faults::Drops;

/// Every namespace's name begins so; the process that made it comes next.
const PREFIX: &str = "roundel-net-";

/// Hosts of one network at most: those of its /24.
const HOSTS_MAX: u32 = 254;

/// A network cannot be made or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LanError {
    /// There are too many.
    #[error("{hosts} hosts do not fit in one network; fix: ask for 1 to {HOSTS_MAX}")]
    Hosts {
        /// How many were asked for.
        hosts: u32,
    },
    /// A tool does not start.
    #[error("{tool} does not start: {error}; fix: apt-get install iproute2 nftables")]
    Start {
        /// The tool.
        tool: String,
        /// Why.
        error: std::io::Error,
    },
    /// A tool refused what it was told.
    #[error(
        "{tool} refuses: {answer}\nit was told:\n{told}\nfix: run as root, with CAP_SYS_ADMIN and \
         CAP_NET_ADMIN in a container, on a kernel with veth, bridge and nf_tables"
    )]
    Refused {
        /// The tool.
        tool: String,
        /// What it says.
        answer: String,
        /// What it was to do.
        told: String,
    },
    /// The system refuses what is done without a tool.
    #[error("{what}: {error}; fix: run as root, with CAP_SYS_ADMIN and CAP_NET_RAW in a container")]
    System {
        /// What was tried.
        what: String,
        /// Why not.
        error: std::io::Error,
    },
}

/// A bridge and hosts 1, 2, … on it. Removed with everything that runs there when it is dropped.
#[derive(Debug)]
pub struct Lan {
    /// Of the names of all its namespaces.
    prefix: String,
    hosts: u32,
}

/// What the links of a network carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkRate {
    /// Each way, in Mbit/s of Ethernet.
    pub mbit_per_s: u32,
    /// What the switch keeps for each port at most, in bytes; it drops the rest.
    pub port_buffer_bytes: u32,
}

/// What a link takes at once: the longest super-packet, which is not cut here.
const BURST_BYTES: u32 = 70_000;

/// What a host keeps for its link: more than a member's socket does.
const HOST_BUFFER_BYTES: u32 = 64 << 20;

/// Why no network can be made here, with the fix, if so.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let works = |tool: &str| {
        let command =
            Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        command.is_ok_and(|status| status.success())
    };
    if !Uid::effective().is_root() {
        Some("needs root to make network namespaces; fix: sudo")
    } else if !works("ip") {
        Some("needs ip; fix: apt-get install iproute2")
    } else if !works("nft") {
        Some("needs nft; fix: apt-get install nftables")
    } else {
        None
    }
}

impl Lan {
    /// Makes a network of so many hosts, 1 to 254, with the usual MTU of 1500.
    ///
    /// Removes first what processes that were killed left behind.
    ///
    /// # Errors
    /// What does not work, with cause and fix; nothing stays behind then.
    pub fn new(hosts: u32) -> Result<Self, LanError> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !(1..=HOSTS_MAX).contains(&hosts) {
            return Err(LanError::Hosts { hosts });
        }
        remove_stale();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let lan = Self { prefix: format!("{PREFIX}{}-{number}-", std::process::id()), hosts };
        let bridge = lan.bridge();
        let mut namespaces = format!("netns add {bridge}\n");
        for host in lan.hosts() {
            let _ = writeln!(namespaces, "netns add {}", lan.namespace(host));
        }
        ip(None, &namespaces)?;
        // Snooping without a querier would only add a delay that depends on the kernel.
        ip(
            Some(&bridge),
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\n",
        )?;
        for host in lan.hosts() {
            lan.attach(host)?;
        }
        Ok(lan)
    }

    fn attach(&self, host: u32) -> Result<(), LanError> {
        let (bridge, namespace) = (self.bridge(), self.namespace(host));
        let address = Self::address(host);
        ip(
            Some(&bridge),
            &format!(
                "link add p{host} type veth peer name eth0 netns {namespace}\n\
             link set p{host} master br0 up\n"
            ),
        )?;
        ip(
            Some(&namespace),
            &format!("link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n"),
        )
    }

    /// The hosts, by their numbers.
    pub fn hosts(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.hosts
    }

    /// The address of a host, the same in every network made here: 10.77.0.1 for host 1.
    #[must_use]
    pub fn address(host: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 77, 0, 0).to_bits() + host)
    }

    /// From now on all links take IP packets of this length.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_mtu(&self, mtu_bytes: u32) -> Result<(), LanError> {
        let ports = self.hosts().map(|host| format!("link set p{host} mtu {mtu_bytes}\n"));
        ip(Some(&self.bridge()), &ports.collect::<String>())?;
        self.hosts().try_for_each(|host| self.set_host_mtu(host, mtu_bytes))
    }

    /// From now on a host's link takes no larger IP packets; a super-packet whose segments are no
    /// larger it takes.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_host_mtu(&self, host: u32, mtu_bytes: u32) -> Result<(), LanError> {
        ip(Some(&self.namespace(host)), &format!("link set eth0 mtu {mtu_bytes}\n"))
    }

    /// A command that runs on a host; the process keeps its id.
    #[must_use]
    pub fn command(&self, host: u32, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// From now on each datagram to each host is lost with this probability, in thousandths. A
    /// super-packet is one datagram here.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn lose(&self, per_mille: u32) -> Result<(), LanError> {
        let carriers = format!("udp, {}", RawProtocol::default());
        let rule =
            format!("meta l4proto {{ {carriers} }} numgen random mod 1000 < {per_mille} drop");
        let chain = "type filter hook input priority 0";
        let table = table("inet", "loss", chain, &[rule]);
        self.hosts().try_for_each(|host| nft(&self.namespace(host), &table))
    }

    /// From now on each link carries so much; `None` for as much as the machine can.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn set_rate(&self, rate: Option<LinkRate>) -> Result<(), LanError> {
        let queue = |buffer_bytes: fn(LinkRate) -> u32| match rate {
            None => "noqueue".to_owned(),
            Some(rate) => format!(
                "tbf rate {}mbit burst {BURST_BYTES} limit {}",
                rate.mbit_per_s,
                buffer_bytes(rate)
            ),
        };
        let (port, host) = (queue(|rate| rate.port_buffer_bytes), queue(|_| HOST_BUFFER_BYTES));
        let ports = self.hosts().map(|host| format!("qdisc replace dev p{host} root {port}\n"));
        tc(&self.bridge(), &ports.collect::<String>())?;
        let line = format!("qdisc replace dev eth0 root {host}\n");
        self.hosts().try_for_each(|host| tc(&self.namespace(host), &line))
    }

    /// From now on only hosts of one group reach each other.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn partition(&self, groups: &[&[u32]]) -> Result<(), LanError> {
        let mut cuts = Vec::new();
        for (i, from) in groups.iter().enumerate() {
            for (_, to) in groups.iter().enumerate().filter(|(j, _)| *j != i) {
                cuts.push((*from, *to));
            }
        }
        self.cut(&cuts)
    }

    /// From now on nothing passes from the first to the second of each pair; the other way stays.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn cut(&self, cuts: &[(&[u32], &[u32])]) -> Result<(), LanError> {
        let ports = |hosts: &[u32]| {
            let names: Vec<String> = hosts.iter().map(|host| format!("p{host}")).collect();
            names.join(", ")
        };
        let rule = |(from, to): &(&[u32], &[u32])| {
            format!("iifname {{ {} }} oifname {{ {} }} drop", ports(from), ports(to))
        };
        let rules: Vec<String> = cuts.iter().map(rule).collect();
        let chain = "type filter hook forward priority 0";
        nft(&self.bridge(), &table("bridge", "cut", chain, &rules))
    }

    /// Ends cuts and partitions.
    ///
    /// # Errors
    /// That the kernel refuses it.
    pub fn heal(&self) -> Result<(), LanError> {
        nft(&self.bridge(), "table bridge cut\ndelete table bridge cut\n")
    }

    fn namespace(&self, host: u32) -> String {
        format!("{}h{host}", self.prefix)
    }

    fn bridge(&self) -> String {
        format!("{}bridge", self.prefix)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in namespaces().into_iter().filter(|name| name.starts_with(&self.prefix)) {
            remove(&name);
        }
    }
}

/// A table with one chain, in the place of what it was before.
fn table(family: &str, name: &str, chain: &str, rules: &[String]) -> String {
    format!(
        "table {family} {name}\ndelete table {family} {name}\n\
         table {family} {name} {{\nchain it {{\n{chain}\n{}\n}}\n}}\n",
        rules.join("\n")
    )
}

fn ip(namespace: Option<&str>, lines: &str) -> Result<(), LanError> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]);
    feed("ip", command, lines)
}

fn tc(namespace: &str, lines: &str) -> Result<(), LanError> {
    let mut command = Command::new("tc");
    command.args(["-n", namespace, "-batch", "-"]);
    feed("tc", command, lines)
}

fn nft(namespace: &str, rules: &str) -> Result<(), LanError> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft", "-f", "-"]);
    feed("nft", command, rules)
}

fn feed(tool: &str, command: Command, lines: &str) -> Result<(), LanError> {
    ask(tool, command, lines).map(|_| ())
}

/// The same, with what the tool says.
fn ask(tool: &str, mut command: Command, lines: &str) -> Result<String, LanError> {
    let tool = tool.to_owned();
    let start = |error| LanError::Start { tool: tool.clone(), error };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends early says why on stderr.
        let _ = stdin.write_all(lines.as_bytes());
    }
    let output = child.wait_with_output().map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let answer = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(LanError::Refused { tool, answer, told: lines.trim_end().to_owned() })
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What processes that were killed left behind.
fn remove_stale() {
    for name in namespaces() {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if let Some(pid) = maker.and_then(|pid| pid.parse::<u32>().ok())
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            remove(&name);
        }
    }
}

/// Removes a namespace, and first the processes in it, or it would live on without a name.
fn remove(name: &str) {
    if let Ok(output) = Command::new("ip").args(["netns", "pids", name]).output() {
        for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
            if let Ok(pid) = pid.parse() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
    let _ = Command::new("ip").args(["netns", "delete", name]).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_what_it_was() {
        let text = table("inet", "loss", "type filter hook input priority 0", &["drop".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        // Adding it first makes deleting work whether it was there or not.
        assert_eq!(lines[..3], ["table inet loss", "delete table inet loss", "table inet loss {"]);
        assert!(lines.contains(&"drop"), "{text}");
    }

    #[test]
    fn hosts_have_addresses_of_one_network() {
        assert_eq!(Lan::address(1), Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(Lan::address(HOSTS_MAX), Ipv4Addr::new(10, 77, 0, 254));
        for hosts in [0, HOSTS_MAX + 1] {
            let error = Lan::new(hosts).unwrap_err().to_string();
            assert!(error.contains("fix:"), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_cause_and_fix() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such thing >&2; exit 1"]);
        let error = feed("sh", command, "do it").unwrap_err().to_string();
        for part in ["no such thing", "do it", "fix:"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_network_is_gone_when_it_is_dropped() {
        if let Some(reason) = missing() {
            // Not `eprintln!`, which the test harness swallows.
            let _ = writeln!(std::io::stderr(), "a_network_is_gone skipped: {reason}");
            return;
        }
        let lan = Lan::new(2).unwrap();
        lan.set_mtu(9000).unwrap();
        lan.lose(1).unwrap();
        let rate = LinkRate { mbit_per_s: 100, port_buffer_bytes: 200_000 };
        lan.set_rate(Some(rate)).unwrap();
        lan.set_rate(None).unwrap();
        let prefix = lan.prefix.clone();
        let mut sleeper = lan.command(2, Path::new("sleep")).arg("60").spawn().unwrap();
        assert!(namespaces().iter().any(|name| name.starts_with(&prefix)));
        drop(lan);
        assert!(!namespaces().iter().any(|name| name.starts_with(&prefix)));
        assert!(sleeper.try_wait().unwrap().is_some() || !sleeper.wait().unwrap().success());
    }
}
