//! Reports which uplinks, and which prefixes of the peer, are held down.

use std::time::Duration;

use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use throughline_proto::hold_down::FailureDomain;

/// What was reported as held down.
#[derive(Default)]
pub(super) struct HoldDownReporter {
    held_down: Vec<FailureDomain>,
}

impl HoldDownReporter {
    /// Emits an event for each failure domain that is held down from now on, or no longer.
    pub(super) fn report(
        &mut self,
        session: &SessionHandle,
        held_down: Vec<(FailureDomain, Duration)>,
    ) {
        for (domain, duration) in &held_down {
            if !self.held_down.contains(domain) {
                let reason = "it failed while others answered".to_owned();
                let started = EventKind::HoldDownStarted { duration: *duration, reason };
                session.log().emit_over(Some(domain.to_string()), started);
            }
        }
        let ended = |domain: &&FailureDomain| !held_down.iter().any(|(held, _)| held == *domain);
        for domain in self.held_down.iter().filter(ended) {
            session.log().emit_over(Some(domain.to_string()), EventKind::HoldDownEnded);
        }
        self.held_down = held_down.into_iter().map(|(domain, _)| domain).collect();
    }
}
