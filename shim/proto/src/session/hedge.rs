//! How much may be sent again on a guess.
//!
//! A suspicion may be wrong. While it is only a guess, the bytes that are sent again are bounded by a
//! share of the acknowledged ones, so that wrong guesses cost little. Once the lane has shown no
//! progress for a whole probe timeout the suspicion is confirmed, and the bound is lifted.

/// The bytes that may be sent again before anything is acknowledged: the flight of a narrow path.
const INITIAL_BUDGET: u64 = 128 * 1024;

/// The most bytes that are saved up: what a cold lane can take until a probe timeout has passed.
const MAX_BUDGET: u64 = 512 * 1024;

/// The acknowledged bytes that earn one byte: what is sent again costs 5 % at most.
const ACKED_PER_BYTE: u64 = 20;

/// A token bucket of bytes that may be sent again on a guess.
#[derive(Debug)]
pub(super) struct HedgeBudget {
    tokens: u64,
    /// The acknowledged bytes that have not earned a whole byte yet.
    rest: u64,
}

impl Default for HedgeBudget {
    fn default() -> Self {
        Self { tokens: INITIAL_BUDGET, rest: 0 }
    }
}

impl HedgeBudget {
    /// Adds the share of bytes that were acknowledged.
    pub(super) fn earn(&mut self, acked: u64) {
        self.rest += acked;
        self.tokens = (self.tokens + self.rest / ACKED_PER_BYTE).min(MAX_BUDGET);
        self.rest %= ACKED_PER_BYTE;
    }

    /// Returns how many bytes may be sent again now.
    pub(super) fn available(&self) -> u64 {
        self.tokens
    }

    /// Takes bytes that were sent again on a guess.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_cost_at_most_a_twentieth_of_what_was_acknowledged() {
        let mut budget = HedgeBudget::default();
        budget.spend(budget.available());
        assert_eq!(budget.available(), 0);
        (0..1000).for_each(|_| budget.earn(1001));
        assert_eq!(budget.available(), 50_050);
        budget.earn(u64::MAX / 2);
        assert_eq!(budget.available(), MAX_BUDGET);
    }
}
