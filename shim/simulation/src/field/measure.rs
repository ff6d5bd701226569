//! What came of a run.

use std::time::Duration;

use super::application::Move;
use super::lane_report::LaneReport;
use super::{Field, FieldFlow};
use crate::quic::percentile;

impl Field {
    /// Takes note of what flows use now.
    pub(super) fn measure(&mut self) {
        for flow in &mut self.flows {
            let Some(id) = flow.id() else { continue };
            for (side, session) in self.sessions.iter().enumerate() {
                let Some(state) = session.flow(id) else { continue };
                let primary = state.tx.placement.primary;
                if primary != flow.primaries[side] {
                    if self.trace {
                        println!(
                            "{:?} side {side} {id}: {:?} -> {primary:?}",
                            self.network.elapsed(),
                            flow.primaries[side]
                        );
                    }
                    if let Some(left) = flow.primaries[side].filter(|_| primary.is_some()) {
                        flow.moves.push(Move {
                            at: self.network.elapsed(),
                            side,
                            from: self.lanes.get(&left).map(|lane| lane.isp),
                            suspect: !session.lane_is_up(left),
                        });
                    }
                    flow.primaries[side] = primary;
                }
            }
        }
    }

    /// Returns the Mbit/s that a flow's reader had between two times.
    pub fn goodput(&self, flow: FieldFlow, from: Duration, until: Duration) -> f64 {
        let arrived = self.flows[flow.0].arrived.iter();
        let bytes: u64 =
            arrived.filter(|(at, _)| (from..until).contains(at)).map(|(_, bytes)| bytes).sum();
        bytes as f64 * 8e-6 / (until - from).as_secs_f64()
    }

    /// Returns how many bytes of a flow were read, at both ends together.
    pub fn bytes_read(&self, flow: FieldFlow) -> u64 {
        self.flows[flow.0].bytes_read()
    }

    /// Returns the longest time between two times in which a flow's reader got nothing.
    pub fn longest_gap(&self, flow: FieldFlow, from: Duration, until: Duration) -> Duration {
        let arrived = self.flows[flow.0].arrived.iter().map(|(at, _)| *at);
        let within = arrived.filter(|at| (from..until).contains(at));
        let (longest, last) =
            within.fold((Duration::ZERO, from), |(longest, last), at| (longest.max(at - last), at));
        longest.max(until.min(self.network.elapsed()).saturating_sub(last))
    }

    /// Returns how long messages or pages took that were asked for between two times; of one that is not
    /// complete, how long it has waited.
    pub fn latencies(&self, flow: FieldFlow, from: Duration, until: Duration) -> Vec<Duration> {
        let flow = &self.flows[flow.0];
        let now = self.network.elapsed();
        let done =
            flow.latencies.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, t)| *t);
        let waits = flow.waiting().filter(|at| (from..until).contains(at)).map(|at| now - at);
        done.chain(waits).collect()
    }

    /// Returns a percentile of [`latencies`](Self::latencies).
    pub fn latency_at(
        &self,
        flow: FieldFlow,
        part: f64,
        from: Duration,
        until: Duration,
    ) -> Duration {
        percentile(self.latencies(flow, from, until), part)
    }

    /// Returns the size of the packets that both ends of an ISP's oldest lane send.
    pub fn mtus(&mut self, isp: usize) -> Option<[u16; 2]> {
        let lane = self.lanes.values().find(|lane| lane.isp == isp)?;
        let hosts = [0, 1].map(|side| lane.ends[side].host);
        let mtus = hosts.map(|host| self.network.host(host).connection().map(|c| c.current_mtu()));
        Some([mtus[0]?, mtus[1]?])
    }

    /// Returns when either end moved a flow to another lane.
    pub fn moves(&self, flow: FieldFlow) -> &[Move] {
        &self.flows[flow.0].moves
    }

    /// Returns the number of the ISP whose lane an end sends a flow on.
    pub fn lane_of(&self, flow: FieldFlow, side: usize) -> Option<usize> {
        let lane = self.flows[flow.0].primaries[side]?;
        self.lanes.get(&lane).map(|lane| lane.isp)
    }

    /// Returns the part of a flow's bytes that was sent again on another lane.
    pub fn resent(&self, flow: FieldFlow) -> f64 {
        let Some(id) = self.flows[flow.0].id() else { return 0.0 };
        let flows = || self.sessions.iter().filter_map(|session| session.flow(id));
        let resent: u64 = flows().map(|flow| flow.tx.resent).sum();
        let sent: u64 = flows().map(|flow| flow.tx.next).sum();
        resent as f64 / sent.max(1) as f64
    }

    /// Returns when lanes of an ISP ended.
    pub fn closed_at(&self, isp: usize) -> &[Duration] {
        &self.closed[isp]
    }

    /// Returns what happened to the lanes of an ISP, by its number.
    pub fn report(&self, isp: usize) -> LaneReport {
        self.reports[isp]
    }
}
