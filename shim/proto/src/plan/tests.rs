//! The planner's rules, one by one; every state of a lane in every situation in `cells`.

mod cells;
mod dialing;
mod draining;
mod migrating;
mod outage;
mod redundancy;
mod replacing;
mod trust;
mod wanted;

use std::net::{IpAddr, SocketAddr};

use super::dial::*;
use super::drain::*;
use super::migrate::*;
use super::pairing::distinct;
use super::peer_drains::PEER_DRAIN_TTL;
use super::view::STABLE_AFTER;
use super::*;
use crate::path::Path;
use crate::types::{AddressClass, LaneId};

const MS: Duration = Duration::from_millis(1);

fn path(uplink: u8, locator: u8) -> Path {
    Path {
        uplink: format!("isp-{uplink}"),
        order: uplink.into(),
        class: AddressClass::default(),
        metered: false,
        draining: false,
        local: IpAddr::from([10, 0, uplink, 1]),
        remote: SocketAddr::from(([10, 9, locator, 1], 5443)),
    }
}

fn metered(path: Path) -> Path {
    Path { metered: true, ..path }
}

fn draining(path: Path) -> Path {
    Path { draining: true, ..path }
}

fn lane(id: u64, path: &Path) -> LaneView {
    LaneView {
        id: LaneId(id),
        uplink: path.uplink.clone(),
        metered: path.metered,
        local: path.local,
        remote: path.remote,
        suspected_since: None,
        confirmed: false,
        conclusive: true,
        narrow: false,
        last_suspected: None,
        moved_at: None,
        validated: true,
        idle: true,
        peer_drains: false,
    }
}

fn down(id: u64, path: &Path, since: Instant) -> LaneView {
    LaneView { suspected_since: Some(since), confirmed: true, ..lane(id, path) }
}

fn plan(planner: &mut Planner, now: Instant, paths: &[Path], lanes: &[LaneView]) -> PlanActions {
    planner.plan(now, &PlanInput { paths, lanes, dialing: &[], has_demand: true })
}
