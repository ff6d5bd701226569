//! Dispatches control messages from the peer.

use std::time::Instant;

use super::advertised::Advertisement;
use super::{Session, Violation};
use crate::types::LaneId;
use crate::wire::control::Message;

impl Session {
    /// Takes a control message that arrived on `lane` after the `Hello` exchange.
    pub fn handle_control(
        &mut self,
        now: Instant,
        lane: LaneId,
        message: Message,
    ) -> Result<(), Violation> {
        if self.closed.is_some() {
            return Ok(());
        }
        match message {
            Message::FlowState(state) => self.handle_flow_state(now, state)?,
            Message::FactAck(acks) => {
                for (flow, version) in acks {
                    self.handle_fact_ack(flow, version);
                }
            }
            Message::EndOfSync => {
                let lane = self.lanes.get_mut(&lane);
                // Said again it changes nothing, and must not cost a look at every flow.
                if lane.is_some_and(|lane| !std::mem::replace(&mut lane.synced, true)) {
                    self.schedule_all(now);
                }
            }
            Message::LaneHealth(health) => self.advertised(now, Advertisement::Health(health)),
            Message::LaneUse(lane_use) => self.advertised(now, Advertisement::Use(lane_use)),
            Message::Locators(locators) => self.handle_peer_locators(locators),
            Message::Close { detail, .. } => self.end(format!("closed by the peer: {detail}")),
            Message::Hello(_) => return Err(Violation::OutOfPlace("Hello")),
            Message::Welcome(_) => return Err(Violation::OutOfPlace("Welcome")),
            Message::Reject(_) => return Err(Violation::OutOfPlace("Reject")),
        }
        Ok(())
    }
}
