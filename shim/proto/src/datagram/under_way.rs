//! The long datagrams of a flow that are on streams of lanes, and whether any copy of each arrives.

use std::collections::BTreeMap;

/// The long datagrams that are under way, by number.
#[derive(Debug, Default)]
pub struct UnderWay(BTreeMap<u64, CopyState>);

#[derive(Debug, Default)]
struct CopyState {
    under_way: usize,
    arrived: bool,
}

impl UnderWay {
    /// Takes note that a lane carries a copy.
    pub fn begin(&mut self, seq: u64) {
        self.0.entry(seq).or_default().under_way += 1;
    }

    /// Takes note that a copy arrived, or was given up; returns whether all were given up now.
    pub fn end(&mut self, seq: u64, arrived: bool) -> bool {
        let Some(copy) = self.0.get_mut(&seq) else { return false };
        copy.arrived |= arrived;
        copy.under_way -= 1;
        let is_lost = copy.under_way == 0 && !copy.arrived;
        if copy.under_way == 0 {
            self.0.remove(&seq);
        }
        is_lost
    }

    /// Returns whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_lost_when_its_last_copy_is_given_up() {
        let mut under_way = UnderWay::default();
        under_way.begin(7);
        under_way.begin(7);
        under_way.begin(8);
        assert!(!under_way.end(7, false) && !under_way.end(7, true));
        assert!(under_way.end(8, false));
        assert!(under_way.is_empty() && !under_way.end(8, false));
    }
}
