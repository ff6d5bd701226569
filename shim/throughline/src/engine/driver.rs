//! The driver of a session: its timers, the monitors of its lanes, and (at the initiator) which
//! lanes are dialed, migrated and closed.
//!
//! It sleeps until the earliest deadline there is, or until its alarm says that something came
//! closer, or the node's uplinks change: a lane whose address is gone, or whose link lost its
//! carrier, is down at once, whatever its acknowledgements say. With nothing outstanding and nothing
//! wanted it does not wake at all.

mod monitoring;
mod uplinks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::monitoring::{Wake, observe_lanes};
use self::uplinks::follow_uplinks;
use super::session::{Core, SessionHandle};
use crate::engine::dial::Dialer;
use throughline_proto::panics::Panicked;
use throughline_uplinks::Snapshot;

/// Runs until the session is over.
pub(crate) async fn run(
    session: SessionHandle,
    mut dialer: Box<Dialer>,
    mut uplinks: watch::Receiver<Arc<Snapshot>>,
) {
    let alarm = session.driver_alarm();
    let mut fired: Option<Instant> = None;
    let mut generation = None;
    loop {
        if session.is_broken_by_panic() {
            session.lose_after_panic(&Panicked::within("a change to the session"));
            return;
        }
        let late_by = fired.map(|due| Instant::now().saturating_duration_since(due));
        let snapshot = uplinks.borrow_and_update().clone();
        let uplinks_changed = generation.replace(snapshot.generation) != Some(snapshot.generation);
        let (starts_afresh, mut next, changes) = session.with(|core, now| {
            core.disarm(now);
            if uplinks_changed {
                follow_uplinks(core, now, &snapshot, session.totals());
            }
            let resumed = std::mem::take(&mut core.was_suspended);
            let starts_afresh = std::mem::take(&mut core.peer_changed) || resumed;
            let late_by = late_by.unwrap_or_default();
            let probes = std::mem::take(&mut core.may_be_restarted) || resumed;
            let wake = Wake { late_by, probes, uplinks: &snapshot };
            core.session.handle_timeout(now);
            let linger = end_after_linger(core, now, session.is_established());
            let changes = observe_lanes(core, session.log(), now, &wake);
            (starts_afresh, linger, changes)
        });
        if changes.moved {
            session.lanes_changed();
        } else if changes.judged || uplinks_changed {
            session.lane_states_changed();
        }
        if session.is_over() {
            return;
        }
        if starts_afresh {
            dialer.reset_backoff();
        }
        next = earliest(next, dialer.step(&session, &snapshot));
        next = session.arm(next);
        fired = tokio::select! {
            () = sleep_until(next) => next,
            () = alarm.notified() => None,
            () = changed(&mut uplinks) => None,
            () = dialer.answered(&session) => None,
        };
    }
}

/// How long a session that no lane has ever attached to is kept at least, however short its linger
/// time: some dials, each with its time-out.
const MIN_CONNECTING: Duration = Duration::from_secs(60);

/// Ends a session that was without a lane for too long; returns when it would be.
fn end_after_linger(core: &mut Core, now: Instant, established: bool) -> Option<Instant> {
    let since = core.detached_since?;
    let linger = core.session.params().linger;
    let patience = if established { linger } else { linger.max(MIN_CONNECTING) };
    let left = patience.saturating_sub(since.elapsed());
    if left.is_zero() {
        core.session.handle_session_lost("no lane came back within the linger time");
    }
    Some(now + left)
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

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}
