//! What a session keeps of each of its lanes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn::{Connection, Endpoint, VarInt};
use tokio::sync::Notify;

use super::told::Told;
use crate::engine::quic::close;
use throughline_congestion::LaneSensor;
use throughline_proto::health::HealthState;
use throughline_proto::hearing::Hearing;
use throughline_proto::loss::LossMeter;

/// What a session keeps of each of its lanes.
pub(crate) struct LaneEntry {
    pub(crate) connection: Connection,
    pub(crate) sensor: Arc<LaneSensor>,
    pub(crate) health: HealthState,
    /// The session has something for the lane to write.
    pub(crate) work: Arc<Notify>,
    pub(crate) loss: LossMeter,
    pub(crate) suspect_since: Option<Instant>,
    /// When it was last in doubt.
    pub(crate) wavered: Option<Instant>,
    /// Nothing at all was acknowledged for a whole probe timeout.
    pub(crate) confirmed: bool,
    /// When the last probe went out, while the lane is suspect, and what was heard meanwhile.
    pub(crate) probed: Option<Instant>,
    pub(crate) hearing: Option<Hearing>,
    /// It is dead in our direction only, the peer has been told so, and then the lane ends.
    pub(crate) given_up_at: Option<Instant>,
    /// The system has listed our address, so its word that it is gone counts.
    pub(crate) had_address: bool,
    /// Where we dialled it: how to move it.
    pub(crate) dialled: Option<Dialled>,
    /// Our end of a lane that the peer dialled.
    pub(crate) accepted: Option<Accepted>,
    pub(crate) told: Told,
    /// Why we ended it, if we did.
    pub(crate) ending: Option<&'static str>,
}

/// Our end of a lane that the peer dialled; it stays, whatever the peer's does.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// The uplink that the address belongs to, where it is known.
    pub(crate) uplink: Option<String>,
    pub(crate) local: SocketAddr,
}

/// A lane that we dialled.
pub(crate) struct Dialled {
    /// Its own endpoint: `rebind` moves every connection of an endpoint.
    pub(crate) endpoint: Endpoint,
    /// The uplink it is on now.
    pub(crate) uplink: String,
    /// Its order among uplinks.
    pub(crate) order: u32,
    pub(crate) metered: bool,
    /// The interface that has our address, where the system says.
    pub(crate) interface: Option<String>,
    /// What we say that it costs ([`select::cost`](throughline_proto::session::select::cost)).
    pub(crate) cost: u8,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) migrations: u64,
    pub(crate) moved_at: Option<Instant>,
}

impl LaneEntry {
    /// Our address, as the system's list of addresses has it.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        let ip = match &self.dialled {
            Some(dialled) => Some(dialled.local.ip()),
            None => self.connection.local_ip(),
        };
        ip.map(|ip| ip.to_canonical())
    }

    /// The uplink it is on at our end, where that is known.
    pub(crate) fn uplink(&self) -> Option<&str> {
        match (&self.dialled, &self.accepted) {
            (Some(dialled), _) => Some(&dialled.uplink),
            (None, accepted) => accepted.as_ref()?.uplink.as_deref(),
        }
    }

    /// Our address.
    pub(crate) fn local(&self) -> SocketAddr {
        let dialled = self.dialled.as_ref().map(|d| d.local);
        let local = dialled.or_else(|| self.accepted.as_ref().map(|a| a.local));
        // Every lane is one or the other.
        local.unwrap_or_else(|| (std::net::Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// What it costs at our end ([`LaneUse::cost`](throughline_proto::wire::fact::LaneUse::cost)).
    pub(crate) fn cost(&self) -> u8 {
        self.dialled.as_ref().map_or(0, |d| d.cost)
    }

    /// It was ended from outside, and its task may not have noticed yet.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Ends the lane from outside; its task notices through the connection.
    pub(crate) fn end(&mut self, code: VarInt, reason: &'static str) {
        self.ending.get_or_insert(reason);
        close::close(&self.connection, code, reason);
    }
}
