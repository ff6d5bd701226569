//! The file of what uplinks have carried: what is written there outlives restarts, crashes and hand-overs.
//!
//! Each process adds what it has counted to what the file says, under a lock, and so two that run for a moment beside
//! each other, as at a hand-over, lose nothing. A file is replaced by a rename: whenever the machine stops, it is the
//! one of before or the one of after. One that cannot be read is put aside, and counting begins at zero: money is
//! less bad than a site that does not start.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use time::Date;
use tracing::warn;

use super::account::Account;

/// Uplinks in a file: those that were renamed stay in it.
const MAX_UPLINKS: usize = 64;

/// What one process has counted of one uplink since it last told.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) uplink: String,
    pub(super) reset_day: u8,
    pub(super) bytes: u64,
}

/// The file, in a directory of its own or among others.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    path: PathBuf,
}

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
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
        let mut content = self.read()?;
        let mut accounts = BTreeMap::new();
        for Counted { uplink, reset_day, bytes } in counted {
            let account = content.uplinks.entry(uplink.clone()).or_default();
            account.count(today, *reset_day, *bytes);
            accounts.insert(uplink.clone(), account.clone());
        }
        while content.uplinks.len() > MAX_UPLINKS {
            let other =
                content.uplinks.keys().find(|uplink| !accounts.contains_key(*uplink)).cloned();
            let Some(other) = other else { break };
            content.uplinks.remove(&other);
        }
        let mut next = NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut next, &content)?;
        next.write_all(b"\n")?;
        next.as_file().sync_data()?;
        next.persist(&self.path)?;
        Ok(accounts)
    }

    fn read(&self) -> io::Result<Content> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
            let aside = self.path.with_extension("json.unreadable");
            // What it says is lost all the same, if it cannot be put aside.
            let _ = fs::rename(&self.path, &aside);
            warn!(
                "what the uplinks have carried cannot be read from {}: {error}; it is counted from zero, and that file \
                 is {} now",
                self.path.display(),
                aside.display()
            );
            Content::default()
        }))
    }
}

/// Waits until no other process changes the file, which takes a moment at the most; the lock goes with what is
/// returned.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
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

    fn counted(uplink: &str, bytes: u64) -> Vec<Counted> {
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
        let threads = [std::thread::spawn(adds(ledger.clone())), std::thread::spawn(adds(other))];
        let seen = threads.map(|thread| thread.join().unwrap()).concat();
        assert_eq!((add(&ledger, "lte", 0), seen.iter().max()), (112, Some(&112)));
    }

    #[test]
    fn an_unreadable_file_is_put_aside_and_counting_begins_at_zero() {
        for wrong in ["", "{", "[]", "{\"uplinks\":{\"lte\":{\"used\":-1}}}", "\0\0\0\0"] {
            let directory = tempfile::tempdir().unwrap();
            let ledger = Ledger::new(directory.path());
            fs::write(ledger.path(), wrong).unwrap();
            assert_eq!(add(&ledger, "lte", 5), 5, "{wrong:?}");
            let aside = fs::read_to_string(directory.path().join("budgets.json.unreadable"));
            assert_eq!(aside.unwrap(), wrong);
            assert_eq!(add(&ledger, "lte", 5), 10);
        }
    }

    #[test]
    fn where_it_cannot_be_written_nothing_is_added_and_former_uplinks_are_forgotten_at_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Ledger::new(&file).add(today(), &counted("lte", 5)).is_err());
        let ledger = Ledger::new(directory.path());
        for n in 0..2 * MAX_UPLINKS {
            add(&ledger, &n.to_string(), 1);
        }
        assert_eq!(ledger.read().unwrap().uplinks.len(), MAX_UPLINKS);
    }
}
