//! Corosync: a daemon on each host, and a member of a closed process group through libcpg.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use roundel::lan::Lan;

use super::document::{Missing, Order, System};
use super::session::Peer;
use super::tool;
use crate::children::Children;
use crate::exit::Stop;

/// Longest wait for the daemons' processes.
const START_MAX: Duration = Duration::from_secs(10);

const FIX: &str = "apt-get install corosync libcpg-dev gcc";

/// The member's source.
const CLIENT: &str = include_str!("../../peers/cpg.c");

/// Runs a daemon with state, sockets and shared memory of its own: `ip netns exec` has made a mount
/// namespace, from which nothing goes back. The word comes when a member may enter it.
const DAEMON: &str = "\
for folder in /run /var/lib/corosync /dev/shm; do mount -t tmpfs none $folder || exit; done
echo ready
exec corosync -f -c \"$0\"";

/// The daemons as ordinary processes, and with the priority that they take by default.
const SCHEDULING: [(&str, &str); 2] = [("corosync", "no"), ("corosync-realtime", "yes")];

/// Names of the variants.
pub(crate) const NAMES: [&str; 2] = [SCHEDULING[0].0, SCHEDULING[1].0];

/// Corosync with one kind of scheduling.
pub(crate) struct Corosync {
    system: System,
    client: PathBuf,
    folder: PathBuf,
    members: u16,
    realtime: &'static str,
}

/// Both variants, or why there is none; works in a folder that is removed later.
pub(crate) fn find(folder: &Path, members: u16) -> Vec<Result<Corosync, Missing>> {
    let found = tool::version("corosync", "-v").and_then(|version| {
        tool::version("nsenter", "--version")?;
        Ok((version, compile(folder)?))
    });
    let variants = SCHEDULING.into_iter().map(|(name, realtime)| {
        let (version, client) =
            found.clone().map_err(|reason| Missing { name, reason, fix: FIX })?;
        let folder = folder.join(name);
        let settings = format!("{SETTINGS}, sched_rr {realtime}");
        let system = System { name, version, order: Order::Total, settings };
        Ok(Corosync { system, client, folder, members, realtime })
    });
    variants.collect()
}

/// Compiles the member.
fn compile(folder: &Path) -> Result<PathBuf, String> {
    fs::write(folder.join("cpg.c"), CLIENT).map_err(|error| error.to_string())?;
    let mut command = Command::new("cc");
    command.args(["-O2", "-o", "cpg", "cpg.c", "-lcpg"]).current_dir(folder);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cc does not start: {error}"))?;
    if output.status.success() {
        return Ok(folder.join("cpg"));
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let says_why = |line: &&str| line.contains("error") || line.contains("cannot find");
    let first = told.lines().find(says_why).unwrap_or("no reason given");
    Err(format!("the client does not compile: {}", first.trim()))
}

/// Frames that fill a jumbo packet, and the greatest windows that were of use; multicast by the
/// kernel, which costs less here than unicast to each (udpu) and than knet.
const SETTINGS: &str = "transport udp, no crypto, netmtu 8900, window_size 300, max_messages 100";

impl Corosync {
    fn configuration(&self, log: &Path) -> String {
        let nodes = (1..=u32::from(self.members)).map(|host| {
            let address = Lan::address(host);
            format!("node {{\nnodeid: {host}\nname: h{host}\nring0_addr: {address}\n}}\n")
        });
        format!(
            "totem {{\nversion: 2\ncluster_name: peers\ntransport: udp\n\
             crypto_cipher: none\ncrypto_hash: none\n\
             netmtu: 8900\nwindow_size: 300\nmax_messages: 100\n}}\n\
             nodelist {{\n{}}}\n\
             logging {{\nto_syslog: no\nto_stderr: no\nto_logfile: yes\nlogfile: {}\n}}\n\
             system {{\nsched_rr: {}\nmove_to_root_cgroup: no\n}}\n",
            nodes.collect::<String>(),
            log.display(),
            self.realtime
        )
    }
}

impl Peer for Corosync {
    fn system(&self) -> &System {
        &self.system
    }

    fn serve(
        &self,
        lan: &Lan,
        servers: &mut Children,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        fs::create_dir_all(&self.folder)?;
        for host in 1..=self.members.into() {
            let file = self.folder.join(format!("{host}.conf"));
            fs::write(&file, self.configuration(&file.with_extension("log")))?;
            let mut command = lan.command(host, Path::new("sh"));
            command.args(["-c", DAEMON]).arg(file).stderr(Stdio::piped());
            servers.start(host, &mut command)?;
        }
        servers.lines(interrupted, START_MAX)?;
        Ok(())
    }

    fn has_broker(&self) -> bool {
        false
    }

    fn member(&self, lan: &Lan, servers: &Children, host: u32) -> Command {
        let daemon = servers.ids().find(|(at, _)| *at == host).map_or(0, |(_, daemon)| daemon);
        let mut command = lan.command(host, Path::new("nsenter"));
        command.args(["--mount", "--target", &daemon.to_string()]).arg(&self.client);
        command
    }
}
