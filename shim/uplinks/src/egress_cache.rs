//! Remembers the egress checks of one snapshot, and logs each fault once.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use tracing::warn;

use crate::egress_check::{self, EgressCheck, RouteLookup};
use crate::snapshot::Snapshot;

/// How many pairs of addresses are remembered. A node has tens; beyond this all are forgotten and
/// asked again.
const MAX_CACHED_CHECKS: usize = 4096;

/// The egress checks of the present snapshot.
#[derive(Default)]
pub(crate) struct EgressCache {
    /// `None` where the system does not answer such questions.
    lookup: Option<Box<dyn RouteLookup>>,
    /// The generation of the snapshot that `known` is about.
    generation: u64,
    known: HashMap<(IpAddr, SocketAddr), EgressCheck>,
    /// The pairs whose fault has been logged.
    faulty: HashSet<(IpAddr, IpAddr)>,
}

impl EgressCache {
    pub(crate) fn new(lookup: Option<Box<dyn RouteLookup>>) -> Self {
        Self { lookup, ..Self::default() }
    }

    /// Returns the MTU of the route from `local` to `remote`, where the kernel knows one.
    pub(crate) fn route_mtu(&mut self, local: IpAddr, remote: SocketAddr) -> Option<u32> {
        self.lookup.as_mut()?.route(local, remote, None).ok()??.mtu
    }

    /// Returns how packets from `local` leave for `remote`, and logs a fault that is new.
    pub(crate) fn check(
        &mut self,
        snapshot: &Snapshot,
        local: IpAddr,
        remote: SocketAddr,
    ) -> EgressCheck {
        if self.generation != snapshot.generation || self.known.len() >= MAX_CACHED_CHECKS {
            self.generation = snapshot.generation;
            self.known.clear();
            if self.faulty.len() >= MAX_CACHED_CHECKS {
                self.faulty.clear();
            }
        }
        if let Some(check) = self.known.get(&(local, remote)) {
            return check.clone();
        }
        let Some(lookup) = self.lookup.as_mut() else { return EgressCheck::UNKNOWN };
        let owner = snapshot.uplinks.iter().find_map(|uplink| {
            let address = uplink.addresses.iter().find(|a| a.net.addr() == local)?;
            Some((uplink, address))
        });
        let Some((uplink, address)) = owner else { return EgressCheck::UNKNOWN };
        let check = egress_check::judge(snapshot, uplink, address, remote, lookup.as_mut());
        self.known.insert((local, remote), check.clone());
        let status = check.clone().status(local, remote);
        if status.hint().is_none() {
            self.faulty.remove(&(local, remote.ip()));
        } else if self.faulty.insert((local, remote.ip())) {
            warn!(uplink = uplink.name, "{status}");
        }
        check
    }
}
