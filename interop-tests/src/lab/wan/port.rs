//! A TUN device in a namespace, held by us wherever we are.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::lab::namespace;
use crate::support::Outcome;

/// Packets that the device holds for us. When both cores are taken for a moment we must not lose
/// what a link would have kept: this is 60 ms of full packets at 1 Gbit/s.
const BACKLOG: &str = "5000";

/// One end of a wire: a device to be made in a namespace.
pub struct End<'a> {
    /// The namespace, as an open file.
    pub namespace: &'a File,
    /// What the device is called there.
    pub device: &'a str,
}

/// One device.
pub(super) struct Port {
    device: SyncDevice,
}

impl Port {
    pub(super) fn make(end: &End<'_>) -> Outcome<Self> {
        let name = end.device.to_owned();
        let device = namespace::within(end.namespace, move || {
            let device = DeviceBuilder::new().name(&name).mtu(1500).enable(false).build_sync();
            let device =
                device.map_err(|error| format!("cannot make the TUN device {name}: {error}"))?;
            // Not by the builder: that ioctl is for the machine's root only.
            let mut ip = Command::new("ip");
            ip.args(["link", "set", "dev", &name, "txqueuelen", BACKLOG]);
            match ip.status() {
                Ok(status) if status.success() => Ok(device),
                other => Err(format!("cannot lengthen the queue of {name}: {other:?}")),
            }
        })??;
        device.set_nonblocking(true)?;
        Ok(Self { device })
    }

    /// Returns the next packet that the kernel sends; `None` if there is none now.
    pub(super) fn take(&self, buffer: &mut [u8]) -> Option<usize> {
        // A device that is down has nothing to say either.
        self.device.recv(buffer).ok()
    }

    /// Gives the kernel a packet.
    pub(super) fn give(&self, packet: &[u8]) -> io::Result<()> {
        self.device.send(packet).map(drop)
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
