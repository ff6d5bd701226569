//! The routes of intercepted datagrams: what is marked is this host's own, whatever its address.
//!
//! nftables gives a program's packet a mark; a rule of the kernel's routing policy leads that to a table of our own, and
//! the one route there to this host, where the packet comes in again as one from outside would. There is a rule and a
//! table of this daemon alone, and what a crash has left is found by the table's number. The program ip(8), for the same
//! reasons as nft(8).

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::nft::{self, InterceptError};

/// The marks of intercepted datagrams, one for each ingress, in the bits that are not of the mask. As for
/// [our own mark](crate::proxy::own_sockets::OWN_MARK), no common mask has these bits.
pub(super) const MARKS: u32 = 0x60;
pub(super) const MARK_MASK: u32 = 0xffff_ffe0;

/// How many ingresses there may be.
pub const MAX_MARKS: usize = !MARK_MASK as usize + 1;

/// Before the rules that `manage-routes` sets, and after that of this host's own addresses.
const PRIORITY: u32 = 7300;

/// Where tables of ours begin: a number that nobody would write.
const TABLES: u32 = 0x5400_0000;

/// The rule and the route of one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyRoute {
    table: u32,
}

/// Returns the mark of the ingress of this number.
pub(super) fn mark_of(index: usize) -> u32 {
    // The configuration has no more of them.
    MARKS | (u32::try_from(index).unwrap_or(u32::MAX) & !MARK_MASK)
}

impl PolicyRoute {
    /// Returns those of the daemon whose table of nftables has this name.
    pub fn of(table: &str) -> Self {
        let hash = table.rsplit('-').next().and_then(|hash| u32::from_str_radix(hash, 16).ok());
        Self { table: TABLES | (hash.unwrap_or(0) & 0x00ff_ffff) }
    }

    /// Sets what is not there.
    ///
    /// # Errors
    /// It cannot be set.
    pub(super) async fn set(self) -> Result<(), InterceptError> {
        for family in families() {
            // The route before the rule that leads to it.
            let route = format!("route replace local default dev lo table {}", self.table);
            nft::ip(&format!("{family} {route}")).await?;
            if !self.is_there(family).await? {
                nft::ip(&format!("{family} rule add {}", self.rule())).await?;
            }
        }
        Ok(())
    }

    /// Removes them, if they are there.
    ///
    /// # Errors
    /// They cannot be removed.
    pub(super) async fn remove(self) -> Result<(), InterceptError> {
        for family in families() {
            if self.is_there(family).await? {
                nft::ip(&format!("{family} rule del {}", self.rule())).await?;
            }
            // Without a route there is no such table, which is an error to some versions.
            let _ = nft::ip(&format!("{family} route flush table {}", self.table)).await;
        }
        Ok(())
    }

    /// Removes them, and blocks this thread meanwhile.
    ///
    /// # Errors
    /// They cannot be removed.
    pub(super) fn remove_blocking(self) -> Result<(), InterceptError> {
        for family in families() {
            nft::ip_blocking(&format!("{family} rule del {}", self.rule()))?;
            nft::ip_blocking(&format!("{family} route flush table {}", self.table))?;
        }
        Ok(())
    }

    /// Returns whether the rule is there, for one family.
    async fn is_there(self, family: &str) -> Result<bool, InterceptError> {
        let rules = nft::ip(&format!("{family} rule show priority {PRIORITY}")).await?;
        let ours = self.table.to_string();
        Ok(rules.lines().any(|rule| rule.split_whitespace().any(|word| word == ours)))
    }

    fn rule(self) -> String {
        format!("priority {PRIORITY} fwmark {MARKS:#x}/{MARK_MASK:#x} lookup {}", self.table)
    }
}

/// Returns the families of addresses that this host has, as ip(8) calls them.
fn families() -> impl Iterator<Item = &'static str> {
    ["-4"].into_iter().chain(has_ipv6().then_some("-6"))
}

/// Returns whether this host has IPv6: the kernel has such sockets, unless it was told at its start to have none.
/// /proc/sys would say so as well, but not every service may read it.
pub fn has_ipv6() -> bool {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None);
    let has_none = Errno::AFNOSUPPORT.raw_os_error();
    socket.err().and_then(|error| error.raw_os_error()) != Some(has_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ingress_has_a_mark_and_each_daemon_a_table() {
        assert_eq!((mark_of(0), mark_of(MAX_MARKS - 1)), (0x60, 0x7f));
        assert!((0..MAX_MARKS).all(|index| mark_of(index) & MARK_MASK == MARKS));
        assert_eq!(PolicyRoute::of("throughline-0a1b2c3d").table, 0x541b_2c3d);
        assert_eq!(PolicyRoute::of("throughline").table, TABLES);
    }
}
