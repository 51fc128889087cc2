//! What a member keeps on disk: its epoch ceiling, with a dynamic primary policy its record of
//! primary components, and a lock that keeps a second member with the same name off this host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use roundel_ring::epoch::Start;
use roundel_ring::id::{Epoch, Incarnation, NodeId};
use roundel_ring::primary::{RECORD_BYTES_MAX, Record};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process runs this member.
    #[error(
        "member {id} of cluster {cluster:?} already runs on this host (it holds {path}); \
         fix: end it, or give this one its own --id"
    )]
    Locked {
        /// The member.
        id: NodeId,
        /// The cluster.
        cluster: String,
        /// The lock.
        path: PathBuf,
    },
    /// The disk refuses.
    #[error("{path} cannot be {action}: {error}; fix: give a writable directory with --state-dir")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// The file holds something else than a record of primary components.
    #[error(
        "{path} is damaged; fix: restore it, or remove it: then this member has no say in what \
         was decided before, and counts again once it has been in a primary component"
    )]
    DamagedRecord {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than a ceiling.
    #[error(
        "{path} is damaged; fix: remove it if no other member of this cluster and id ever ran \
         with a clock ahead of this host's, else restore it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// How long a held lock is tried for, and the pause between two tries. A member that was dropped or
/// killed holds it until its disk thread, or the kernel, has noticed.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// One member's place on disk, locked while this value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    directory: PathBuf,
    epoch_path: PathBuf,
    record_path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Opens, and makes where missing, `root/<cluster>/<id>.*`; waits a moment for a life before
    /// that is just ending.
    pub(crate) fn open(root: &Path, cluster: &str, id: NodeId) -> Result<Self, StateError> {
        let directory = root.join(file_name(cluster));
        let failed = |path: &Path, action, error| {
            let path = path.to_owned();
            StateError::Io { path, action, error }
        };
        fs::create_dir_all(&directory).map_err(|e| failed(&directory, "made", e))?;
        let lock_path = directory.join(format!("{id}.lock"));
        let file = OpenOptions::new().create(true).append(true).open(&lock_path);
        let file = file.map_err(|e| failed(&lock_path, "opened", e))?;
        let lock = lock(file).map_err(|errno| match errno {
            Errno::EWOULDBLOCK => {
                StateError::Locked { id, cluster: cluster.to_owned(), path: lock_path.clone() }
            }
            errno => failed(&lock_path, "locked", errno.into()),
        })?;
        let epoch_path = directory.join(format!("{id}.epoch"));
        let record_path = directory.join(format!("{id}.primary"));
        Ok(Self { directory, epoch_path, record_path, _lock: lock })
    }

    /// Takes a start epoch and makes its ceiling durable.
    pub(crate) fn start(&self) -> Result<Start, StateError> {
        let on_disk = self.read()?;
        let start = Start::new(on_disk, wall_floor());
        self.write(start.ceiling).map_err(|error| {
            let path = self.epoch_path.clone();
            StateError::Io { path, action: "written", error }
        })?;
        Ok(start)
    }

    fn read(&self) -> Result<Epoch, StateError> {
        let Some(text) = read_file(&self.epoch_path, CEILING_BYTES_MAX)? else {
            return Ok(Epoch(0));
        };
        ceiling(&text).ok_or_else(|| StateError::Damaged { path: self.epoch_path.clone() })
    }

    /// The record of primary components; where there is none, a new one is made durable.
    pub(crate) fn record(&self, incarnation: Incarnation) -> Result<Record, StateError> {
        let path = self.record_path.clone();
        if let Some(bytes) = read_file(&path, RECORD_BYTES_MAX as u64)? {
            return Record::decode(&bytes).map_err(|_| StateError::DamagedRecord { path });
        }
        let record = Record::new(incarnation);
        match self.write_record(&record.encode()) {
            Ok(()) => Ok(record),
            Err(error) => Err(StateError::Io { path, action: "written", error }),
        }
    }

    /// Replaces the record, as durably as the ceiling.
    pub(crate) fn write_record(&self, record: &[u8]) -> io::Result<()> {
        self.replace(&self.record_path, record)
    }

    /// Replaces the ceiling: a new file, synced, renamed over the old one, and the directory
    /// synced, so that at any moment the disk holds the old number or the new one.
    pub(crate) fn write(&self, ceiling: Epoch) -> io::Result<()> {
        self.replace(&self.epoch_path, format!("{ceiling}\n").as_bytes())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let mut file = File::create(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(&self.directory)?.sync_all()
    }
}

/// The content of a file, if there is one, up to one byte more than `bytes_max`: whatever else lies
/// there is not read to its end.
fn read_file(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StateError> {
    let mut content = Vec::new();
    let file = File::open(path);
    match file.and_then(|file| file.take(bytes_max + 1).read_to_end(&mut content)) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::Io { path: path.to_owned(), action: "read", error }),
    }
}

