//! What was told of a lane: turns what the driver sees into events, each told once.
//!
//! Asked only when the driver looks at the lane anyway, and while nothing changes it does nothing
//! but compare a few numbers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::info;

use super::LaneEntry;
use crate::net::events::{EventKind, OneWay, SessionLog, Suspicion};
use crate::state::health::SensorSnapshot;
use crate::state::session::Session;
use crate::vocab::ids::LaneId;

/// Bytes sent again are counted for so long before they are told: one event, not one per piece.
const COUNT_FOR: Duration = Duration::from_millis(100);

/// What was told of a lane.
#[derive(Debug)]
pub(crate) struct Told {
    since: Instant,
    /// The peer's address, and how often the path had changed when it was looked at.
    remote: SocketAddr,
    epoch: u64,
    /// We suspect it; the peer does.
    ours: bool,
    theirs: bool,
    /// The peer says that what it sends on it is lost.
    one_way: bool,
    /// Bytes sent again on it that were told, and since when more are.
    resent: u64,
    counting: Option<(Instant, Vec<LaneId>)>,
}

impl Told {
    pub(crate) fn new(now: Instant, remote: SocketAddr) -> Self {
        Self {
            since: now,
            remote,
            epoch: 0,
            ours: false,
            theirs: false,
            one_way: false,
            resent: 0,
            counting: None,
        }
    }

    /// There is no doubt in the lane any more.
    fn trust(&mut self) {
        (self.ours, self.theirs, self.one_way) = (false, false, false);
    }

    /// How long the lane has been there.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl LaneEntry {
    /// Tells what is new about the lane's path: the peer moved it. Returns whether it is another
    /// path since last time; a doubt in the old one is moot then, and not healed.
    pub(crate) fn tell_path(
        &mut self,
        log: &SessionLog,
        id: LaneId,
        seen: &SensorSnapshot,
    ) -> bool {
        if self.told.epoch == seen.epoch {
            return false;
        }
        self.told.epoch = seen.epoch;
        self.told.trust();
        let remote = self.connection.remote_address();
        let from = std::mem::replace(&mut self.told.remote, remote);
        if from != remote {
            let uplink = self.uplink();
            info!(peer = %log.peer(), lane = %id, uplink, %from, to = %remote, "the peer moved the lane");
            log.lane(id, uplink, EventKind::PeerMoved { from, to: remote });
        }
        true
    }

    /// Tells what is new about the doubt in a lane: whose it is, that it is over. `ours` says for how long nothing was acknowledged, if that is overdue.
    pub(crate) fn tell_doubt(
        &mut self,
        log: &SessionLog,
        id: LaneId,
        now: Instant,
        ours: Option<Duration>,
        theirs: bool,
    ) {
        let doubted = self.told.ours || self.told.theirs;
        if !doubted && ours.is_none() && !theirs {
            return;
        }
        let uplink = self.uplink().map(str::to_owned);
        let tell = |kind| log.lane(id, uplink.as_deref(), kind);
        if ours.is_none() && !theirs {
            if let (true, Some(since)) = (doubted, self.suspect_since) {
                tell(EventKind::LaneHealed { after: now.saturating_duration_since(since) });
            }
            self.told.trust();
            return;
        }
        if let (false, Some(silent)) = (self.told.ours, ours) {
            self.told.ours = true;
            let by = Suspicion::Ours { rule: self.health.rule(), silent };
            tell(EventKind::LaneSuspected { by });
        }
        if theirs && !self.told.theirs {
            self.told.theirs = true;
            tell(EventKind::LaneSuspected { by: Suspicion::Peers });
        }
    }

    /// Tells that what we send on the lane is lost, while `received` datagrams of the peer came.
    pub(crate) fn tell_one_way(&self, log: &SessionLog, id: LaneId, received: u64) {
        let uplink = self.uplink();
        info!(peer = %log.peer(), lane = %id, uplink, "one-way failure: what we send is lost");
        log.lane(id, uplink, EventKind::LaneOneWay { by: OneWay::Ours { received } });
    }

    /// Tells, once, that the peer finds (`found`) that what it sends on the lane is lost, while what
    /// we send comes.
    pub(crate) fn tell_peers_one_way(&mut self, log: &SessionLog, id: LaneId, found: bool) {
        if !found || std::mem::replace(&mut self.told.one_way, true) {
            return;
        }
        let uplink = self.uplink();
        info!(peer = %log.peer(), lane = %id, uplink, "one-way failure: what the peer sends is lost");
        log.lane(id, uplink, EventKind::LaneOneWay { by: OneWay::Peers });
    }

    /// Tells how much was sent again on the lane; returns when to ask again. `doubted` names the
    /// other lanes in doubt.
    pub(crate) fn tell_hedged(
        &mut self,
        log: &SessionLog,
        id: LaneId,
        now: Instant,
        session: &Session,
        doubted: impl FnOnce() -> Vec<LaneId>,
    ) -> Option<Instant> {
        let bytes = session.lane_resent(id) - self.told.resent;
        if bytes == 0 {
            return None;
        }
        let (since, _) = self.told.counting.get_or_insert_with(|| (now, doubted()));
        let due = *since + COUNT_FOR;
        if due > now {
            return Some(due);
        }
        let instead_of = self.told.counting.take().map(|(_, lanes)| lanes).unwrap_or_default();
        self.told.resent += bytes;
        log.lane(id, self.uplink(), EventKind::Hedged { bytes, instead_of });
        None
    }
}
