//! Where a demo takes place: names, ports and files that no other demo has.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

/// Below the ports that the kernel gives away by itself.
const PORT_FIRST: u16 = 10_000;

/// Ports of one demo: P to P+3.
const PORTS_EACH: u16 = 4;

/// Demos that find ports of their own.
const SLOTS: u16 = 5_000;

/// Tries to find free ports.
const TRIES: u16 = 64;

/// A demo's own place.
#[derive(Debug)]
pub(super) struct Place {
    /// The cluster's name.
    pub(super) cluster: String,
    /// The members' `--port`.
    pub(super) port: u16,
    /// Epochs and traces.
    directory: PathBuf,
    /// Removed at the end, when it was not asked for.
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    /// Finds free ports and makes the directory.
    pub(super) fn make(nodes: u8, state_dir: Option<&Path>) -> Result<Self, String> {
        let port = free_port(nodes).ok_or_else(|| {
            format!(
                "no ports are free on 127.0.0.1 to 127.0.0.{nodes}; fix: see that `lo` is up, and \
                 what holds the UDP ports from {PORT_FIRST} on (ss -ulpn)"
            )
        })?;
        let cluster = format!("demo-{}-{port}", std::process::id());
        let made = directory(&cluster, state_dir);
        let (directory, temporary) = made.map_err(|error| {
            format!(
                "no directory for the members' files: {error}; fix: name a writable one with \
                 --state-dir"
            )
        })?;
        Ok(Self { cluster, port, directory, _temporary: temporary })
    }

    pub(super) fn address(id: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 0, id)
    }

    /// Where members keep their epochs.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Where the histories are.
    pub(super) fn traces(&self) -> PathBuf {
        self.directory.join("traces")
    }

    /// The history of one life of a member.
    pub(super) fn trace(&self, id: u8, life: u32) -> PathBuf {
        self.traces().join(format!("{id}.{life}.jsonl"))
    }

    /// Whether the files stay.
    pub(super) const fn is_kept(&self) -> bool {
        self._temporary.is_none()
    }
}

fn directory(
    cluster: &str,
    state_dir: Option<&Path>,
) -> io::Result<(PathBuf, Option<tempfile::TempDir>)> {
    let (directory, temporary) = match state_dir {
        Some(kept) => (kept.join(cluster), None),
        None => {
            let temporary = tempfile::Builder::new().prefix("roundel-demo-").tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    std::fs::create_dir_all(directory.join("traces"))?;
    Ok((directory, temporary))
}

/// A port that can be used by all members; the search begins elsewhere in every process.
fn free_port(nodes: u8) -> Option<u16> {
    let first = std::process::id() % u32::from(SLOTS);
    let first = u16::try_from(first).unwrap_or(0);
    let mut ports = (0..TRIES).map(|step| PORT_FIRST + (first + step * 61) % SLOTS * PORTS_EACH);
    ports.find(|port| {
        (1..=nodes).all(|id| (1..=2).all(|above| is_free(Place::address(id), port + above)))
    })
}

fn is_free(address: Ipv4Addr, port: u16) -> bool {
    UdpSocket::bind((address, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_use_are_passed_over() {
        let port = free_port(3).unwrap();
        assert!((PORT_FIRST..PORT_FIRST + SLOTS * PORTS_EACH).contains(&port));
        let _held = UdpSocket::bind((Place::address(2), port + 1)).unwrap();
        assert_ne!(free_port(3), Some(port));
    }

    #[test]
    fn a_kept_place_is_below_the_directory_asked_for() {
        let asked_for = tempfile::tempdir().unwrap();
        let place = Place::make(2, Some(asked_for.path())).unwrap();
        assert!(place.is_kept() && place.trace(1, 2).starts_with(asked_for.path()));
        assert!(place.traces().is_dir());
        assert!(!Place::make(2, None).unwrap().is_kept());
    }
}
