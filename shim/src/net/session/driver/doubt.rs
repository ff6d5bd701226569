//! What becomes of a lane in doubt: it is probed until it answers, or until it is given up.
//!
//! It is given up when it was silent for long; its place is being dialled all the while. And sooner
//! where the peer's packets come but ours are not acknowledged: then our direction is dead, or it
//! swallows what is large (and everything that waits goes in large packets). Only the initiator can
//! dial anew, at the MTU that passes everywhere, and the close, which is small, may reach it.

use std::time::{Duration, Instant};

use crate::net::events::SessionLog;
use crate::net::lane::{LaneEntry, code};
use crate::state::session::{Health, Session};
use crate::vocab::ids::LaneId;
use crate::vocab::wire::datagram::Datagram;

/// A lane in doubt is probed this often; a path that heals is noticed within this and a round
/// trip.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// Where the peer's packets come but none that we send since is acknowledged, the lane is closed
/// after this.
const DEAF: Duration = Duration::from_millis(100);

/// ... and after this where small packets are acknowledged and four full ones in a row are not.
const NARROW: Duration = Duration::from_millis(400);

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
            lane.end(code::SILENT, "nothing heard for 10 s");
            return None;
        }
        let probe_at = lane.probed.map_or(now, |(at, _)| at + PROBE_EVERY);
        let again = if probe_at <= now {
            let heard = lane.connection.stats().udp_rx.datagrams;
            let hears = lane.probed.map_or(0, |(_, before)| heard - before);
            if sure && hears > 0 && now.saturating_duration_since(self.since) >= self.patience() {
                lane.tell_one_way(log, id, hears);
                lane.end(code::ONE_WAY, "what is sent is not acknowledged, although packets come");
                return None;
            }
            session.repeat_suspicion(id);
            probe(now, lane);
            now + PROBE_EVERY
        } else {
            probe_at
        };
        let unsure = self.by_peer && !lane.confirmed;
        Some(if unsure { again.min(confirm_at) } else { again })
    }

    /// How long packets may come while full ones of ours are not acknowledged. If small ones are,
    /// it may be the size; but it may also be that the path loses much.
    fn patience(&self) -> Duration {
        if self.newest_acked_sent < Some(self.since) { DEAF } else { NARROW }
    }
}

/// Asks a lane whether it is alive, past a full window.
pub(super) fn probe(now: Instant, lane: &mut LaneEntry) {
    lane.probed = Some((now, lane.connection.stats().udp_rx.datagrams));
    lane.sensor.grant();
    let ping = Datagram::Ping { seq: lane.sensor.on_ping() };
    // As large as a packet of bulk: a small answer would not prove that those pass.
    let len = lane.connection.max_datagram_size().unwrap_or(0);
    let _ = lane.connection.send_datagram(ping.to_bytes(len));
}
