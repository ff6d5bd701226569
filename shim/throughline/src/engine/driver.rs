//! The driver of a session: its timers, the health of its lanes, and (at the initiator) which
//! lanes are dialled, moved and closed.
//!
//! It sleeps until the earliest deadline there is, or until its alarm says that something came
//! closer, or the node's uplinks change: a lane whose address is gone, or whose link lost its
//! carrier, is down at once, whatever its acknowledgements say. With nothing outstanding and nothing
//! wanted it does not wake at all.

mod doubt;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::debug;

use self::doubt::{Doubt, probe};
use super::session::{Core, LaneEntry, SessionHandle};
use crate::engine::dial::Dialer;
use crate::engine::lane;
use throughline_proto::health::Verdict;
use throughline_proto::session::Health;
use throughline_proto::types::LaneId;
use throughline_uplinks::Snapshot;

/// Runs until the session is over.
pub(crate) async fn run(
    session: SessionHandle,
    mut dialer: Option<Dialer>,
    mut uplinks: watch::Receiver<Arc<Snapshot>>,
) {
    let alarm = session.driver_alarm();
    let mut planned: Option<Instant> = None;
    let mut by_timer = false;
    loop {
        let late_by = planned
            .filter(|_| by_timer)
            .map(|at| Instant::now().saturating_duration_since(at))
            .unwrap_or_default();
        let snapshot = uplinks.borrow_and_update().clone();
        let (slept, mut next) =
            session.with(|core, now| (core.slept, look(&session, core, &snapshot, now, late_by)));
        if session.is_over() {
            return;
        }
        if let Some(dialer) = &mut dialer {
            if slept {
                dialer.begin_afresh();
            }
            next = earliest(next, dialer.step(&session, &snapshot));
        }
        session.set_armed(next);
        // Something may have come closer between `look` and `set_armed`.
        next = earliest(next, session.with(|core, _| core.session.next_timeout()));
        planned = next;
        by_timer = tokio::select! {
            () = sleep_until(next) => true,
            () = alarm.notified() => false,
            () = changed(&mut uplinks) => false,
            () = dialled(&mut dialer, &session) => false,
        };
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn changed(uplinks: &mut watch::Receiver<Arc<Snapshot>>) {
    if uplinks.changed().await.is_err() {
        // Nobody watches any more; the node is going.
        std::future::pending::<()>().await;
    }
}

async fn dialled(dialer: &mut Option<Dialer>, session: &SessionHandle) {
    match dialer {
        Some(dialer) => dialer.dialled(session).await,
        None => std::future::pending().await,
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

/// Does what is due and judges the lanes; returns when to look again.
fn look(
    session: &SessionHandle,
    core: &mut Core,
    uplinks: &Snapshot,
    now: Instant,
    late_by: Duration,
) -> Option<Instant> {
    core.session.handle_timeout(now);
    let mut next = None;
    if let Some(since) = core.detached_since {
        let left = core.session.params().linger.saturating_sub(since.elapsed());
        if left.is_zero() {
            core.session.lost("no lane came back within the linger time");
        }
        next = Some(now + left);
    }
    let slept = std::mem::take(&mut core.slept);
    let Core { session: pure, lanes, .. } = core;
    let log = session.log();
    let mut ids: Vec<LaneId> = lanes.keys().copied().collect();
    ids.sort_unstable();
    for id in ids.iter().copied() {
        let Some(lane) = lanes.get_mut(&id) else { continue };
        let seen = lane.sensor.snapshot();
        lane.health.stalled(now, late_by);
        if slept {
            probe(now, lane);
        }
        if lane.tell_path(log, id, &seen) {
            pure.lane_path_is_new(id);
        }
        let verdict = lane.health.judge(now, &seen);
        let stranded = stranded(lane, uplinks);
        let health = match verdict {
            // The kernel knows it before any timer could.
            _ if stranded => Health::Suspect { confirmed: true },
            Verdict::Alive { check_at } => {
                next = earliest(next, check_at);
                Health::Alive
            }
            Verdict::Suspect { progressless, recheck_at, .. } => {
                next = earliest(next, Some(recheck_at));
                Health::Suspect { confirmed: progressless >= lane.health.rto(&seen) }
            }
        };
        pure.lane_health(now, id, health, seen.srtt, seen.newest_full_acked_sent);
        if let Some(percent) = lane.loss.look(now, seen.epoch, seen.acked_bytes, seen.lost_bytes) {
            lane.tell_loss(log, id, percent);
        }
        let lossy_until = lane.loss.until(now);
        next = earliest(next, lossy_until);
        pure.lane_loses(now, id, lossy_until.is_some());
        if lane.dialled.is_none() {
            // The peer may have moved it.
            pure.lane_moved(now, id, lane::group_of(lane.connection.remote_address().ip()), 0);
        }
        // A lane that was idle has been silent only since it was asked something.
        let silent = || {
            let since = seen.last_ack.max(seen.oldest_unacked).unwrap_or(now);
            now.saturating_duration_since(since)
        };
        let ours = (health != Health::Alive).then(silent);
        let rto = lane.health.rto(&seen);
        let by_peer = pure.peer_suspects_lane(id);
        let resent =
            || ids.iter().filter(|other| **other != id).map(|other| pure.lane_resent(*other)).sum();
        next = earliest(next, lane.tell_doubt(log, id, now, (ours, by_peer), resent));
        lane.tell_peers_one_way(log, id, pure.peer_finds_one_way(id));
        // The peer's word counts as well, and is disproved in the same way: by a probe.
        if !pure.lane_is_suspect(id) {
            if lane.suspect_since.take().is_some() {
                lane.wavered = Some(now);
                (lane.probed, lane.hearing, lane.confirmed) = (None, None, false);
                lane.given_up_at = None;
            }
            continue;
        }
        if lane.suspect_since.is_none() {
            let (rtt_ms, uplink) = (seen.srtt.as_millis(), lane.uplink());
            debug!(peer = %session.name(), lane = %id, uplink, rtt_ms, stranded, by_peer, "lane suspect");
        }
        let doubt = Doubt {
            since: *lane.suspect_since.get_or_insert(now),
            ours: health,
            by_peer,
            rto,
            newest_acked_sent: seen.newest_acked_sent,
        };
        next = earliest(next, doubt.pursue(now, log, pure, id, lane));
    }
    next = earliest(next, tell_hedges(session, core, now));
    earliest(next, core.session.next_timeout())
}

/// Tells what went out again on which lane; returns when to look again.
fn tell_hedges(session: &SessionHandle, core: &mut Core, now: Instant) -> Option<Instant> {
    let Core { session: pure, lanes, .. } = core;
    let doubted = || {
        let mut ids: Vec<LaneId> = pure.lanes_in_doubt().collect();
        ids.sort_unstable();
        ids
    };
    let tell = |(id, lane): (&LaneId, &mut LaneEntry)| {
        lane.tell_hedged(session.log(), *id, now, pure, doubted)
    };
    lanes.iter_mut().filter_map(tell).min()
}

/// Whether the system says that nothing can leave from the lane's address any more. What it never
/// listed (an address bound without being one of an interface) it cannot take away.
fn stranded(lane: &mut LaneEntry, uplinks: &Snapshot) -> bool {
    let Some(ip) = lane.local_ip() else { return false };
    let there = uplinks.network.carries(ip);
    lane.had_address |= there;
    lane.had_address && !there
}
