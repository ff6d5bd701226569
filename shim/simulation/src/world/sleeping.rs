//! A host that sleeps: starved of the processor, stopped (SIGSTOP), or suspended.
//!
//! Its timers and sockets stand still. What is sent to it waits in a socket's buffer, and what finds the
//! buffer full is lost. When it wakes its timers fire late, and it reads what waits.

use super::{SimEvent, World};
use crate::link::Nanos;

impl World {
    pub(super) fn is_asleep(&self, side: usize) -> bool {
        self.now < self.sleeps[side].until()
    }

    /// Returns when both hosts are awake.
    pub(super) fn awake_at(&self) -> Nanos {
        self.sleeps[0].until().max(self.sleeps[1].until())
    }

    /// Returns an event that happens now. What a sleeping host would do it does when it wakes; a
    /// packet that its socket has no room for is lost.
    pub(super) fn unless_asleep(&mut self, what: SimEvent) -> Option<SimEvent> {
        let Some(side) = self.host_of(&what).filter(|side| self.is_asleep(*side)) else {
            return Some(what);
        };
        let (now, wakes_at) = (self.now, self.sleeps[side].until());
        let due = match &what {
            SimEvent::Arrive { packet, .. } => {
                self.sleeps[side].buffer(packet.size(), self.plan.socket_buffer)
            }
            SimEvent::LaneTimer { lane, .. } => {
                let lane = self.lanes.get_mut(lane);
                lane.is_some_and(|lane| postpone(&mut lane.armed[side], now, wakes_at))
            }
            SimEvent::SessionTimer { .. } => postpone(&mut self.hosts[side].armed, now, wakes_at),
            SimEvent::Plan => postpone(&mut self.plan_at, now, wakes_at),
            SimEvent::Step { flow, half, .. } => {
                let app = self.flows[*flow].apps[side].as_mut();
                app.and_then(|app| app.due[*half].as_mut())
                    .is_some_and(|due| postpone(due, now, wakes_at))
            }
            _ => true,
        };
        if due {
            self.at(wakes_at, what);
        }
        None
    }

    /// Returns whose doing an event is, if a host's.
    fn host_of(&self, what: &SimEvent) -> Option<usize> {
        match what {
            SimEvent::Arrive { side, .. }
            | SimEvent::LaneTimer { side, .. }
            | SimEvent::SessionTimer { side }
            | SimEvent::Attach { side, .. }
            | SimEvent::Talk { side, .. }
            | SimEvent::Step { side, .. } => Some(*side),
            SimEvent::Handshake { .. }
            | SimEvent::GiveUp { .. }
            | SimEvent::PathAnswered(_)
            | SimEvent::Plan => Some(0),
            SimEvent::Open { flow } => Some(self.flows[*flow].plan.opener),
            SimEvent::Answer { flow, .. } => Some(1 - self.flows[*flow].plan.opener),
            SimEvent::Misfortune(_)
            | SimEvent::HandedOver(_)
            | SimEvent::Recover(_)
            | SimEvent::Heal => None,
        }
    }
}

/// Postpones what was due now; returns whether it was.
fn postpone(due: &mut Nanos, now: Nanos, until: Nanos) -> bool {
    let is_due = *due == now;
    *due = if is_due { until } else { *due };
    is_due
}
