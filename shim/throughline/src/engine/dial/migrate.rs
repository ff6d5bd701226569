//! Migrates a lane to another local address (RFC 9000 §9): the same connection, another path.

use tracing::warn;

use crate::engine::context::NodeContext;
use crate::engine::quic::socket::{self, SocketOptions};
use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use throughline_proto::path::Path;
use throughline_proto::types::LaneId;

/// Migrates the lane `id` to `path`. Where that cannot be, the lane stays as it is, and the log says
/// why.
pub(super) fn migrate(session: &SessionHandle, context: &NodeContext, id: LaneId, path: &Path) {
    let uplinks = &context.uplinks;
    let options = SocketOptions { device: uplinks.device(path.local, path.remote) };
    let socket = match socket::bind((path.local, 0).into(), &options) {
        Ok(socket) => socket,
        Err(error) => {
            warn!(peer = %session.name(), session = %session.id(), lane = %id,
                  local = %path.local, "cannot bind a socket to migrate a lane to: {error}");
            return;
        }
    };
    let interface = uplinks.interface(path.local);
    let cost = context.first_cost(path);
    session.with(|core, now| {
        let had_failed = core.is_suspect(id);
        // Until now it was the former uplink's.
        core.account(session.totals());
        let Some(lane) = core.lanes.get_mut(&id) else { return };
        let sensor = lane.sensor.clone();
        let Some(dialed) = lane.dialed_mut() else { return };
        sensor.migrating(now);
        if let Err(error) = dialed.endpoint.rebind(socket) {
            warn!(peer = %session.name(), session = %session.id(), lane = %id,
                  local = %path.local, "cannot migrate the lane: {error}");
            return;
        }
        let from = std::mem::replace(&mut dialed.uplink, path.uplink.clone());
        let port = dialed.endpoint.local_addr().map_or(0, |address| address.port());
        dialed.local = (path.local, port).into();
        dialed.interface = interface;
        (dialed.order, dialed.metered) = (path.order, path.metered);
        dialed.migrations += 1;
        dialed.cost = cost;
        if had_failed {
            session.totals().lane_failed(Some(&from));
            session.totals().flows_survived(Some(&from), core.session.flow_count());
        }
        let (to, local) = (path.uplink.clone(), dialed.local);
        session.log().emit_lane(
            id,
            Some(&path.uplink),
            EventKind::LaneMigrated { from, to, local },
        );
        core.session.advertise_use(
            now,
            id,
            session.cost_of(lane),
            session.is_drained(&path.uplink),
        );
        core.session.handle_local_migration(now, id);
        core.session.handle_lane_migrated(now, id, path.order.into(), path.order);
    });
    session.lane_states_changed();
}
