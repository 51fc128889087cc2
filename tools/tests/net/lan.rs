//! A network of its own: hosts are network namespaces, each with one veth link to a bridge in
//! a namespace of its own. Nothing outside of these namespaces is touched.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

/// Every namespace's name begins so; the process that made it comes next.
const PREFIX: &str = "roundel-net-";

/// A bridge and hosts 1, 2, … on it.
#[derive(Debug)]
pub(crate) struct Lan {
    /// Of the names of all its namespaces.
    prefix: String,
    hosts: u32,
}

/// Why no network can be made here, if so.
pub(crate) fn missing() -> Option<&'static str> {
    let works = |tool: &str| {
        let command =
            Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        command.is_ok_and(|status| status.success())
    };
    if !Uid::effective().is_root() {
        Some("needs root to make network namespaces")
    } else if !works("ip") {
        Some("needs ip; fix: apt-get install iproute2")
    } else if !works("nft") {
        Some("needs nft; fix: apt-get install nftables")
    } else {
        None
    }
}

impl Lan {
    pub(crate) fn new(hosts: u32) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        remove_stale();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let lan = Self { prefix: format!("{PREFIX}{}-{number}-", std::process::id()), hosts };
        let bridge = lan.bridge();
        let mut namespaces = format!("netns add {bridge}\n");
        for host in lan.hosts() {
            let _ = writeln!(namespaces, "netns add {}", lan.namespace(host));
        }
        ip(None, &namespaces);
        // Snooping without a querier would only add a delay that depends on the kernel.
        ip(
            Some(&bridge),
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\n",
        );
        for host in lan.hosts() {
            lan.attach(host);
        }
        lan
    }

    fn attach(&self, host: u32) {
        let (bridge, namespace) = (self.bridge(), self.namespace(host));
        let address = Self::address(host);
        ip(
            Some(&bridge),
            &format!(
                "link add p{host} type veth peer name eth0 netns {namespace}\n\
             link set p{host} master br0 up\n"
            ),
        );
        ip(
            Some(&namespace),
            &format!("link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n"),
        );
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.hosts
    }

    /// The address of a host, the same in every network made here.
    pub(crate) fn address(host: u32) -> Ipv4Addr {
        let host = u8::try_from(host).expect("few hosts");
        Ipv4Addr::new(10, 77, 0, host)
    }

    /// From now on a host's link takes no larger IP packets, neither way.
    pub(crate) fn narrow(&self, host: u32, mtu_bytes: u32) {
        ip(Some(&self.namespace(host)), &format!("link set eth0 mtu {mtu_bytes}\n"));
    }

    /// A command that runs on a host; the process keeps its id.
    pub(crate) fn command(&self, host: u32, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// From now on each datagram to a host is lost with this probability.
    pub(crate) fn lose(&self, percent: u32) {
        for host in self.hosts() {
            self.lose_at(host, percent);
        }
    }

    pub(crate) fn lose_at(&self, host: u32, percent: u32) {
        let rule = format!("meta l4proto udp numgen random mod 100 < {percent} drop");
        let chain = "type filter hook input priority 0";
        nft(&self.namespace(host), &table("inet", "loss", chain, &[rule]));
    }

    /// From now on only hosts of one group reach each other.
    pub(crate) fn partition(&self, groups: &[&[u32]]) {
        let mut cuts = Vec::new();
        for (i, from) in groups.iter().enumerate() {
            for (_, to) in groups.iter().enumerate().filter(|(j, _)| *j != i) {
                cuts.push((*from, *to));
            }
        }
        self.cut(&cuts);
    }

    /// From now on nothing passes from the first to the second of each pair; the other way stays.
    pub(crate) fn cut(&self, cuts: &[(&[u32], &[u32])]) {
        let ports = |hosts: &[u32]| {
            let names: Vec<String> = hosts.iter().map(|host| format!("p{host}")).collect();
            names.join(", ")
        };
        let rule = |(from, to): &(&[u32], &[u32])| {
            format!("iifname {{ {} }} oifname {{ {} }} drop", ports(from), ports(to))
        };
        let rules: Vec<String> = cuts.iter().map(rule).collect();
        nft(&self.bridge(), &table("bridge", "cut", "type filter hook forward priority 0", &rules));
    }

    /// Ends cuts and partitions.
    pub(crate) fn heal(&self) {
        nft(&self.bridge(), "table bridge cut\ndelete table bridge cut\n");
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

fn ip(namespace: Option<&str>, lines: &str) {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]);
    feed(command, lines);
}

fn nft(namespace: &str, rules: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft", "-f", "-"]);
    feed(command, rules);
}

fn feed(mut command: Command, lines: &str) {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("ip starts");
    // A command that ends early says why on stderr.
    let _ = child.stdin.take().expect("piped").write_all(lines.as_bytes());
    let output = child.wait_with_output().expect("ip ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}\nit was told:\n{lines}");
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What tests that were killed left behind.
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
