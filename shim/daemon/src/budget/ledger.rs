//! The file of what uplinks have carried: what is written there outlives restarts, crashes and hand-overs.
//!
//! Each process adds what it has counted to what the file says, under a lock, and so two that run for a moment beside
//! each other, as at a hand-over, lose nothing. A file is replaced by a rename: whenever the machine stops, it is the
//! one of before or the one of after. One that is none of ours is put aside, and counting begins at zero: money is
//! less bad than a site that does not start. All of this blocks: it is for a thread of its own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use time::Date;
use tracing::warn;

use super::account::Account;
use super::unwritten::Unwritten;

/// Uplinks in a file: those that were renamed stay in it.
pub(super) const MAX_UPLINKS: usize = 64;

/// The longest file that is read: an uplink takes some 300 bytes.
const MAX_BYTES: u64 = 1 << 20;

/// How long another process may change the file: it takes a moment, unless its disk does not answer.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// What one process has counted of one uplink since it last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) uplink: String,
    pub(super) reset_day: u8,
    pub(super) bytes: Unwritten,
}

/// The file, in a directory of its own or among others.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    path: PathBuf,
}

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    uplinks: BTreeMap<String, Account>,
}

impl Ledger {
    pub(super) fn new(directory: &Path) -> Self {
        Self { path: directory.join("budgets.json") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the file says. Where it says nothing, or cannot be read, that is nothing: [`add`](Self::add)
    /// says why.
    pub(super) fn accounts(&self) -> BTreeMap<String, Account> {
        let text = self.read().unwrap_or_default();
        serde_json::from_slice(&text).map(|content: Content| content.uplinks).unwrap_or_default()
    }

    /// Adds what was counted until `today`; returns the accounts of these uplinks as they are then.
    ///
    /// # Errors
    /// The file cannot be written; nothing was added.
    pub(super) fn add(
        &self,
        today: Date,
        counted: &[Counted],
    ) -> io::Result<BTreeMap<String, Account>> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let _lock = lock(&self.path)?;
        let mut content = self.content()?;
        let mut accounts = BTreeMap::new();
        for Counted { uplink, reset_day, bytes } in counted {
            let account = content.uplinks.entry(uplink.clone()).or_default();
            bytes.count_in(account, today, *reset_day);
            accounts.insert(uplink.clone(), account.clone());
        }
        while content.uplinks.len() > MAX_UPLINKS {
            let other =
                content.uplinks.keys().find(|uplink| !accounts.contains_key(*uplink)).cloned();
            let Some(other) = other else { break };
            content.uplinks.remove(&other);
        }
        self.replace(&content)?;
        Ok(accounts)
    }

    /// Returns what the file says; what cannot be understood is put aside.
    fn content(&self) -> io::Result<Content> {
        let text = match self.read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            text => text?,
        };
        let error = match serde_json::from_slice(&text) {
            Ok(content) => return Ok(content),
            Err(error) => error,
        };
        let aside = self.path.with_extension("json.unreadable");
        fs::rename(&self.path, &aside)?;
        warn!(
            "what the uplinks have carried cannot be read from {}: {error}; it is counted from zero, and that file is {} \
             now",
            self.path.display(),
            aside.display()
        );
        Ok(Content::default())
    }

