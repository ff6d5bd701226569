//! What becomes of dials that fail: a line in the log for each path and reason, the reason that
//! `status` shows, and an event once nothing gets through at all.
//!
//! Dials run side by side, and of several paths one may fail while another is about to succeed. So a
//! peer counts as unreachable only when no dial is under way, or when the first failure is older than
//! a dial can get: then every dial that ran beside it has failed as well.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::attempt::{DialError, MAX_DIAL_TIMEOUT};
use crate::engine::allowances::Allowances;
use crate::engine::context::NodeContext;
use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use throughline_proto::path::PathKey;
use throughline_proto::throttle::LogThrottle;
use throughline_uplinks::Snapshot;

/// Reasons reported until a lane is up. Who answers our dials can name a new one each time, and
/// what is worth knowing has been said by then.
const MAX_REASONS: usize = 8;

/// What was logged and reported of a session's failed dials.
#[derive(Default)]
pub(super) struct DialFailures {
    logged: LogThrottle<(PathKey, String)>,
    unreachable: UnreachableReporter,
}

/// Why there is nothing to dial from, or nothing to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPath {
    PeerUnresolved,
    UplinksUnaddressed,
    UplinksForbidden,
    Unrouted,
}

impl NoPath {
    pub(super) fn new(knows_an_address: bool, uplinks: &Snapshot, allowances: &Allowances) -> Self {
        let mut addressed = uplinks.uplinks.iter().filter(|uplink| uplink.ips().next().is_some());
        if !knows_an_address {
            Self::PeerUnresolved
        } else if addressed.clone().next().is_none() {
            Self::UplinksUnaddressed
        } else if addressed.all(|uplink| allowances.forbids(&uplink.name)) {
            Self::UplinksForbidden
        } else {
            Self::Unrouted
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::PeerUnresolved => {
                "none of its locators has an address: their names do not resolve"
            }
            Self::UplinksUnaddressed => "no uplink has an address",
            Self::UplinksForbidden => {
                "no uplink that has an address may be used any more: its budget is spent"
            }
            Self::Unrouted => {
                "from no address of the uplinks does a route lead to any of its locators"
            }
        }
    }
}

impl DialFailures {
    /// Forgets what failed, as a dial over `path` succeeded: the next failure is news.
    pub(super) fn reset(&mut self, path: PathKey) {
        self.unreachable.reset();
        self.logged.forget(|(logged, _)| *logged == path);
    }

    /// Logs a failed dial and notes it for `status`. Only what somebody has to mend is a warning, and
    /// only what was not logged of late is more than a detail.
    pub(super) fn log(
        &mut self,
        session: &SessionHandle,
        context: &NodeContext,
        path: PathKey,
        error: &DialError,
    ) {
        let PathKey { local, remote } = path;
        let (peer, id) = (session.name(), session.id());
        let is_news = self.logged.admit(Instant::now(), (path, error.to_string())).is_some()
            && session.log().admits_line();
        match error.is_expected() {
            false if is_news => {
                warn!(%peer, session = %id, %local, %remote, "dial failed: {error}");
            }
            true if is_news => {
                info!(%peer, session = %id, %local, %remote, "dial failed: {error}");
            }
            _ => debug!(%peer, session = %id, %local, %remote, "dial failed: {error}"),
        }
        // One uplink or address family may be dead while lanes over others answer.
        let reached = session.with(|core, _| core.answers());
        let text = format!("from {local} to {remote}: {error}");
        if reached && error.is_of_a_key() {
            context.peers.key_refused(session.peer(), text.clone());
        }
        match reached {
            true => context.peers.reached(session.peer()),
            false => context.peers.dial_failed(session.peer(), text),
        }
    }

    /// Emits an event where a failed dial means that the peer is unreachable.
    pub(super) fn report(
        &mut self,
        session: &SessionHandle,
        path: PathKey,
        uplink: Option<String>,
        error: &DialError,
        others_under_way: bool,
    ) {
        if session.with(|core, _| !core.lanes.is_empty()) {
            self.unreachable.reset();
            return;
        }
        let (now, reason) = (Instant::now(), error.to_string());
        if let Some(duration) = self.unreachable.failed(now, &reason, others_under_way) {
            let dial = Some((path.local, path.remote));
            let unreachable = EventKind::PeerUnreachable { dial, reason, duration };
            session.log().emit_over(uplink, unreachable);
        }
    }

    /// Notes that no dial is possible, and emits an event where that lasts.
    pub(super) fn no_path(
        &mut self,
        session: &SessionHandle,
        context: &NodeContext,
        now: Instant,
        no_path: NoPath,
    ) {
        let reason = no_path.reason();
        context.peers.dial_failed(session.peer(), reason.to_owned());
        // Names are being resolved, addresses may be about to come.
        if let Some(duration) = self.unreachable.failed(now, reason, true) {
            let reason = format!("no dial is possible: {reason}");
            session.log().emit(EventKind::PeerUnreachable { dial: None, reason, duration });
        }
    }
}

/// Decides when a peer that no dial reaches is reported, and with which reasons.
#[derive(Debug)]
struct UnreachableReporter {
    since: Option<Instant>,
    reasons: LogThrottle<String>,
}

impl Default for UnreachableReporter {
    fn default() -> Self {
        Self { since: None, reasons: LogThrottle::until_forgotten(MAX_REASONS) }
    }
}

impl UnreachableReporter {
    /// Starts afresh, as a lane is up: whatever fails from now on is reported anew.
    fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns for how long no dial has got through, if this failure is to be reported: once for
    /// each reason, and while `others_under_way` only after they had their time.
    fn failed(&mut self, now: Instant, reason: &str, others_under_way: bool) -> Option<Duration> {
        let duration = now.saturating_duration_since(*self.since.get_or_insert(now));
        if others_under_way && duration < MAX_DIAL_TIMEOUT {
            return None;
        }
        self.reasons.admit(now, reason.to_owned()).map(|_| duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_when_nothing_else_is_tried_and_once_for_each_reason() {
        const TIMEOUT: Duration = MAX_DIAL_TIMEOUT;
        let (mut reporter, t) = (UnreachableReporter::default(), Instant::now());
        assert_eq!(reporter.failed(t, "a", true), None);
        assert_eq!(reporter.failed(t + TIMEOUT / 2, "a", false), Some(TIMEOUT / 2));
        assert_eq!(reporter.failed(t + TIMEOUT, "a", false), None);
        // Paths are dialed in turn, so that one is always under way.
        assert_eq!(reporter.failed(t + TIMEOUT, "b", true), Some(TIMEOUT));
        let many = (0..100).filter(|i| reporter.failed(t, &i.to_string(), false).is_some());
        assert_eq!(many.count(), MAX_REASONS - 2);
    }
}
