//! How much may be sent again because the rest of a flow waits for it.
//!
//! A flow whose window is full, or that is at its end, waits for what one lane delivers late. A lane
//! that has nothing else to do for the flow then sends it again (opportunistic retransmission, Raiciu
//! et al., NSDI 2012). Nothing is lost there, so it must cost next to nothing.

/// The bytes that may be rescued before anything is acknowledged.
const INITIAL_BUDGET: u64 = 64 * 1024;

/// The most bytes that are saved up: the chunks under way on a slow lane.
const MAX_BUDGET: u64 = 256 * 1024;

/// The acknowledged bytes that earn one byte: what is rescued costs a fiftieth at most, and only while
/// a flow can send nothing else, or has waited for half a second.
const ACKED_PER_BYTE: u64 = 50;

/// A token bucket of bytes that may be rescued.
#[derive(Debug)]
pub(super) struct RescueBudget {
    /// The acknowledged bytes that were not spent, a fiftieth of which may be rescued.
    earned: u64,
}

impl Default for RescueBudget {
    fn default() -> Self {
        Self { earned: INITIAL_BUDGET * ACKED_PER_BYTE }
    }
}

impl RescueBudget {
    /// Adds the share of bytes that were acknowledged.
    pub(super) fn earn(&mut self, acked: u64) {
        self.earned = self.earned.saturating_add(acked).min(MAX_BUDGET * ACKED_PER_BYTE);
    }

    /// Returns how many bytes may be rescued now.
    pub(super) fn available(&self) -> u64 {
        self.earned / ACKED_PER_BYTE
    }

    /// Takes bytes that were rescued.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.earned = self.earned.saturating_sub(bytes.saturating_mul(ACKED_PER_BYTE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescues_cost_at_most_a_fiftieth_of_what_was_acknowledged() {
        let mut budget = RescueBudget::default();
        budget.spend(budget.available());
        assert_eq!(budget.available(), 0);
        (0..1000).for_each(|_| budget.earn(1001));
        assert_eq!(budget.available(), 20_020);
        budget.earn(u64::MAX);
        assert_eq!(budget.available(), MAX_BUDGET);
    }
}
