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
        let namespace = fs::metadata("/proc/self/ns/net").map_err(LockError::Io)?.ino();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for directory in directories() {
            match Self::acquire_in(&directory, namespace) {
                Err(LockError::Io(error)) => last = error,
                done => return done,
            }
        }
        Err(LockError::Io(last))
    }

    fn acquire_in(directory: &Path, namespace: u64) -> Result<Self, LockError> {
        prepare(directory).map_err(LockError::Io)?;
        let path = directory.join(format!("throughline-routes-{namespace}.lock"));
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(path).map_err(LockError::Io)?;
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
    let uid = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let fallback = std::env::temp_dir().join(format!("throughline-{uid}"));
    [Some("/run".into()), own, Some(fallback)].into_iter().flatten().collect()
}

/// Makes the directory if it is missing, and refuses one that another user could write to.
fn prepare(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(directory)?;
    let user = fs::metadata("/proc/self")?.uid();
    let safe = found.is_dir() && [0, user].contains(&found.uid()) && found.mode() & 0o022 == 0;
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
    fn a_directory_that_others_write_to_is_refused() {
        let directory = directory("routes-lock-shared");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(RoutesLock::acquire_in(&directory, 1), Err(LockError::Io(_))));
        fs::remove_dir_all(directory).unwrap();
    }
}
