//! Ends a node in order: no new flows, the live ones until the deadline, sessions closed with a
//! message to the peer, endpoints last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::listeners::Listeners;
use super::router::Router;
use crate::engine::quic::close::CLOSE_FLUSH;
use crate::engine::sessions::Sessions;

/// Poll interval for flows and lanes that are ending, which have no wake-up.
const END_POLL: Duration = Duration::from_millis(10);

/// Ends the node whose parts these are.
pub(super) async fn end(
    sessions: &Arc<Sessions>,
    router: &Router,
    listeners: &Listeners,
    deadline: Duration,
) {
    sessions.shut_down();
    router.close();
    let until = Instant::now() + deadline;
    while sessions.live_flows() > 0 && Instant::now() < until {
        sleep(END_POLL).await;
    }
    let ending: Vec<_> = sessions.all().collect();
    for session in &ending {
        session.with(|core, _| core.session.close(0, "shutting down"));
    }
    // Each lane ends when the peer has the close message, or after `CLOSE_FLUSH` by itself.
    let last = Instant::now() + 2 * CLOSE_FLUSH;
    let speaking = || ending.iter().any(|s| s.with(|core, _| !core.lanes.is_empty()));
    while speaking() && Instant::now() < last {
        sleep(END_POLL).await;
    }
    let endpoints = listeners.endpoints();
    for endpoint in &endpoints {
        endpoint.close(0u8.into(), b"shutting down");
    }
    let idle = async {
        for endpoint in &endpoints {
            endpoint.wait_idle().await;
        }
    };
    // The peer acknowledges the close, unless it is gone.
    let _ = timeout(CLOSE_FLUSH, idle).await;
    // Last, since the close messages need them: the routes that we installed.
    sessions.context.uplinks.end().await;
}
