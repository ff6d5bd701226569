//! What was told of a lane: turns what the driver sees into events, each told once.
//!
//! Asked only when the driver looks at the lane anyway, and while nothing changes it does nothing
//! but compare a few numbers.

mod doubts;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::debug;

use self::doubts::{Doubts, News};
use super::entry::LaneEntry;
use crate::events::{EventKind, OneWayDetectedBy, SessionLog};
use throughline_proto::health::SensorSnapshot;
use throughline_proto::session::Session;
use throughline_proto::types::LaneId;

/// Bytes sent again are counted for so long before they are told: one event, not one per piece.
const COUNT_FOR: Duration = Duration::from_millis(100);

/// What was told of a lane.
#[derive(Debug)]
pub(crate) struct Told {
    since: Instant,
    /// The peer's address, and how often the path had changed when it was looked at.
    remote: SocketAddr,
    epoch: u64,
    doubts: Doubts,
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
            doubts: Doubts::default(),
            one_way: false,
            resent: 0,
            counting: None,
        }
    }

    /// How often the lane was in doubt, however briefly.
    pub(crate) fn doubts(&self) -> u64 {
        self.doubts.count()
    }

    /// How long the lane has been there.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl LaneEntry {
    /// Tells what is new about the lane's path: the peer moved it. A doubt in the old one is moot
    /// then, and not healed. Whether it has another path.
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
        self.told.doubts.forget();
        let remote = self.connection.remote_address();
        let from = std::mem::replace(&mut self.told.remote, remote);
        if from != remote {
            let uplink = self.uplink();
            log.emit_lane(id, uplink, EventKind::PeerMigrated { from, to: remote });
        }
        true
    }

    /// Tells what is new about the doubt in a lane: whose it is, that it is over; returns when to
    /// ask again. `ours` says for how long nothing was acknowledged, if that is overdue, `resent` how
    /// many bytes have been sent again on other lanes.
    pub(crate) fn tell_doubt(
        &mut self,
        log: &SessionLog,
        id: LaneId,
        now: Instant,
        (ours, theirs): (Option<Duration>, bool),
        resent: impl FnOnce() -> u64,
    ) -> Option<Instant> {
        let ours = ours.map(|silent| (self.health.rule(), silent));
        let (news, again) = self.told.doubts.look(now, ours, theirs, resent);
        self.tell_news(log, id, news);
        again
    }

    /// The lane ends: tells the doubt in which it does, if it is in one.
    pub(crate) fn tell_rest(&mut self, log: &SessionLog, id: LaneId) {
        let news = self.told.doubts.tell();
        self.tell_news(log, id, news);
    }

    fn tell_news(&self, log: &SessionLog, id: LaneId, news: Vec<News>) {
        let (peer, uplink) = (log.peer(), self.uplink());
        for news in news {
            match news {
                News::Suspected { by, besides } => {
                    let (detected_by, suppressed) = (by, besides);
                    log.emit_lane(id, uplink, EventKind::LaneSuspected { detected_by, suppressed });
                }
                News::Healed(duration) => {
                    log.emit_lane(id, uplink, EventKind::LaneRecovered { duration });
                }
                News::Withdrawn(after) => {
                    debug!(%peer, lane = %id, uplink, ?after, "lane answers again");
                }
            }
        }
    }

    /// Tells that what we send on the lane is lost, while `received` datagrams of the peer came.
    pub(crate) fn tell_one_way(&mut self, log: &SessionLog, id: LaneId, received: u64) {
        self.tell_rest(log, id);
        let uplink = self.uplink();
        let detected_by = OneWayDetectedBy::Us { received };
        log.emit_lane(id, uplink, EventKind::LaneOneWay { detected_by });
    }

    /// Tells, once, that the peer finds (`found`) that what it sends on the lane is lost, while what
    /// we send comes.
    pub(crate) fn tell_peers_one_way(&mut self, log: &SessionLog, id: LaneId, found: bool) {
        if std::mem::replace(&mut self.told.one_way, found) || !found {
            return;
        }
        self.tell_rest(log, id);
        let uplink = self.uplink();
        let detected_by = OneWayDetectedBy::Peer;
        log.emit_lane(id, uplink, EventKind::LaneOneWay { detected_by });
    }

    /// Tells that so many percent of what we send on the lane is lost, although it answers.
    pub(crate) fn tell_loss(&self, log: &SessionLog, id: LaneId, percent: u64) {
        log.emit_lane(id, self.uplink(), EventKind::LaneLossy { percent });
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
        log.emit_lane(id, self.uplink(), EventKind::Hedged { bytes, instead_of });
        None
    }
}
