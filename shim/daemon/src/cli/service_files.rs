//! The files of the service: what root writes where dist/throughline.service reads, the service's user can read.

use std::io;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use nix::unistd::Group;

use super::file::{OF_SERVICE, in_directory};

/// The group of the service's user, which dist/throughline.sysusers makes.
const GROUP: &str = "throughline";

/// Where the unit is, by the package and by hand.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/throughline.service",
    "/usr/lib/systemd/system/throughline.service",
    "/lib/systemd/system/throughline.service",
];

/// Its members may read, as of a key that an administrator gives them by hand.
const MODE: u32 = 0o640;

/// Lets the service's user read a file that this user has just written for itself alone, if that is root and the file
/// is where the service reads. Where there is no such group the service is not installed, and nothing is done.
///
/// # Errors
/// The system's.
pub(super) fn share(file: &Path) -> io::Result<()> {
    let is_of_service = file.parent() == Some(Path::new(OF_SERVICE));
    if !rustix::process::geteuid().is_root() || !is_of_service {
        return Ok(());
    }
    match Group::from_name(GROUP)? {
        Some(group) => give(file, group.gid.as_raw()),
        None => Ok(()),
    }
}

/// Returns whether the service is installed, and this is its configuration.
pub(super) fn are_read_by_an_installed_unit(file: &Path) -> bool {
    let is_installed = UNITS.iter().any(|unit| Path::new(unit).exists());
    is_installed && file == in_directory(Path::new(OF_SERVICE))
}

fn give(file: &Path, group: u32) -> io::Result<()> {
    let file = std::fs::File::open(file)?;
    // The mode last: no other group reads it before.
    fchown(&file, None, Some(group))?;
    file.set_permissions(std::fs::Permissions::from_mode(MODE))
}
