//! Drains an uplink, and resumes it: changes the set of drained ones, what every lane advertises, and
//! wakes the drivers.

use crate::engine::drains::{Drain, UnknownUplink};
use crate::engine::sessions::Sessions;
use crate::events::EventKind;
use throughline_uplinks::Uplink;

impl Sessions {
    /// Drains the uplink `name`, or ends that: advertises it to the peers and has lanes planned anew.
    pub(super) fn set_drained(&self, name: &str, draining: bool) -> Result<Drain, UnknownUplink> {
        let snapshot = self.context.uplinks.now();
        let uplinks = &snapshot.uplinks;
        // One that was discovered and is gone now may still be drained.
        if !uplinks.iter().any(|u| u.name == name) && !self.context.drains.contains(name) {
            let known = uplinks.iter().map(|u| u.name.clone()).collect();
            return Err(UnknownUplink { name: name.to_owned(), known });
        }
        let changed = self.context.drains.set(name, draining);
        let usable = |u: &Uplink| {
            u.name != name && !u.addresses.is_empty() && !self.context.drains.contains(&u.name)
        };
        let last = draining && !uplinks.iter().any(usable);
        if changed {
            let kind = match draining {
                true => EventKind::DrainStarted { last },
                false => EventKind::DrainEnded,
            };
            self.context.events.emit_uplink(name, kind);
            for session in self.all() {
                session.advertise_uses();
                session.wake_driver();
            }
        }
        Ok(Drain { uplink: name.to_owned(), draining, changed, last })
    }
}
