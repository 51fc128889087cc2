//! The members' state directories: each a small file system in memory, which can be filled and
//! sealed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::fleet::CLUSTER;

/// Room of one.
const SIZE: &str = "size=256k";

/// What takes the room of a full one.
const FILLER: &str = "full";

/// State directories by host; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Disks {
    folder: PathBuf,
    mounted: Vec<PathBuf>,
    filled: BTreeSet<u32>,
    sealed: BTreeSet<u32>,
}

/// Gives this process a view of the file systems of its own, so that what it mounts goes with it.
pub(super) fn leave_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

impl Disks {
    pub(super) fn new(folder: PathBuf, hosts: u32) -> Result<Self, String> {
        let (filled, sealed) = (BTreeSet::new(), BTreeSet::new());
        let mut disks = Self { folder, mounted: Vec::new(), filled, sealed };
        for host in 1..=hosts {
            let disk = disks.of(host);
            fs::create_dir_all(&disk).map_err(|error| format!("a state directory: {error}"))?;
            let tmpfs = Some("tmpfs");
            mount(tmpfs, &disk, tmpfs, MsFlags::empty(), Some(SIZE))
                .map_err(|errno| format!("a file system in memory cannot be mounted: {errno}"))?;
            disks.mounted.push(disk);
        }
        Ok(disks)
    }

    /// Where a host keeps epochs.
    pub(super) fn of(&self, host: u32) -> PathBuf {
        self.folder.join(host.to_string())
    }

    /// A member that starts there now is refused.
    pub(super) fn is_refusing(&self, host: u32) -> bool {
        self.filled.contains(&host) || self.sealed.contains(&host)
    }

    /// Forgets all that a host has kept.
    pub(super) fn clear(&self, host: u32) {
        // There may be nothing.
        let _ = fs::remove_dir_all(self.of(host).join(format!("c-{CLUSTER}")));
    }

    /// Forgets what a member has voted for, as a new disk would.
    pub(super) fn forget_votes(&self, id: u32) {
        // There may be nothing.
        let _ =
            fs::remove_file(self.of(id).join(format!("c-{CLUSTER}")).join(format!("{id}.primary")));
    }

    /// Leaves no room.
    pub(super) fn fill(&mut self, host: u32) -> Result<(), String> {
        self.filled.insert(host);
        let failed = |error: io::Error| format!("filling a disk: {error}");
        let mut file = File::create(self.of(host).join(FILLER)).map_err(failed)?;
        let block = [0; 4096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Makes room again.
    pub(super) fn free(&mut self, host: u32) -> Result<(), String> {
        self.filled.remove(&host);
        let removed = fs::remove_file(self.of(host).join(FILLER));
        removed.map_err(|error| format!("making room on a disk: {error}"))
    }

    /// Nothing in the directory can be made or replaced: permissions would not keep root from it.
    pub(super) fn seal(&mut self, host: u32) -> Result<(), String> {
        chattr("+i", &self.of(host))?;
        self.sealed.insert(host);
        Ok(())
    }

    /// It can again.
    pub(super) fn unseal(&mut self, host: u32) -> Result<(), String> {
        self.sealed.remove(&host);
        chattr("-i", &self.of(host))
    }

    /// All can be written again.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        while let Some(host) = self.filled.first().copied() {
            self.free(host)?;
        }
        while let Some(host) = self.sealed.first().copied() {
            self.unseal(host)?;
        }
        Ok(())
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for disk in &self.mounted {
            // It goes with this process at the latest.
            let _ = umount2(disk, MntFlags::MNT_DETACH);
        }
    }
}

fn chattr(change: &str, disk: &Path) -> Result<(), String> {
    let directory = disk.join(format!("c-{CLUSTER}"));
    let output = Command::new("chattr").arg(change).arg(directory).output();
    let output = output.map_err(|error| {
        format!("chattr does not start: {error}; fix: apt-get install e2fsprogs")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("chattr refuses: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
