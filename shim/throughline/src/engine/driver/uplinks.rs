//! Which uplink each lane is on, when the uplinks are configured anew: an address may be another uplink's then.

use std::time::Instant;

use crate::engine::session::{Core, Origin};
use crate::engine::totals::Totals;
use throughline_proto::hold_down::HoldState;
use throughline_proto::selection::Cost;
use throughline_uplinks::Snapshot;

/// Notes on which uplink each lane is now. An address that belongs to none leaves its lane as it is: the
/// planner drains it, or the address comes back.
pub(super) fn follow_uplinks(core: &mut Core, now: Instant, snapshot: &Snapshot, totals: &Totals) {
    // Until now it was of the uplinks as they were.
    core.account(totals);
    let Core { session, lanes, .. } = core;
    for (id, lane) in lanes {
        let Some(ip) = lane.listed_ip() else { continue };
        let mut uplinks = (0..).zip(&snapshot.uplinks);
        let Some((order, uplink)) = uplinks.find(|(_, u)| u.ips().any(|own| own == ip)) else {
            continue;
        };
        match &mut lane.origin {
            Origin::Accepted(accepted) => accepted.uplink = Some(uplink.name.clone()),
            Origin::Dialed(dialed) => {
                let now_is = (uplink.name.as_str(), order, uplink.metered);
                if (dialed.uplink.as_str(), dialed.order, dialed.metered) == now_is {
                    continue;
                }
                dialed.uplink.clone_from(&uplink.name);
                (dialed.order, dialed.metered) = (order, uplink.metered);
                dialed.cost = Cost::of_lane(order, uplink.metered, HoldState::Normal);
                session.handle_lane_migrated(now, *id, order.into(), order);
            }
        }
    }
}
