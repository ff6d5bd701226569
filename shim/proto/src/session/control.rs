//! Control messages from the peer.

use std::time::Instant;

use super::{Session, Violation};
use crate::types::LaneId;
use crate::wire::control::Message;

impl Session {
    /// Takes a control message that came on `lane`, after the `Hello` exchange.
    pub fn control(
        &mut self,
        now: Instant,
        lane: LaneId,
        message: Message,
    ) -> Result<(), Violation> {
        if self.closed.is_some() {
            return Ok(());
        }
        match message {
            Message::FlowState(state) => self.flow_state(now, state)?,
            Message::FactAck(echoes) => {
                for (flow, version) in echoes {
                    self.echoed(flow, version);
                }
            }
            Message::EndOfSync => {
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.synced = true;
                }
                self.reconsider(now);
            }
            Message::LaneHealth(word) => self.peer_suspects(now, word),
            Message::LaneUse(word) => self.peer_lane_use(now, word),
            Message::Locators(locators) => self.peer_says_locators(locators),
            Message::Close { detail, .. } => self.end(format!("closed by the peer: {detail}")),
            Message::Hello(_) => return Err(Violation::OutOfPlace("Hello")),
            Message::Welcome(_) => return Err(Violation::OutOfPlace("Welcome")),
            Message::Reject(_) => return Err(Violation::OutOfPlace("Reject")),
        }
        Ok(())
    }
}
