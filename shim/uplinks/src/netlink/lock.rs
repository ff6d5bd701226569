//! The lock that is held while routes are managed: one manager in a network namespace.
//!
//! A second manager in one namespace would take the first one's rules for those of a crash. The lock
//! is a file, not an abstract socket: any local user can bind such a name, and would keep routes from
//! being managed, and a crash's from being removed. The file lies in a directory that no other user
//! writes to, and is locked with `flock(2)`, so that the lock goes with the process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where root's lock lies; nobody else can write there.
const SYSTEM_DIRECTORY: &str = "/run";

/// The lock; released when it is dropped.
#[derive(Debug)]
pub(super) struct RoutesLock(
    #[expect(dead_code, reason = "closing the file releases the lock")] File,
);

/// Why the lock cannot be had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process holds it.
    Taken,
    /// No directory is fit for it.
    Io(io::Error),
}

impl RoutesLock {
    /// Takes the lock of this process's network namespace.
    pub(super) fn acquire() -> Result<Self, LockError> {
        let namespace = namespace().map_err(LockError::Io)?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for directory in directories() {
            match Self::acquire_in(&directory, namespace) {
                Err(LockError::Io(error)) => last = error,
                done => return done,
            }
        }
        Err(LockError::Io(last))
    }

    /// Takes the lock for a process that removes what a crash left. Where the lock file is another
    /// user's, which this one cannot look into, the lock counts as taken: the rules may be in use.
    pub(super) fn acquire_for_removal() -> Result<Self, LockError> {
        let namespace = namespace().map_err(LockError::Io)?;
        let user = user().map_err(LockError::Io)?;
        match is_anothers(&lock_file(Path::new(SYSTEM_DIRECTORY), namespace), user) {
            true => Err(LockError::Taken),
            false => Self::acquire(),
        }
    }

    fn acquire_in(directory: &Path, namespace: u64) -> Result<Self, LockError> {
        prepare(directory).map_err(LockError::Io)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(lock_file(directory, namespace)).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}

/// Returns where the lock may lie, best first: what root alone writes to, then what this user does.
fn directories() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let fallback = std::env::temp_dir().join(format!("throughline-{}", user().unwrap_or(0)));
    [Some(SYSTEM_DIRECTORY.into()), own, Some(fallback)].into_iter().flatten().collect()
}

/// Returns the number of this process's network namespace.
fn namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/net")?.ino())
}

/// Returns the user that this process runs as.
fn user() -> io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

fn lock_file(directory: &Path, namespace: u64) -> PathBuf {
    directory.join(format!("throughline-routes-{namespace}.lock"))
}

/// Returns whether there is such a file, and another user than `user` made it.
fn is_anothers(file: &Path, user: u32) -> bool {
    fs::symlink_metadata(file).is_ok_and(|found| found.uid() != user)
}

/// Makes the directory if it is missing, and refuses one that another user could write to.
fn prepare(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(directory)?;
    let safe = found.is_dir() && [0, user()?].contains(&found.uid()) && found.mode() & 0o022 == 0;
    safe.then_some(()).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn one_holder_at_a_time_in_a_namespace_and_another_in_another() {
        let directory = directory("routes-lock");
        let held = RoutesLock::acquire_in(&directory, 1).unwrap();
        assert!(matches!(RoutesLock::acquire_in(&directory, 1), Err(LockError::Taken)));
        assert!(RoutesLock::acquire_in(&directory, 2).is_ok());
        drop(held);
        assert!(RoutesLock::acquire_in(&directory, 1).is_ok());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_lock_of_another_user_may_be_held_and_a_missing_or_own_one_is_not_anothers() {
        let directory = directory("routes-lock-foreign");
        let file = lock_file(&directory, 1);
        let user = user().unwrap();
        assert!(!is_anothers(&file, user + 1), "there is none");
        drop(RoutesLock::acquire_in(&directory, 1).unwrap());
        assert!(is_anothers(&file, user + 1) && !is_anothers(&file, user));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_others_write_to_is_refused() {
        let directory = directory("routes-lock-shared");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(RoutesLock::acquire_in(&directory, 1), Err(LockError::Io(_))));
        fs::remove_dir_all(directory).unwrap();
    }
}
