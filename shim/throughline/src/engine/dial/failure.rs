//! What becomes of dials that fail: a line in the log for each path and reason, the reason that
//! `status` shows, and an event once nothing gets through at all.
//!
//! Dials run side by side, and of several paths one may fail while another is about to succeed. So a
//! peer counts as unreachable only when no dial is under way, or when the first failure is older than
//! a dial can get: then every dial that ran beside it has failed as well.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::attempt::DialError;
use super::{Dialer, MOST_PATIENCE};
use crate::engine::lane::handshake::HandshakeError;
use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use throughline_proto::path::PathKey;
use throughline_proto::throttle::LogThrottle;
use throughline_proto::wire::hello::RejectCode;
use throughline_uplinks::Snapshot;

/// Reasons reported until a lane is up. Who answers our dials can name a new one each time, and
/// what is worth knowing has been said by then.
const MAX_REASONS: usize = 8;

/// Decides when a peer that no dial reaches is reported, and with which reasons.
#[derive(Debug)]
pub(super) struct UnreachableReporter {
    since: Option<Instant>,
    reasons: LogThrottle<String>,
}

impl Default for UnreachableReporter {
    fn default() -> Self {
        Self { since: None, reasons: LogThrottle::until_forgotten(MAX_REASONS) }
    }
}

impl UnreachableReporter {
    /// A lane is up: whatever fails from now on is reported anew.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns for how long no dial has got through, if this failure is to be reported: once for
    /// each reason, and while `others_under_way` only after they had their time.
    fn failed(&mut self, now: Instant, reason: &str, others_under_way: bool) -> Option<Duration> {
        let duration = now.saturating_duration_since(*self.since.get_or_insert(now));
        if others_under_way && duration < MOST_PATIENCE {
            return None;
        }
        self.reasons.admit(now, reason.to_owned()).map(|_| duration)
    }
}

impl Dialer {
    pub(super) fn failed(&mut self, session: &SessionHandle, key: PathKey, error: &DialError) {
        let PathKey { local, remote } = key;
        let (now, why) = (Instant::now(), error.to_string());
        let news = self.failure_log.admit(now, (key, why.clone())).is_some();
        match error.is_expected() {
            false if news => warn!(peer = %session.name(), %local, %remote, "dial failed: {error}"),
            true if news => info!(peer = %session.name(), %local, %remote, "dial failed: {error}"),
            _ => debug!(peer = %session.name(), %local, %remote, "dial failed: {error}"),
        }
        self.context.peers.dial_failed(self.peer, format!("from {local} to {remote}: {error}"));
        if let DialError::Handshake(HandshakeError::Rejected { code, detail }) = error {
            match code {
                RejectCode::UnknownSession => {
                    warn!(peer = %session.name(), session = %session.id(), "peer restarted; flows end");
                    return session.lose("peer restarted and no longer knows the session");
                }
                RejectCode::Stale | RejectCode::Superseded => {
                    return session.lose(&format!("session given up: {detail}"));
                }
                _ => {}
            }
        }
        if session.with(|core, _| !core.lanes.is_empty()) {
            self.unreachable.reset();
        } else if let Some(duration) =
            self.unreachable.failed(now, &why, !self.under_way.is_empty())
        {
            let uplink = self.paths.iter().find(|path| path.key() == key);
            let dial = Some((local, remote));
            session.log().emit_over(
                uplink.map(|path| path.uplink.clone()),
                EventKind::PeerUnreachable { dial, reason: why, duration },
            );
        }
    }

    /// There is nothing to dial from, or nothing to dial.
    pub(super) fn no_way(&mut self, session: &SessionHandle, now: Instant, uplinks: &Snapshot) {
        let why = if !self.addressed {
            "none of its locators has an address: their names do not resolve"
        } else if uplinks.uplinks.iter().all(|uplink| uplink.ips().next().is_none()) {
            "no uplink has an address"
        } else {
            "from no address of the uplinks does a route lead to any of its locators"
        };
        self.context.peers.dial_failed(self.peer, why.to_owned());
        // Names are being resolved, addresses may be about to come.
        if let Some(duration) = self.unreachable.failed(now, why, true) {
            let reason = format!("no dial is possible: {why}");
            session.log().emit(EventKind::PeerUnreachable { dial: None, reason, duration });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_when_nothing_else_is_tried_and_once_for_each_reason() {
        let (mut reporter, t) = (UnreachableReporter::default(), Instant::now());
        assert_eq!(reporter.failed(t, "a", true), None);
        assert_eq!(reporter.failed(t + MOST_PATIENCE / 2, "a", false), Some(MOST_PATIENCE / 2));
        assert_eq!(reporter.failed(t + MOST_PATIENCE, "a", false), None);
        // Paths are dialled in turn, so that one is always under way.
        assert_eq!(reporter.failed(t + MOST_PATIENCE, "b", true), Some(MOST_PATIENCE));
        let many = (0..100).filter(|i| reporter.failed(t, &i.to_string(), false).is_some());
        assert_eq!(many.count(), MAX_REASONS - 2);
    }
}
