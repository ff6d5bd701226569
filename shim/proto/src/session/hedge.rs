//! How much may be sent twice on a guess.
//!
//! A suspicion may be wrong. While it is only a guess, what is sent again is bounded by a share
//! of what was acknowledged, so that wrong guesses cost little; once the lane has shown no
//! progress for a whole probe timeout the bound is lifted (`Health::Suspect::confirmed`).

/// Bytes that may be sent again without anything acknowledged: the flight of a thin path.
const BURST: u64 = 128 * 1024;

/// The most that is saved up: what a cold lane can take until a probe timeout has passed.
const CAP: u64 = 512 * 1024;

/// One byte in twenty of what was acknowledged (5 %).
const SHARE: u64 = 20;

/// A token bucket of bytes.
#[derive(Debug)]
pub struct HedgeBudget {
    tokens: u64,
    rest: u64,
}

impl Default for HedgeBudget {
    fn default() -> Self {
        Self { tokens: BURST, rest: 0 }
    }
}

impl HedgeBudget {
    /// Bytes were acknowledged.
    pub fn earn(&mut self, acked: u64) {
        self.rest += acked;
        self.tokens = (self.tokens + self.rest / SHARE).min(CAP);
        self.rest %= SHARE;
    }

    /// What may be sent again now.
    pub fn available(&self) -> u64 {
        self.tokens
    }

    /// Bytes were sent again on a guess.
    pub fn spend(&mut self, bytes: u64) {
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
        assert_eq!(budget.available(), CAP);
    }
}
