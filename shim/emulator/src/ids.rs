//! Places of ISPs and links in the emulator's lists.

use std::net::IpAddr;

/// An ISP's place among all ISPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IspId(pub(super) usize);

/// A link's place among all links: two for each ISP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId(pub(super) usize);

/// A client address: the ISP it belongs to, and the address its ISP shows of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) isp: IspId,
    pub(super) seen_as: IpAddr,
}

impl IspId {
    /// Returns the link from the site into the internet.
    pub(super) fn up(self) -> LinkId {
        LinkId(self.0 * 2)
    }

    /// Returns the link from the internet to the site.
    pub(super) fn down(self) -> LinkId {
        LinkId(self.0 * 2 + 1)
    }
}
