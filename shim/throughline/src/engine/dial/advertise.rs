//! What the dialler says: to the peer, how lanes are to be used; to whoever follows, what is held
//! down.

use std::time::Instant;

use tracing::info;

use super::Dialer;
use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use throughline_proto::plan::{LaneView, PlanActions};
use throughline_proto::selection::Cost;

impl Dialer {
    /// Says what each lane costs and whether it drains, where that is new.
    pub(super) fn state_uses(
        &mut self,
        session: &SessionHandle,
        now: Instant,
        lanes: &[LaneView],
        plan: &PlanActions,
    ) {
        session.with(|core, at| {
            for view in lanes {
                let Some(lane) = core.lanes.get_mut(&view.id) else { continue };
                let Some(dialled) = lane.dialled_mut() else { continue };
                let hold_state = self.planner.hold_state(now, view);
                dialled.cost = Cost::of_lane(dialled.order, dialled.metered, hold_state);
                core.session.advertise_use(
                    at,
                    view.id,
                    dialled.cost,
                    plan.drain.contains(&view.id),
                );
            }
        });
        for id in &plan.last_resort {
            if !self.last.contains(id) {
                info!(peer = %session.name(), lane = %id,
                      "lane drains, but stays in use: there is no other");
            }
        }
        self.last.clone_from(&plan.last_resort);
    }

    /// Tells which uplinks, and which prefixes of the peer, are held down from now on, or no longer.
    pub(super) fn tell_held(&mut self, session: &SessionHandle, now: Instant) {
        let held = self.planner.held_down(now);
        for (part, lasts) in &held {
            if !self.held.contains(part) {
                let reason = "it failed while others answered".to_owned();
                let started = EventKind::HoldDownStarted { duration: *lasts, reason };
                session.log().emit_over(Some(part.to_string()), started);
            }
        }
        for part in self.held.iter().filter(|part| !held.iter().any(|(p, _)| p == *part)) {
            session.log().emit_over(Some(part.to_string()), EventKind::HoldDownEnded);
        }
        self.held = held.into_iter().map(|(part, _)| part).collect();
    }
}
