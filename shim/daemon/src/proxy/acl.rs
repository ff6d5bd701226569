//! What a peer may reach through us. Nothing, unless an entry says so.
//!
//! The address *actually dialled* is judged, after resolution, so that no name and no way of
//! writing an address gets around an entry:
//!
//! - An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, Teredo) is judged as that
//!   IPv4 address.
//! - Multicast, broadcast, unspecified and link-local addresses are never allowed.
//! - Loopback and this host's own addresses are allowed only by an entry that names them: a prefix
//!   within `127.0.0.0/8`, `localhost` (127.0.0.1 and ::1), or exactly the address. `*` and
//!   `10.0.0.0/8` never lead to this host.
//! - A name entry allows what that very name resolves to when the peer asks for it by that name;
//!   it is not looked up to judge an address.

mod address;
mod entry;

use std::net::IpAddr;

use throughline_proto::types::Host;

pub use address::judged_as;
pub use entry::{AclEntry, ParseAclEntryError};

/// What a peer may reach through us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<AclEntry>,
}

impl Acl {
    /// An ACL of these entries; without any, nothing is allowed.
    pub fn new(entries: Vec<AclEntry>) -> Self {
        Self { entries }
    }

    /// The entries.
    pub fn entries(&self) -> &[AclEntry] {
        &self.entries
    }

    /// Whether anything at all could be allowed at this port, so that resolving a name is not
    /// done for a peer who may not go there anyway.
    pub fn could_allow(&self, port: u16) -> bool {
        self.entries.iter().any(|entry| entry.ports().contains(port))
    }

    /// Whether the address `ip`, which is what `asked` turned out to be, may be dialled at `port`.
    /// `own` are the addresses of this host.
    pub fn allows(&self, asked: &Host, ip: IpAddr, port: u16, own: &[IpAddr]) -> bool {
        let ip = judged_as(ip);
        if address::never_allowed(ip) {
            return false;
        }
        let this_host = ip.is_loopback() || own.iter().any(|own| judged_as(*own) == ip);
        self.entries.iter().filter(|entry| entry.ports().contains(port)).any(|entry| {
            if this_host { entry.names_this_host(ip) } else { entry.covers(asked, ip) }
        })
    }
}

#[cfg(test)]
mod tests;
