//! Draining an uplink, and using it again: the set of drained ones, every lane's word, the drivers.

use crate::engine::drains::{Drain, UnknownUplink};
use crate::engine::sessions::NodeShared;
use crate::events::EventKind;
use throughline_uplinks::Uplink;

impl NodeShared {
    /// Drains the uplink `name`, or ends that. Says so to the peers and wakes who plans lanes.
    pub(super) fn set_drained(&self, name: &str, draining: bool) -> Result<Drain, UnknownUplink> {
        let snapshot = self.uplinks().now();
        let uplinks = &snapshot.uplinks;
        // One that was discovered and is gone now may still be drained.
        if !uplinks.iter().any(|u| u.name == name) && !self.drains().contains(name) {
            let known = uplinks.iter().map(|u| u.name.clone()).collect();
            return Err(UnknownUplink { name: name.to_owned(), known });
        }
        let changed = self.drains().set(name, draining);
        let usable = |u: &Uplink| {
            u.name != name && !u.addresses.is_empty() && !self.drains().contains(&u.name)
        };
        let last = draining && !uplinks.iter().any(usable);
        if changed {
            let kind = match draining {
                true => EventKind::DrainStarted { last },
                false => EventKind::DrainEnded,
            };
            self.events().emit_uplink(name, kind);
            for session in self.peers().iter().flat_map(|peer| self.sessions(*peer)) {
                session.state_uses();
                session.driver_alarm().notify_one();
            }
        }
        Ok(Drain { uplink: name.to_owned(), draining, changed, last })
    }
}
