//! What a session keeps of each of its lanes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{Connection, Endpoint, VarInt};
use tokio::sync::Notify;

use crate::engine::qlog::Trace;
use crate::engine::quic::close;
use crate::engine::totals::{Accounted, Totals};
use throughline_congestion::LaneSensor;
use throughline_proto::selection::Cost;
use throughline_proto::types::PeerId;

/// What a session keeps of each of its lanes. What is thought of the lane is kept by its monitor,
/// in the pure session.
pub(crate) struct LaneEntry {
    pub(crate) connection: Connection,
    pub(crate) sensor: Arc<LaneSensor>,
    /// Notified when the session has something for the lane to write.
    pub(crate) work: Arc<Notify>,
    pub(crate) origin: Origin,
    pub(crate) keys: LaneKeys,
    /// What quinn logs of it.
    pub(crate) trace: Trace,
    pub(crate) attached_at: Instant,
    /// What of it is in the totals of its uplink.
    pub(crate) accounted: Accounted,
    /// Why we ended it, if we did.
    pub(crate) ending: Option<&'static str>,
}

/// The keys that the two ends of a lane have shown each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneKeys {
    pub(crate) ours: PeerId,
    pub(crate) peers: PeerId,
}

/// Which end dialed a lane.
pub(crate) enum Origin {
    /// We did.
    Dialed(Dialed),
    /// The peer did.
    Accepted(Accepted),
}

/// Our end of a lane that the peer dialed; it stays, whatever the peer's does.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// The uplink that the address belongs to, where it is known.
    pub(crate) uplink: Option<String>,
    pub(crate) local: SocketAddr,
    /// The peer's address when the driver last looked: a peer moves its lanes.
    pub(crate) remote: SocketAddr,
}

/// A lane that we dialed.
pub(crate) struct Dialed {
    /// Its own endpoint: `rebind` moves every connection of an endpoint.
    pub(crate) endpoint: Endpoint,
    /// The uplink it is on now.
    pub(crate) uplink: String,
    /// Its order among uplinks.
    pub(crate) order: u32,
    pub(crate) metered: bool,
    /// The interface that has our address, where the system says.
    pub(crate) interface: Option<String>,
    /// The cost that we advertise.
    pub(crate) cost: Cost,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) migrations: u64,
    /// Woken when somebody at the peer's address says that it was started anew.
    pub(crate) restarts: Arc<Notify>,
}

impl Origin {
    /// Returns our address.
    fn local(&self) -> SocketAddr {
        match self {
            Self::Dialed(dialed) => dialed.local,
            Self::Accepted(accepted) => accepted.local,
        }
    }

    /// Returns the uplink it is on at our end, where that is known.
    fn uplink(&self) -> Option<&str> {
        match self {
            Self::Dialed(dialed) => Some(&dialed.uplink),
            Self::Accepted(accepted) => accepted.uplink.as_deref(),
        }
    }
}

impl LaneEntry {
    /// Returns the lane as one that we dialed, if we did.
    pub(crate) fn dialed(&self) -> Option<&Dialed> {
        match &self.origin {
            Origin::Dialed(dialed) => Some(dialed),
            Origin::Accepted(_) => None,
        }
    }

    /// Returns the lane as one that we dialed, if we did, to be changed.
    pub(crate) fn dialed_mut(&mut self) -> Option<&mut Dialed> {
        match &mut self.origin {
            Origin::Dialed(dialed) => Some(dialed),
            Origin::Accepted(_) => None,
        }
    }

    /// Returns our address, as the system's list of addresses has it, where it is known.
    pub(crate) fn listed_ip(&self) -> Option<IpAddr> {
        let ip = self.local().ip();
        (ip != IpAddr::from(Ipv4Addr::UNSPECIFIED)).then(|| ip.to_canonical())
    }

    /// Returns the peer's address.
    pub(crate) fn remote(&self) -> SocketAddr {
        match &self.origin {
            // The acceptor's address does not change (RFC 9000 §9).
            Origin::Dialed(dialed) => dialed.remote,
            Origin::Accepted(_) => self.connection.remote_address(),
        }
    }

    /// Returns the uplink it is on at our end, where that is known.
    pub(crate) fn uplink(&self) -> Option<&str> {
        self.origin.uplink()
    }

    /// Returns our address.
    pub(crate) fn local(&self) -> SocketAddr {
        self.origin.local()
    }

    /// Adds what went over the lane since the last time to the totals of its uplink.
    pub(crate) fn account(&mut self, totals: &Totals, suspicions: u64) {
        let seen = self.sensor.snapshot();
        let received = self.connection.stats().udp_rx.bytes;
        let now = Accounted { sent: seen.sent_bytes, received, lost: seen.lost_bytes, suspicions };
        totals.account(self.origin.uplink(), &mut self.accounted, now);
    }

    /// Returns how long the lane has been there.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.attached_at)
    }

    /// Returns whether it was ended from outside, which its task may not have noticed yet.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Ends a lane whose session another process has.
    pub(crate) fn end_as_handed_over(&mut self) {
        self.end(close::REPLACED, "handed over to another process");
    }

    /// Ends the lane from outside; its task notices through the connection.
    pub(crate) fn end(&mut self, code: VarInt, reason: &'static str) {
        self.ending.get_or_insert(reason);
        // Quinn holds a close back while the window is full and bulk waits, which may be why the lane ends.
        self.sensor.allow_probe();
        close::close(&self.connection, code, reason);
    }
}
