//! Finds control groups (cgroups(7), version 2), which come and go with their programs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ruleset::CgroupNow;
use super::traffic::Cgroup;

/// Where nft(8) takes paths of control groups from.
const NFT_ROOT: &str = "/sys/fs/cgroup";

/// Returns a control group as it is now, if it is there.
pub fn find(cgroup: &Cgroup) -> Option<CgroupNow> {
    let mount = mount(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let directory = mount.join(cgroup.path());
    // The number of the directory is that of the group.
    let id = fs::metadata(&directory).ok().filter(fs::Metadata::is_dir)?.ino();
    let path = directory.strip_prefix(NFT_ROOT).ok()?.to_str()?.to_owned();
    Some(CgroupNow { path, level: Path::new(cgroup.path()).iter().count(), id })
}

/// Returns where control groups of version 2 are mounted (proc_pid_mountinfo(5)).
fn mount(mounts: &str) -> Option<PathBuf> {
    let of_line = |line: &str| {
        let (of_mount, of_system) = line.split_once(" - ")?;
        let is_it = of_system.split(' ').next() == Some("cgroup2");
        is_it.then(|| of_mount.split(' ').nth(4).map(PathBuf::from))?
    };
    mounts.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_beside_those_of_version_1() {
        let both = "30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                    41 24 0:31 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(both), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount("30 24 0:26 / /sys rw - sysfs sysfs rw\n"), None);
    }
}
