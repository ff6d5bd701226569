//! The directory of the files: one in which nobody else can put or replace any.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use thiserror::Error;

/// Files of one name whose number is tried: more begin in one second of one lane only if somebody makes them.
const MAX_OF_A_NAME: u32 = 100;

/// Why files are not written into a directory.
#[derive(Debug, Error)]
pub(crate) enum DirectoryError {
    /// Others can write there.
    #[error(
        "others than you can write to {}, and could put their own files in the place of these; name a directory of your \
         own, which is made where there is none", .0.display()
    )]
    Exposed(PathBuf),
    /// It is somebody else's.
    #[error("{} belongs to user {owner}; name a directory of your own, which is made where there is none", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It cannot be made or opened.
    #[error("cannot write into {}: {source}; name another directory", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A directory of ours. What its path leads to later does not matter.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    opened: File,
}

impl Directory {
    /// Opens a directory, which is made with mode 0700 where there is none.
    ///
    /// # Errors
    /// Others can write there, it is neither ours nor root's, or the system refuses.
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let failed = |source| DirectoryError::Io { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let opened = File::from(opened.map_err(|error| failed(error.into()))?);
        let metadata = opened.metadata().map_err(failed)?;
        let owner = metadata.uid();
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            return Err(DirectoryError::NotOurs { path: path.to_owned(), owner });
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(DirectoryError::Exposed(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), opened })
    }

    /// Creates a file of this name, or with a number after it where there is one already, for this user alone; returns
    /// its path.
    pub(super) fn create(&self, name: &str, ending: &str) -> io::Result<(File, PathBuf)> {
        for number in 1..=MAX_OF_A_NAME {
            let name = match number {
                1 => format!("{name}.{ending}"),
                number => format!("{name}-{number}.{ending}"),
            };
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&self.opened, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok((file.into(), self.path.join(name))),
                Err(error) if error == rustix::io::Errno::EXIST => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_to_is_refused_and_one_that_is_not_there_is_made() {
        let home = tempfile::tempdir().unwrap();
        let made = home.path().join("qlog");
        Directory::open(&made).unwrap();
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        for (mode, is_ours) in [(0o770, false), (0o702, false), (0o1777, false), (0o755, true)] {
            std::fs::set_permissions(&made, PermissionsExt::from_mode(mode)).unwrap();
            match Directory::open(&made) {
                Ok(_) => assert!(is_ours, "{mode:o}"),
                Err(error) => {
                    assert!(!is_ours && matches!(error, DirectoryError::Exposed(_)), "{error}");
                }
            }
        }
        let missing = Directory::open(&home.path().join("a/b")).unwrap_err();
        assert!(matches!(missing, DirectoryError::Io { .. }), "{missing}");
    }

    #[test]
    fn a_file_is_new_and_private_and_follows_no_link() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path()).unwrap();
        std::fs::write(home.path().join("l0.sqlog"), "precious").unwrap();
        std::os::unix::fs::symlink("elsewhere", home.path().join("l0-2.sqlog")).unwrap();
        let (_, path) = directory.create("l0", "sqlog").unwrap();
        assert_eq!(path, home.path().join("l0-3.sqlog"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(home.path().join("l0.sqlog")).unwrap(), "precious");
        assert!(!home.path().join("elsewhere").exists());
    }
}
