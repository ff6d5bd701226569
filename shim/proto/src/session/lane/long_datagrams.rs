//! The long datagrams that a lane carries, each on a stream of its own, and the flows whose next one waits for room.

use std::collections::{BTreeMap, BTreeSet};

use crate::datagram::{MAX_LONG, MAX_LONG_BYTES, MAX_LONG_OF_FLOW};
use crate::types::FlowId;

/// The long datagrams that a lane carries.
#[derive(Debug)]
pub(in crate::session) struct LongDatagrams {
    /// How long each is, by flow and number.
    under_way: BTreeMap<(FlowId, u64), usize>,
    bytes: usize,
    /// How many bytes the path takes at a time.
    window: usize,
    /// Flows whose next datagram waits for room.
    waiting: BTreeSet<FlowId>,
}

impl Default for LongDatagrams {
    fn default() -> Self {
        let (under_way, waiting) = (BTreeMap::new(), BTreeSet::new());
        Self { under_way, bytes: 0, window: MAX_LONG_BYTES, waiting }
    }
}

impl LongDatagrams {
    /// Sets how many bytes the path takes at a time.
    pub(in crate::session) fn set_window(&mut self, bytes: usize) {
        self.window = bytes.min(MAX_LONG_BYTES);
    }

    /// Returns whether there is room for one more of a flow. One alone always has room.
    pub(in crate::session) fn has_room(&self, flow: FlowId, len: usize) -> bool {
        let of_flow = self.under_way.range((flow, 0)..=(flow, u64::MAX)).map(|(_, len)| len);
        let of_flow: usize = of_flow.sum();
        let fits = self.bytes + len <= self.window && self.under_way.len() < MAX_LONG;
        self.under_way.is_empty() || fits && of_flow + len <= MAX_LONG_OF_FLOW
    }

    /// Takes note that a flow waits for room.
    pub(in crate::session) fn wait(&mut self, flow: FlowId) {
        self.waiting.insert(flow);
    }

    /// Returns the flows that waited.
    pub(in crate::session) fn take_waiting(&mut self) -> BTreeSet<FlowId> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes note that the lane carries one.
    pub(in crate::session) fn begin(&mut self, flow: FlowId, seq: u64, len: usize) {
        self.bytes += len;
        if let Some(before) = self.under_way.insert((flow, seq), len) {
            self.bytes -= before;
        }
    }

    /// Takes note that one has arrived, or was given up; returns whether the lane carried it.
    pub(in crate::session) fn end(&mut self, flow: FlowId, seq: u64) -> bool {
        let len = self.under_way.remove(&(flow, seq));
        self.bytes -= len.unwrap_or(0);
        len.is_some()
    }

    /// Returns those that the lane carries.
    pub(in crate::session) fn under_way(&self) -> impl Iterator<Item = (FlowId, u64)> + '_ {
        self.under_way.keys().copied()
    }

    /// Returns how many bytes of long datagrams the lane carries.
    #[cfg(test)]
    pub(in crate::session) fn bytes(&self) -> usize {
        self.bytes
    }
}