    /// Reads the file; of one that is longer than any of ours, the beginning.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        // Whatever lies there must not have us wait, as a pipe would.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = options.read(true).custom_flags(flags).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(text)
    }

    fn replace(&self, content: &Content) -> io::Result<()> {
        // One name for all, as the lock is held: what a crash leaves is overwritten.
        let beside = self.path.with_extension("json.new");
        let mut options = OpenOptions::new();
        let mut next = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let written = (|| {
            let mut text = serde_json::to_vec_pretty(content)?;
            text.push(b'\n');
            next.write_all(&text)?;
            next.sync_data()?;
            fs::rename(&beside, &self.path)
        })();
        if written.is_err() {
            // On a disk that is full it takes what others could use.
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

/// Waits until no other process changes the file; the lock goes with what is returned.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))?;
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                thread::sleep(LOCK_RETRY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let held = format!("another process has held its lock for {LOCK_TIMEOUT:?}");
                return Err(io::Error::new(io::ErrorKind::WouldBlock, held));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns where a daemon keeps its state: where the configuration says, else in the directory that systemd gives a
/// service (`StateDirectory=`), else in that of the system, or of the user.
pub(crate) fn directory(configured: Option<&Path>) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    // A list, separated by colons, where the unit names several.
    let of_service = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    match (configured, of_service.split(':').next().filter(|first| !first.is_empty())) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path.into(),
        (None, None) if rustix::process::geteuid().is_root() => "/var/lib/throughline".into(),
        (None, None) => {
            let home = || PathBuf::from(variable("HOME").unwrap_or_else(|| "/".into()));
            let state = variable("XDG_STATE_HOME").map(PathBuf::from);
            state.unwrap_or_else(|| home().join(".local/state")).join("throughline")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::period;

    fn today() -> Date {
        period::parse("2026-11-30").unwrap()
    }

    fn counted(uplink: &str, amount: u64) -> Vec<Counted> {
        let mut bytes = Unwritten::default();
        bytes.add(today(), amount);
        vec![Counted { uplink: uplink.to_owned(), reset_day: 1, bytes }]
    }

    fn add(ledger: &Ledger, uplink: &str, bytes: u64) -> u64 {
        ledger.add(today(), &counted(uplink, bytes)).unwrap()[uplink].used()
    }

    #[test]
    fn what_processes_add_is_added_up_and_each_uplink_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&directory.path().join("new"));
        assert_eq!(
            (add(&ledger, "lte", 5), add(&ledger, "dsl", 1), add(&ledger, "lte", 7)),
            (5, 1, 12)
        );
        let other = ledger.clone();
        let adds =
            |ledger: Ledger| move || (0..50).map(|_| add(&ledger, "lte", 1)).collect::<Vec<_>>();
        let threads = [thread::spawn(adds(ledger.clone())), thread::spawn(adds(other))];
        let seen = threads.map(|thread| thread.join().unwrap()).concat();
        assert_eq!((add(&ledger, "lte", 0), seen.iter().max()), (112, Some(&112)));
    }

    #[test]
    fn an_unreadable_file_is_put_aside_and_counting_begins_at_zero() {
        let foreign = "{\"uplinks\":{\"lte\":{\"name\":\"isp\"}}}";
        let of_a_later_version = "{\"uplinks\":{},\"version\":2}";
        let long = format!("{{\"uplinks\":{{}}{}}}", " ".repeat(2 << 20));
        let negative = "{\"uplinks\":{\"lte\":{\"used\":-1}}}";
        for wrong in
            ["", "{", "[]", negative, "\0\0\0\0", foreign, of_a_later_version, long.as_str()]
        {
            let directory = tempfile::tempdir().unwrap();
            let ledger = Ledger::new(directory.path());
            fs::write(ledger.path(), wrong).unwrap();
            assert_eq!(ledger.accounts(), BTreeMap::new());
            assert_eq!(add(&ledger, "lte", 5), 5, "{:?}", &wrong[..wrong.len().min(40)]);
            let aside = fs::read_to_string(directory.path().join("budgets.json.unreadable"));
            assert_eq!(aside.unwrap(), wrong);
            assert_eq!(add(&ledger, "lte", 5), 10);
        }
    }

    #[test]
    fn where_it_cannot_be_written_it_is_said_why_and_nothing_is_added() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = |path: &Path| Ledger::new(path).add(today(), &counted("lte", 5)).unwrap_err();
        assert_eq!(error(&file).kind(), io::ErrorKind::AlreadyExists);
        // Nobody makes a file there, not even root.
        assert!(error(Path::new("/proc/sys/kernel")).raw_os_error().is_some());
        let ledger = Ledger::new(directory.path());
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, ledger.path(), mode).unwrap();
        assert_eq!(error(directory.path()).to_string(), "it is no file");
        assert_eq!(ledger.accounts(), BTreeMap::new());
        fs::remove_file(ledger.path()).unwrap();
        add(&ledger, "lte", 5);
        assert_eq!((add(&ledger, "lte", 2), ledger.accounts()["lte"].used()), (7, 7));
    }

    /// The test calls itself, on a disk of its own.
    #[test]
    fn a_full_disk_leaves_the_file_as_it_was_and_nothing_beside_it() {
        const DISK: &str = "THROUGHLINE_TEST_FULL_DISK";
        if let Some(directory) = std::env::var_os(DISK).map(PathBuf::from) {
            let ledger = Ledger::new(&directory);
            assert_eq!(add(&ledger, "lte", 5), 5);
            let fill = fs::write(directory.join("filler"), vec![0; 1 << 20]);
            assert_eq!(fill.unwrap_err().kind(), io::ErrorKind::StorageFull);
            let error = ledger.add(today(), &counted("lte", 5)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(!directory.join("budgets.json.new").exists());
            assert_eq!(ledger.accounts()["lte"].used(), 5);
            fs::remove_file(directory.join("filler")).unwrap();
            assert_eq!(add(&ledger, "lte", 5), 10);
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let name = thread::current().name().unwrap().to_owned();
        let script = "mount -t tmpfs -o size=64k none \"$0\" && exec \"$@\"";
        let own = std::env::current_exe().unwrap();
        let tried = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(directory.path())
            .arg(own)
            .args(["--exact", &name, "--nocapture"])
            .env(DISK, directory.path())
            .output();
        let output = tried.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !said.contains("running 1 test") {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(std::env::var_os("THROUGHLINE_NO_SKIP").is_none(), "{reason}");
            eprintln!("SKIPPED: a full disk: no namespace of mounts can be made: {reason}");
            return;
        }
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn former_uplinks_are_forgotten_at_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(directory.path());
        for n in 0..2 * MAX_UPLINKS {
            add(&ledger, &n.to_string(), 1);
        }
        assert_eq!(ledger.accounts().len(), MAX_UPLINKS);
    }
}
