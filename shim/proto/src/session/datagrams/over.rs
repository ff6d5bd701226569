//! When a datagram flow is over: idle, released by its application, or its destination unreachable.
//!
//! A flow is idle while nothing is sent or arrives, and some lane is there to bring it: a flow outlives hours without
//! any. Whichever end finds that first resets the flow, with a code that says why.

use std::time::{Duration, Instant};

use super::super::Session;
use super::super::ending::CANCELLED;
use crate::datagram::{Datagrams, LONG_DEADLINE, MAX_AGE};
use crate::selection::Placement;
use crate::types::{FailureCode, FlowId, OpenFailure};

/// The code of the reset of a flow that was idle for too long.
pub const IDLE: u64 = 2;

/// The code of the reset of a flow whose destination cannot be reached, less that of the failure.
const UNREACHABLE: u64 = 16;

/// How long after its last datagram a flow that was released ends: the end goes on every lane, and must not overtake
/// what was sent just before on a slower one.
const END_DELAY: Duration = Duration::from_millis(100);

/// Returns why the destination cannot be reached, if the code of a reset says so.
pub(super) fn failure_of(code: u64) -> Option<OpenFailure> {
    let code = FailureCode::from_wire(code.checked_sub(UNREACHABLE)?);
    let detail = match code {
        FailureCode::Refused => "destination answers that nobody listens on that port",
        FailureCode::HostUnreachable => "destination's host cannot be reached",
        FailureCode::NetworkUnreachable => "destination's network cannot be reached",
        FailureCode::NotAllowed => "destination is not allowed any more",
        _ => "destination cannot be reached any more",
    };
    Some(OpenFailure::new(code, detail))
}

impl Session {
    /// Releases a datagram flow. It ends when what waits has been sent, or is too old.
    pub fn release_datagrams(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.app.reader_gone = true;
        flow.app.writer_gone = true;
        let is_reset = flow.is_reset();
        let Some(datagrams) = &mut flow.datagrams else { return };
        datagrams.rx.clear();
        datagrams.ending = true;
        let ends_at = datagrams.active_at.map_or(now, |at| at + END_DELAY);
        let is_under_way = !datagrams.under_way.is_empty();
        match datagrams.tx.has_untaken() {
            _ if is_reset => {}
            // Sooner if they arrive sooner.
            false if is_under_way => self.check_datagram_flow_at(id, now + LONG_DEADLINE),
            true => self.check_datagram_flow_at(id, now + MAX_AGE),
            false if ends_at > now => self.check_datagram_flow_at(id, ends_at),
            false => self.reset(now, id, CANCELLED),
        }
        self.maybe_forget(id);
    }

    /// Ends a datagram flow whose destination cannot be reached, or may not be any more.
    pub fn fail_datagrams(&mut self, now: Instant, id: FlowId, code: FailureCode) {
        if self.flows.get(&id).is_some_and(|flow| flow.datagrams.is_some()) {
            self.reset(now, id, UNREACHABLE + code.to_wire());
        }
    }

    /// Ends a flow soon that was released, once nothing waits.
    pub(super) fn end_if_sent(&mut self, now: Instant, id: FlowId) {
        let datagrams = self.flows.get(&id).and_then(|flow| flow.datagrams.as_ref());
        let is_sent = |datagrams: &Datagrams| {
            datagrams.ending && !datagrams.tx.has_untaken() && datagrams.under_way.is_empty()
        };
        if datagrams.is_some_and(|datagrams| is_sent(datagrams)) {
            self.check_datagram_flow_at(id, now + END_DELAY);
        }
    }

    /// Looks at a flow when what waits in it has been there for too long, although nobody sends or takes any more.
    pub(super) fn expire_in_time(&mut self, id: FlowId) {
        let datagrams = self.flows.get(&id).and_then(|flow| flow.datagrams.as_ref());
        let Some(datagrams) = datagrams.filter(|datagrams| !datagrams.ending) else { return };
        if let Some(at) = datagrams.tx.expires_at()
            && datagrams.check_at.is_none_or(|check| check > at)
        {
            self.check_datagram_flow_at(id, at);
        }
    }

