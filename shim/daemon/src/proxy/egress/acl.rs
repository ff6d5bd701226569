//! Access control: what a peer may reach through this host. The default is nothing.
//!
//! The ACL is checked against the address *actually dialed*, after resolution, so that neither a
//! name nor an unusual spelling of an address bypasses it:
//!
//! - An IPv6 address that embeds an IPv4 address (mapped, NAT64, 6to4, Teredo) is checked as that
//!   IPv4 address.
//! - Multicast, broadcast, unspecified and link-local addresses are never allowed.
//! - Loopback and this host's own addresses need an entry that names them: a prefix within
//!   `127.0.0.0/8`, `localhost` (127.0.0.1 and ::1), or exactly the address. `*` and `10.0.0.0/8`
//!   never lead to this host.
//! - A name entry allows what that name resolves to, for a peer that asks by that name. It is never
//!   resolved to check an address.

mod address;
mod entry;

use std::net::IpAddr;

use throughline::Host;

pub use self::address::canonical_address;
pub use self::entry::{AclEntry, ParseAclEntryError};

/// The destinations that a peer may reach through this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<AclEntry>,
}

impl Acl {
    /// Creates an ACL of these entries; without any, it allows nothing.
    pub fn new(entries: Vec<AclEntry>) -> Self {
        Self { entries }
    }

    /// Returns the entries.
    pub fn entries(&self) -> &[AclEntry] {
        &self.entries
    }

    /// Returns whether any entry could allow what `requested` resolves to, so that no name is resolved
    /// in vain.
    pub fn could_allow(&self, requested: &Host, port: u16) -> bool {
        let mut of_port = self.entries.iter().filter(|entry| entry.ports().contains(port));
        of_port.any(|entry| entry.could_cover(requested))
    }

    /// Returns whether `ip`, an address that `requested` resolved to, may be dialed at `port`.
    ///
    /// `own_addresses` are the addresses of this host.
    pub fn allows(
        &self,
        requested: &Host,
        ip: IpAddr,
        port: u16,
        own_addresses: &[IpAddr],
    ) -> bool {
        let ip = canonical_address(ip);
        if address::never_allowed(ip) {
            return false;
        }
        let this_host =
            ip.is_loopback() || own_addresses.iter().any(|own| canonical_address(*own) == ip);
        self.entries.iter().filter(|entry| entry.ports().contains(port)).any(|entry| {
            if this_host { entry.names_this_host(ip) } else { entry.covers(requested, ip) }
        })
    }
}

#[cfg(test)]
mod tests;
