//! The addresses of this host, which an ACL has to name.
//!
//! The kernel is asked anew about each address that is dialed. The list of what the interfaces have adds
//! what a lookup of a route does not show (an interface of another routing domain, a VRF); it takes as long
//! as the host has interfaces, thousands on a host of containers, and so it serves all dials of a moment.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::acl::{Acl, canonical_address};
use throughline::Host;

/// How old a list may be: no longer than an administrator who adds an address takes to use it.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The addresses of this host's interfaces at one time.
#[derive(Clone)]
pub struct OwnAddresses(Arc<[IpAddr]>);

impl OwnAddresses {
    /// Returns this host's present addresses.
    ///
    /// # Errors
    /// The system's.
    pub fn now() -> io::Result<Self> {
        Ok(Self(if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip()).collect()))
    }

    /// Returns whether an ACL allows an address of a destination, be it one of this host's own.
    pub(super) fn allows(&self, acl: &Acl, host: &Host, ip: IpAddr, port: u16) -> bool {
        // The kernel delivers more to this host than the addresses of its interfaces: a local
        // route may lead a whole prefix here. Where it does not say, nothing is dialed.
        let Ok(leads_here) = throughline_uplinks::leads_to_this_host(canonical_address(ip)) else {
            return false;
        };
        let own = self.0.iter().copied().chain(leads_here.then_some(ip));
        acl.allows(host, ip, port, &own.collect::<Vec<_>>())
    }
}

/// The list that dials use.
#[derive(Default)]
pub(super) struct RecentOwnAddresses(Mutex<Option<(Instant, OwnAddresses)>>);

impl RecentOwnAddresses {
    /// Returns a list that is no older than [`MAX_AGE`].
    ///
    /// # Errors
    /// The system's.
    pub(super) fn get(&self, now: Instant) -> io::Result<OwnAddresses> {
        let mut recent = self.0.lock();
        if let Some((read, own)) = &*recent
            && now.saturating_duration_since(*read) < MAX_AGE
        {
            return Ok(own.clone());
        }
        let own = OwnAddresses::now()?;
        *recent = Some((now, own.clone()));
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use throughline::PeerId;

    use super::super::Egress;
    use super::*;
    use crate::proxy::connections::Connections;

    #[test]
    fn dials_of_a_moment_share_a_list_and_a_later_one_reads_it_again() {
        let recent = RecentOwnAddresses::default();
        let now = Instant::now();
        let at = |ms| recent.get(now + Duration::from_millis(ms)).unwrap();
        let first = at(0);
        assert!(first.0.contains(&"127.0.0.1".parse().unwrap()));
        assert!(Arc::ptr_eq(&first.0, &at(999).0));
        assert!(!Arc::ptr_eq(&first.0, &at(1000).0));
    }

    #[tokio::test]
    async fn an_address_that_became_this_hosts_while_a_name_was_looked_up_needs_an_entry() {
        let (peer, acl) = (PeerId::from_bytes([7; 32]), Acl::new(vec!["*:80".parse().unwrap()]));
        let egress = Egress::new([(vec![peer], acl)], Connections::default());
        let target = "name.example:80".parse().unwrap();
        let Ok(flow) = egress.admit(peer, &target) else { panic!("the flow is refused") };
        let ip = "198.51.100.7".parse().unwrap();
        assert!(flow.allows(ip));
        let later = Instant::now() + Duration::from_secs(60);
        *egress.own_addresses.0.lock() = Some((later, OwnAddresses([ip].into())));
        assert!(!flow.allows(ip));
    }
}