    /// Begins to watch a new flow.
    pub(in crate::session) fn watch_datagram_flow(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get(&id) else { return };
        self.datagram_flows.had_any |= flow.datagrams.is_some();
        if let Some(datagrams) = &flow.datagrams
            && let Some(active_at) = datagrams.active_at
        {
            self.check_datagram_flow_at(id, active_at + datagrams.idle_timeout);
        }
    }

    /// Takes note that a lane has attached: what was idle for want of one begins anew, and flows that were handed
    /// over are watched from now on.
    pub(in crate::session) fn resume_datagram_flows(&mut self, now: Instant, takes: bool) {
        self.datagram_flows.peer_takes = takes;
        if self.lanes.is_empty() {
            self.datagram_flows.attached_at = Some(now);
        }
        let unwatched = self.flows.values().filter_map(|flow| {
            let datagrams = flow.datagrams.as_ref().filter(|d| d.check_at.is_none())?;
            (!flow.is_reset()).then_some((flow.id, now + datagrams.idle_timeout))
        });
        for (id, at) in unwatched.collect::<Vec<_>>() {
            self.check_datagram_flow_at(id, at);
        }
    }

    /// Stops to watch a flow.
    pub(in crate::session) fn unwatch_datagram_flow(&mut self, id: FlowId, at: Option<Instant>) {
        if let Some(at) = at {
            self.datagram_flows.checks.remove(&(at, id));
        }
    }

    /// Returns when a flow is to be looked at.
    pub(in crate::session) fn next_datagram_check(&self) -> Option<Instant> {
        self.datagram_flows.checks.first().map(|(at, _)| *at)
    }

    /// Ends the flows that are over.
    pub(in crate::session) fn check_datagram_flows(&mut self, now: Instant) {
        let is_detached = self.lanes.is_empty();
        let attached_at = self.datagram_flows.attached_at;
        while let Some(&(at, id)) = self.datagram_flows.checks.first()
            && at <= now
        {
            self.datagram_flows.checks.pop_first();
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            let is_reset = flow.is_reset();
            let Some(datagrams) = &mut flow.datagrams else { continue };
            datagrams.check_at = None;
            datagrams.tx.expire(now);
            let expires_at = datagrams.tx.expires_at();
            if is_reset {
                continue;
            }
            if datagrams.ending && !datagrams.under_way.is_empty() {
                // No longer than a lane has for each of them.
                self.check_datagram_flow_at(id, now + END_DELAY);
                continue;
            }
            if datagrams.ending {
                self.reset(now, id, CANCELLED);
                continue;
            }
            let since = datagrams.active_at.max(attached_at).filter(|_| !is_detached);
            let over_at = since.unwrap_or(now) + datagrams.idle_timeout;
            match over_at <= now {
                true => self.reset(now, id, IDLE),
                false => {
                    self.account_buffer(id);
                    let next = expires_at.map_or(over_at, |at| at.min(over_at));
                    self.check_datagram_flow_at(id, next);
                }
            }
        }
    }

    fn check_datagram_flow_at(&mut self, id: FlowId, at: Instant) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let Some(datagrams) = &mut flow.datagrams else { return };
        let before = datagrams.check_at.replace(at);
        self.unwatch_datagram_flow(id, before);
        self.datagram_flows.checks.insert((at, id));
    }

    /// Drops what waits of a flow that is over, and what the session keeps of it.
    pub(in crate::session) fn clear_datagrams(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(&id)
            && let Some(datagrams) = &mut flow.datagrams
        {
            datagrams.tx.clear();
            // A lane with nothing more of it is idle.
            flow.tx.placement = Placement::default();
            self.account_buffer(id);
        }
    }
}
