//! Reports which uplinks, and which prefixes of the peer, are held down.

use std::time::Duration;

use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use throughline_proto::hold_down::FailureDomain;

/// What was reported as held down.
#[derive(Default)]
pub(super) struct HoldDownReporter {
    held_down: Vec<(FailureDomain, Duration)>,
}

impl HoldDownReporter {
    /// Emits an event for each failure domain that is held down from now on, or no longer.
    pub(super) fn report(
        &mut self,
        session: &SessionHandle,
        held_down: Vec<(FailureDomain, Duration)>,
    ) {
        if self.held_down == held_down {
            return;
        }
        let is_known = |known: &[(FailureDomain, Duration)], domain: &FailureDomain| {
            known.iter().any(|(held, _)| held == domain)
        };
        for (domain, duration) in &held_down {
            if !is_known(&self.held_down, domain) {
                let reason = "it failed while others answered".to_owned();
                let started = EventKind::HoldDownStarted { duration: *duration, reason };
                session.log().emit_over(Some(domain.to_string()), started);
            }
        }
        for (domain, _) in self.held_down.iter().filter(|(known, _)| !is_known(&held_down, known)) {
            session.log().emit_over(Some(domain.to_string()), EventKind::HoldDownEnded);
        }
        session.with(|core, _| core.hold_downs.clone_from(&held_down));
        self.held_down = held_down;
    }
}
