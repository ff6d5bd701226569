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
use throughline_proto::plan::Key;
use throughline_proto::wire::hello::RejectCode;
use throughline_uplinks::Snapshot;

/// Reasons told in one spell. Who answers our dials can name a new one each time, and what is worth
/// knowing has been said by then.
const MOST_REASONS: usize = 8;

/// A time in which no dial gets through. It ends with a lane.
#[derive(Debug, Default)]
pub(super) struct Spell {
    since: Option<Instant>,
    told: Vec<String>,
}

impl Spell {
    /// A dial failed; `trying` says that others are under way. For how long none has got through, if
    /// that is to be told: once for each reason.
    fn failed(&mut self, now: Instant, why: &str, trying: bool) -> Option<Duration> {
        let lasts = now.saturating_duration_since(*self.since.get_or_insert(now));
        let hopeful = trying && lasts < MOST_PATIENCE;
        if hopeful || self.told.len() == MOST_REASONS || self.told.iter().any(|t| t == why) {
            return None;
        }
        self.told.push(why.to_owned());
        Some(lasts)
    }
}

impl Dialer {
    pub(super) fn failed(
        &mut self,
        session: &SessionHandle,
        (local, remote): Key,
        error: &DialError,
    ) {
        let (now, why) = (Instant::now(), error.to_string());
        let news = self.said.is_news(now, ((local, remote), why.clone()));
        match error.is_expected() {
            false if news => warn!(peer = %session.name(), %local, %remote, "dial failed: {error}"),
            true if news => info!(peer = %session.name(), %local, %remote, "dial failed: {error}"),
            _ => debug!(peer = %session.name(), %local, %remote, "dial failed: {error}"),
        }
        self.node.not_reached(self.peer, format!("from {local} to {remote}: {error}"));
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
            self.spell = Spell::default();
        } else if let Some(after) = self.spell.failed(now, &why, !self.under_way.is_empty()) {
            let uplink = self.paths.iter().find(|path| path.key() == (local, remote));
            let dial = Some((local, remote));
            session.log().peer_over(
                uplink.map(|path| path.uplink.clone()),
                EventKind::PeerUnreachable { dial, why, after },
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
        self.node.not_reached(self.peer, why.to_owned());
        // Names are being resolved, addresses may be about to come.
        if let Some(after) = self.spell.failed(now, why, true) {
            warn!(peer = %session.name(), "no dial is possible: {why}");
            let why = why.to_owned();
            session.log().peer_over(None, EventKind::PeerUnreachable { dial: None, why, after });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_when_nothing_else_is_tried_and_once_for_each_reason() {
        let (mut spell, t) = (Spell::default(), Instant::now());
        assert_eq!(spell.failed(t, "a", true), None);
        assert_eq!(spell.failed(t + MOST_PATIENCE / 2, "a", false), Some(MOST_PATIENCE / 2));
        assert_eq!(spell.failed(t + MOST_PATIENCE, "a", false), None);
        // Paths are dialled in turn, so that one is always under way.
        assert_eq!(spell.failed(t + MOST_PATIENCE, "b", true), Some(MOST_PATIENCE));
        let many = (0..100).filter(|i| spell.failed(t, &i.to_string(), false).is_some());
        assert_eq!(many.count(), MOST_REASONS - 2);
    }
}
