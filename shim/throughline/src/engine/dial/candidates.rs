//! The paths that can be dialed: from which of our addresses to which of the peer's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::lookup::NameLookup;
use crate::engine::allowances::Allowance;
use crate::engine::context::NodeContext;
use crate::engine::drains::Drains;
use crate::engine::session::SessionHandle;
use throughline_proto::path::{Path, PathKey, Prefix};
use throughline_proto::plan;
use throughline_proto::types::{Host, Locator};
use throughline_uplinks::{Device, Snapshot};

/// The least time between two updates for which nothing but the lanes is a reason: a lane that fails
/// asks for one at each look.
const UPDATE_INTERVAL: Duration = Duration::from_millis(250);

/// While there is no path at all, another update is tried after this: a name may resolve by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The paths to a peer, and what they were made from.
#[derive(Default)]
pub(super) struct Candidates {
    paths: Vec<Path>,
    /// For each path the interface that its socket is to be bound to.
    devices: Vec<Device>,
    lookup: NameLookup,
    /// The addresses that the peer advertises.
    advertised: Vec<SocketAddr>,
    /// The addresses that were configured, names looked up.
    configured: Vec<SocketAddr>,
    /// Any address of the peer is known.
    knows_an_address: bool,
    updated_at: Option<Instant>,
    /// The generation of the uplinks that the paths were made from, and how often what may be used of them had
    /// changed.
    generation: (u64, u64),
}

/// What an update came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Update {
    /// The paths were made anew.
    pub(super) done: bool,
    /// The uplinks have changed.
    pub(super) uplinks_changed: bool,
    /// The uplinks have changed, and there is a path that was not there before.
    pub(super) new_path_on_new_uplinks: bool,
}

impl Candidates {
    /// Returns the paths.
    pub(super) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Returns whether any address of the peer is known.
    pub(super) fn knows_an_address(&self) -> bool {
        self.knows_an_address
    }

    /// Returns whether only the peer named this address, so that anybody's host may be there.
    pub(super) fn is_named(&self, remote: SocketAddr) -> bool {
        !self.configured.contains(&remote)
    }

    /// Returns the prefixes of which only the peer has named an address.
    pub(super) fn named_prefixes(&self) -> Vec<Prefix> {
        let named =
            self.paths.iter().map(|path| path.remote).filter(|remote| self.is_named(*remote));
        let is_configured =
            |prefix: &Prefix| self.configured.iter().any(|c| Prefix::of(*c) == *prefix);
        let mut prefixes: Vec<Prefix> = named.map(Prefix::of).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes.retain(|prefix| !is_configured(prefix));
        prefixes
    }

    /// Returns the uplink that a path leaves by.
    pub(super) fn uplink_of(&self, path: PathKey) -> Option<String> {
        self.paths.iter().find(|p| p.key() == path).map(|p| p.uplink.clone())
    }

    /// Returns whether there is such a path over such an interface.
    pub(super) fn offers(&self, path: PathKey, device: &Device) -> bool {
        let mut paths = self.paths.iter().zip(&self.devices);
        paths.find(|(p, _)| p.key() == path).is_some_and(|(_, d)| d == device)
    }

    /// Has the next update look at everything.
    pub(super) fn invalidate(&mut self) {
        self.updated_at = None;
    }

    /// Returns when to update again although nothing signals a change.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.paths.is_empty().then(|| now + RETRY_AFTER)
    }

    /// Marks the paths over uplinks that are drained.
    pub(super) fn mark_drained(&mut self, drains: &Drains) {
        drains.mark(&mut self.paths);
    }

    /// Makes the paths anew, if there is a reason to: our addresses or the peer's have changed, or
    /// the lanes do not satisfy.
    pub(super) fn update(
        &mut self,
        session: &SessionHandle,
        context: &NodeContext,
        now: Instant,
        uplinks: &Snapshot,
        satisfied: bool,
    ) -> Update {
        self.take_advertised(session);
        let generation = (uplinks.generation, context.allowances.changes());
        let uplinks_changed = self.generation != generation;
        let recent = |at: Instant| now < at + UPDATE_INTERVAL;
        let enough = satisfied && !self.paths.is_empty();
        if !uplinks_changed && self.updated_at.is_some_and(|at| recent(at) || enough) {
            return Update::default();
        }
        self.updated_at = Some(now);
        self.generation = generation;
        let mut remotes = self.lookup.addresses(&context.peers.locators(session.peer()));
        self.configured.clone_from(&remotes);
        // What the peer advertises is of use only beside what was configured.
        remotes.extend(plan::usable_locators(&self.advertised, &remotes));
        self.knows_an_address = !remotes.is_empty();
        let (paths, devices): (Vec<Path>, Vec<Device>) =
            permitted(context, context.uplinks.paths(uplinks, &remotes)).unzip();
        let is_new = |(path, device): (&Path, &Device)| {
            let mut known = self.paths.iter().zip(&self.devices);
            !known.any(|(p, d)| same_but_for_drain(p, path) && d == device)
        };
        let new_path = paths.iter().zip(&devices).any(is_new);
        (self.paths, self.devices) = (paths, devices);
        Update { done: true, uplinks_changed, new_path_on_new_uplinks: uplinks_changed && new_path }
    }

    /// Takes over what the peer advertises, where that has changed or everything is to be looked at.
    fn take_advertised(&mut self, session: &SessionHandle) {
        let advertised = session.with(|core, _| {
            let changed = std::mem::take(&mut core.locators_changed);
            (changed || self.updated_at.is_none()).then(|| core.session.peer_locators().to_vec())
        });
        if let Some(advertised) = advertised {
            self.advertised = advertised.iter().filter_map(address).collect();
            self.updated_at = None;
        }
    }
}

fn same_but_for_drain(a: &Path, b: &Path) -> bool {
    Path { draining: b.draining, ..a.clone() } == *b
}

/// Returns the paths over uplinks that may be used; those of one for thin flows cost money.
fn permitted(
    context: &NodeContext,
    paths: impl IntoIterator<Item = (Path, Device)>,
) -> impl Iterator<Item = (Path, Device)> {
    paths.into_iter().filter_map(|(mut path, device)| {
        match context.allowances.of(&path.uplink) {
            Allowance::Everything => {}
            Allowance::ThinFlows => path.metered = true,
            Allowance::Nothing => return None,
        }
        Some((path, device))
    })
}

fn address(locator: &Locator) -> Option<SocketAddr> {
    match locator.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, locator.port)),
        Host::Name(_) => None,
    }
}
