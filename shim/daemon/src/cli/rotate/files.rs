//! The files of an identity while it changes.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

/// Where systemd puts the credentials of services (systemd.exec(5)).
const CREDENTIALS: &str = "/run/credentials";

/// The files of an identity.
pub(super) struct Files {
    pub(super) present: PathBuf,
    pub(super) next: PathBuf,
    pub(super) former: PathBuf,
}

impl Files {
    /// Returns those of the identity at `present`.
    pub(super) fn of(present: PathBuf) -> Self {
        let beside = |suffix: &str| {
            let mut name = present.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { next: beside(".next"), former: beside(".former"), present }
    }

    /// Returns whether the present key is a credential of a service: a copy that systemd makes at each start.
    pub(super) fn is_credential(&self) -> bool {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
        let is_below = |directory: &Path| self.present.starts_with(directory);
        is_below(Path::new(CREDENTIALS)) || directory.is_some_and(|path| is_below(Path::new(&path)))
    }

    /// Gives the next key the owner, the group and the mode of the present one, so that whoever reads the one
    /// can read the other.
    pub(super) fn share_next(&self) -> io::Result<()> {
        let present = fs::metadata(&self.present)?;
        // The mode last: nobody but the owner reads it before it has its group.
        chown(&self.next, Some(present.uid()), Some(present.gid()))?;
        fs::set_permissions(&self.next, present.permissions())
    }

    /// Lets the next key take the place of the present one, which is kept beside it. At no moment is there
    /// no present one.
    pub(super) fn switch(&self) -> io::Result<()> {
        let _ = fs::remove_file(&self.former);
        fs::hard_link(&self.present, &self.former)?;
        fs::rename(&self.next, &self.present)
    }

    /// Undoes [`switch`](Self::switch).
    pub(super) fn switch_back(&self) -> io::Result<()> {
        fs::hard_link(&self.present, &self.next)?;
        fs::rename(&self.former, &self.present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_keeps_both_keys_and_can_be_undone() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::of(directory.path().join("k"));
        let read = |path: &Path| fs::read_to_string(path).ok();
        fs::write(&files.present, "old").unwrap();
        fs::write(&files.next, "new").unwrap();
        files.switch().unwrap();
        assert_eq!(read(&files.present).as_deref(), Some("new"));
        assert_eq!((read(&files.former).as_deref(), read(&files.next)), (Some("old"), None));
        files.switch_back().unwrap();
        assert_eq!(read(&files.present).as_deref(), Some("old"));
        assert_eq!((read(&files.former), read(&files.next).as_deref()), (None, Some("new")));
    }

    #[test]
    fn a_credential_is_known_by_its_directory() {
        let is_credential = |path: &str| Files::of(path.into()).is_credential();
        assert!(is_credential("/run/credentials/throughline.service/identity.key"));
        assert!(!is_credential("/etc/throughline/identity.key"));
        assert!(!is_credential("/run/credentials.key"));
    }
}
