//! What becomes of a lane in doubt: it is probed until it answers, or until it is given up.
//!
//! It is given up when it was silent for long; its place is being dialled all the while. And sooner
//! where the peer's packets come but ours are not acknowledged ([`Hearing`]): then our direction is
//! dead, or it swallows what is large (and everything that waits goes in large packets). Only the
//! initiator can dial anew, at the MTU that passes everywhere, and the close, which is small, may
//! reach it.

use std::time::{Duration, Instant};

use crate::engine::quic::close;
use crate::engine::session::LaneEntry;
use crate::events::SessionLog;
use throughline_proto::hearing::Hearing;
use throughline_proto::session::{Health, Session};
use throughline_proto::types::LaneId;
use throughline_proto::wire::datagram::Datagram;

/// A lane in doubt is probed this often; a path that heals is noticed within this and a round
/// trip.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// ... and twice as often at first: whether only one direction is dead, or only what is large, shows
/// in the answers to the first two or three, and flows may be waiting for it.
const PROBE_EARLY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(50));

/// Where small packets are acknowledged and only full ones are not, so much more time passes before
/// the lane is given up: four probes, because it may also be that the path loses much.
const NARROW: Duration = Duration::from_millis(200);

/// How long our finding that a lane is one-way has to leave on the others: with the lane it would be
/// forgotten.
const LAST_WORD: Duration = Duration::from_millis(5);

/// A lane that was silent for this long is closed. Its place is being dialled all the while.
const SILENT: Duration = Duration::from_secs(10);

/// What is known of a lane in doubt.
pub(super) struct Doubt {
    /// Since when somebody doubts it.
    pub(super) since: Instant,
    /// What we think of it.
    pub(super) ours: Health,
    /// The peer suspects it.
    pub(super) by_peer: bool,
    /// The lane's retransmission timeout.
    pub(super) rto: Duration,
    /// When the newest acknowledged packet was sent, of whatever size.
    pub(super) newest_acked_sent: Option<Instant>,
}

impl Doubt {
    /// Probes the lane, or ends it; returns when to come back.
    pub(super) fn pursue(
        &self,
        now: Instant,
        log: &SessionLog,
        session: &mut Session,
        id: LaneId,
        lane: &mut LaneEntry,
    ) -> Option<Instant> {
        // What the peer sends and cannot see acknowledged is as lost as what we send.
        let confirm_at = self.since + self.rto;
        let sure = self.ours == Health::Suspect { confirmed: true };
        lane.confirmed = sure || self.by_peer && now >= confirm_at;
        if now.saturating_duration_since(self.since) >= SILENT {
            lane.end(close::SILENT, "nothing heard for 10 s");
            return None;
        }
        let received = lane.connection.stats().udp_rx.datagrams;
        let hearing = lane.hearing.get_or_insert_with(|| Hearing::new(now));
        let one_way = hearing.one_way(now, received, self.rto);
        if !sure {
            // Ours was acknowledged after all.
            lane.given_up_at = None;
        }
        if let Some(at) = lane.given_up_at {
            if now < at {
                return Some(at);
            }
            lane.end(close::ONE_WAY, "what is sent is not acknowledged, although packets come");
            return None;
        }
        if let (Some(came), true) = (one_way, sure && now >= self.since + self.patience()) {
            lane.tell_one_way(log, id, came);
            session.found_one_way(id);
            lane.given_up_at = Some(now + LAST_WORD);
            return lane.given_up_at;
        }
        let early = now.saturating_duration_since(self.since) < PROBE_EARLY.0;
        let every = if early { PROBE_EARLY.1 } else { PROBE_EVERY };
        let probe_at = lane.probed.map_or(now, |at| at + every);
        let again = if probe_at <= now {
            session.repeat_suspicion(id);
            probe(now, lane);
            now + every
        } else {
            probe_at
        };
        let unsure = self.by_peer && !lane.confirmed;
        Some(if unsure { again.min(confirm_at) } else { again })
    }

    /// How long a lane that hears and is not heard is kept at least.
    fn patience(&self) -> Duration {
        if self.newest_acked_sent < Some(self.since) { Duration::ZERO } else { NARROW }
    }
}

/// Asks a lane whether it is alive, past a full window.
pub(super) fn probe(now: Instant, lane: &mut LaneEntry) {
    lane.probed = Some(now);
    if let Some(hearing) = &mut lane.hearing {
        hearing.probed(now, lane.connection.stats().udp_rx.datagrams);
    }
    lane.sensor.allow_probe();
    let ping = Datagram::Ping { seq: lane.sensor.on_ping() };
    // As large as a packet of bulk: a small answer would not prove that those pass.
    let len = lane.connection.max_datagram_size().unwrap_or(0);
    let _ = lane.connection.send_datagram(ping.to_bytes(len));
}
