#!/usr/bin/env bash
# Boots systemd as the first process of a PID namespace, in a copy of this system that is thrown away: an overlay in
# memory, with /run, /tmp and control groups of its own. Nothing of the machine's own systemd, files or settings is
# touched. The network is the machine's.
#
# $1: an empty directory. $2: the units to add to it. $3: the name of its control group. Runs under `unshare`, see
# machine.rs.
set -eu
mount --make-rprivate /
if [ "${inside:-}" != yes ]; then
    # A namespace of control groups begins at the group in which it is made: that of this systemd alone.
    mount -t cgroup2 cgroup2 "$1"
    mkdir -p "$1/$3"
    echo 0 >"$1/$3/cgroup.procs"
    umount "$1"
    inside=yes exec unshare --cgroup bash "$0" "$@"
fi
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
units=$2
cd "$1/root"
mount -t proc -o nosuid,nodev,noexec proc proc
# systemd and its tools would set what is the whole machine's.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --rbind /dev dev
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mkdir -p run/systemd/system old
cp "$units"/* run/systemd/system/
# What looks after hardware, and after settings that are the machine's.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket \
    systemd-udevd-kernel.socket systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service \
    systemd-random-seed.service systemd-timesyncd.service systemd-networkd.service systemd-resolved.service \
    systemd-logind.service systemd-remount-fs.service console-getty.service getty.target; do
    ln -sf /dev/null "run/systemd/system/$unit"
done
pivot_root . old
umount -l old
export container=throughline-test
exec /lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=journal
