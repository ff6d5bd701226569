//! Advertises to the peer how the lanes that we dialed are to be used.

use std::time::Instant;

use tracing::info;

use crate::engine::context::NodeContext;
use crate::engine::session::SessionHandle;
use throughline_proto::plan::{LaneView, PlanActions, Planner};
use throughline_proto::selection::Cost;
use throughline_proto::types::LaneId;

/// What was advertised of the lanes, as far as it is logged.
#[derive(Default)]
pub(super) struct LaneUses {
    /// The lanes that drain and stay in use.
    last_resort: Vec<LaneId>,
}

impl LaneUses {
    /// Advertises what each lane costs and whether it drains, where that is new.
    pub(super) fn advertise(
        &mut self,
        session: &SessionHandle,
        (context, planner): (&NodeContext, &Planner),
        now: Instant,
        lanes: &[LaneView],
        plan: &PlanActions,
    ) {
        session.with(|core, at| {
            for view in lanes {
                let Some(lane) = core.lanes.get_mut(&view.id) else { continue };
                let Some(dialed) = lane.dialed_mut() else { continue };
                let hold_state = planner.hold_state(now, view);
                let charge = context.charge(&dialed.uplink, dialed.metered);
                dialed.cost = Cost::of_charge(dialed.order, charge, hold_state);
                core.session.advertise_use(at, view.id, dialed.cost, plan.drain.contains(&view.id));
            }
        });
        for id in plan.last_resort.iter().filter(|id| !self.last_resort.contains(id)) {
            info!(peer = %session.name(), session = %session.id(), lane = %id,
                  "lane drains, but stays in use: there is no other");
        }
        self.last_resort.clone_from(&plan.last_resort);
    }
}
