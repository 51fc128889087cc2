//! NATS: a broker on a host of its own, and members that publish to one subject through it.

mod member;
mod sender;
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use roundel::lan::Lan;

pub(crate) use member::{MemberArgs, run as run_member};

use super::document::{Missing, Order, System};
use super::session::Peer;
use super::tool;
use crate::children::{self, Children};
use crate::exit::Stop;

pub(crate) const NAME: &str = "nats";

const PORT: u16 = 4222;

const SETTINGS: &str = "core, one subject, broker on a host of its own, 1 MiB of each on its way";

/// A broker that can be started.
pub(crate) struct Nats {
    system: System,
    program: PathBuf,
    folder: PathBuf,
    /// Of the broker: the one behind the members'.
    host: u32,
}

/// The broker, or why there is none; works in a folder that is removed later, with members that are
/// this program.
pub(crate) fn find(folder: &Path, program: &Path, members: u16) -> Result<Nats, Missing> {
    let missing = |reason| Missing { name: NAME, reason, fix: "apt-get install nats-server" };
    let version = tool::version("nats-server", "--version").map_err(missing)?;
    let (program, settings) = (program.to_owned(), SETTINGS.to_owned());
    let system = System { name: NAME, version, order: Order::PerPublisher, settings };
    Ok(Nats { system, program, folder: folder.to_owned(), host: u32::from(members) + 1 })
}

impl Nats {
    fn broker(&self) -> SocketAddr {
        (Lan::address(self.host), PORT).into()
    }
}

impl Peer for Nats {
    fn system(&self) -> &System {
        &self.system
    }

    fn serve(&self, lan: &Lan, servers: &mut Children, _: &AtomicBool) -> Result<(), Stop> {
        let (file, log) = (self.folder.join("nats.conf"), self.folder.join("nats.log"));
        // The members bound what is on its way: a subscriber that is late for a moment is kept.
        let text = format!(
            "listen: \"{}\"\nlog_file: \"{}\"\nmax_pending: 268435456\nwrite_deadline: \"30s\"\n",
            self.broker(),
            log.display()
        );
        fs::write(&file, text)?;
        let mut command = lan.command(self.host, Path::new("nats-server"));
        servers.start(self.host, command.arg("-c").arg(file).stderr(Stdio::piped()))?;
        Ok(())
    }

    fn has_broker(&self) -> bool {
        true
    }

    fn member(&self, lan: &Lan, _: &Children, host: u32) -> Command {
        let mut command = lan.command(host, &self.program);
        children::without_options(&mut command);
        command.arg("peers-nats").arg(self.broker().to_string());
        command
    }
}