/// The longest ceiling, with its newline.
const CEILING_BYTES_MAX: u64 = 21;

/// The ceiling that a file says: as [`StateDir::write`] writes it and in no other way, and such that
/// a start above it is an epoch that others believe.
fn ceiling(text: &[u8]) -> Option<Epoch> {
    let digits = text.strip_suffix(b"\n")?;
    let ceiling = std::str::from_utf8(digits).ok()?.parse().ok().map(Epoch)?;
    let is_canonical = ceiling.to_string().as_bytes() == digits;
    (is_canonical && ceiling.next() < Epoch::END).then_some(ceiling)
}

fn lock(mut file: File) -> Result<Flock<File>, Errno> {
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((back, Errno::EWOULDBLOCK)) if Instant::now() < give_up => file = back,
            outcome => return outcome.map_err(|(_, errno)| errno),
        }
        sleep(LOCK_PAUSE);
    }
}

/// Covers a wiped disk: milliseconds of wall time, with room for 128 epochs each, which is more
/// than a member uses up in one. The one use of wall time in the project.
fn wall_floor() -> Epoch {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Epoch(u64::try_from(since.as_millis()).unwrap_or(u64::MAX >> 7) << 7)
}

/// A cluster's name as a file name: letters, digits, `-` and `_` stay, the rest is spelt in hex.
fn file_name(cluster: &str) -> String {
    let mut name = String::from("c-");
    for byte in cluster.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_is_above_everything_before() {
        let root = tempfile::tempdir().unwrap();
        let first = StateDir::open(root.path(), "a/b", NodeId(7)).unwrap();
        let start = first.start().unwrap();
        let higher = Epoch(start.ceiling.0 + (1 << 50));
        first.write(higher).unwrap();
        drop(first);
        let second = StateDir::open(root.path(), "a/b", NodeId(7)).unwrap();
        assert_eq!(second.start().unwrap().incarnation, higher.next());
    }

    #[test]
    fn a_second_member_of_one_name_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let held = StateDir::open(root.path(), "c", NodeId(1)).unwrap();
        let refused = StateDir::open(root.path(), "c", NodeId(1));
        assert!(matches!(refused, Err(StateError::Locked { .. })));
        assert!(StateDir::open(root.path(), "c", NodeId(2)).is_ok());
        assert!(StateDir::open(root.path(), "d", NodeId(1)).is_ok());
        drop(held);
        assert!(StateDir::open(root.path(), "c", NodeId(1)).is_ok());
    }

    #[test]
    fn a_life_that_is_just_ending_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let ending = StateDir::open(root.path(), "c", NodeId(1)).unwrap();
        let end = std::thread::spawn(move || {
            sleep(20 * LOCK_PAUSE);
            drop(ending);
        });
        assert!(StateDir::open(root.path(), "c", NodeId(1)).is_ok());
        end.join().unwrap();
    }

    #[test]
    fn a_torn_file_is_no_ceiling() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "c", NodeId(1)).unwrap();
        let long = [b'1'; 1 << 20];
        let end = format!("{}\n", Epoch::END.0 - 1);
        let torn: [&[u8]; 13] = [
            b"",
            b"12",
            b"x\n",
            b"\n",
            b"+5\n",
            b"007\n",
            b"5\n\n",
            b"5\n6\n",
            b"\xff\n",
            b"18446744073709551615\n",
            b"18446744073709551616\n",
            end.as_bytes(),
            &long,
        ];
        for torn in torn {
            fs::write(&state.epoch_path, torn).unwrap();
            let start = state.start();
            assert!(matches!(start, Err(StateError::Damaged { .. })), "{start:?} of {torn:?}");
        }
    }

    #[test]
    fn a_record_is_made_once_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path(), "c", NodeId(1)).unwrap();
        let first = state.record(Epoch(5)).unwrap();
        assert_eq!(state.record(Epoch(9)).unwrap(), first, "it has been there since");
        for damage in [&first.encode()[..7], b"", b"other", &[0; 1 << 20]] {
            fs::write(&state.record_path, damage).unwrap();
            let record = state.record(Epoch(9));
            assert!(matches!(record, Err(StateError::DamagedRecord { .. })), "{record:?}");
        }
        fs::remove_file(&state.record_path).unwrap();
        assert_ne!(state.record(Epoch(9)).unwrap(), first);
    }

    #[test]
    fn any_bytes_are_a_ceiling_as_written_or_none() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
        let mut taken = 0;
        for _ in 0..1_000_000 {
            let mut text = format!("{}\n", rng.random::<u64>() >> rng.random_range(0..64));
            if rng.random_bool(0.5) {
                let mut bytes = text.into_bytes();
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            if let Some(ceiling) = ceiling(text.as_bytes()) {
                assert_eq!(format!("{ceiling}\n"), text);
                taken += 1;
            }
        }
        assert!(taken > 100_000, "{taken} taken");
    }
}
