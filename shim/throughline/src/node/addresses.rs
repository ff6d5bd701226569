//! Emits the addresses that uplinks get and lose.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::events::{EventKind, EventLog};
use throughline_uplinks::{Snapshot, Uplink};

/// Runs until the uplinks are no longer watched.
pub(super) async fn report(mut uplinks: watch::Receiver<Arc<Snapshot>>, events: EventLog) {
    let mut before = of(&uplinks.borrow_and_update());
    while uplinks.changed().await.is_ok() {
        let snapshot = uplinks.borrow_and_update().clone();
        let now = of(&snapshot);
        for (uplink, address) in before.iter().filter(|known| !now.contains(known)) {
            let reason =
                match (snapshot.network.interface_of(*address), snapshot.network.carries(*address))
                {
                    (None, _) => "it was removed",
                    (Some(_), false) => "its link is down",
                    (Some(_), true) => "it is deprecated, or another uplink's now",
                };
            let (address, reason) = (*address, reason.to_owned());
            events.emit_uplink(uplink, EventKind::AddressRemoved { address, reason });
        }
        for (uplink, address) in now.iter().filter(|new| !before.contains(new)) {
            events.emit_uplink(uplink, EventKind::AddressAdded { address: *address });
        }
        before = now;
    }
}

fn of(snapshot: &Snapshot) -> Vec<(String, IpAddr)> {
    let of = |u: &Uplink| u.ips().map(|ip| (u.name.clone(), ip)).collect::<Vec<_>>();
    snapshot.uplinks.iter().flat_map(of).collect()
}
