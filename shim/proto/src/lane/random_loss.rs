//! Tells a path that loses packets now and then from one that loses none.
//!
//! On such a path the loss of a lone packet says nothing of the lane, and thin flows do well to say
//! everything twice. The lossy lanes of [`loss`](super::loss) are another matter: those lose so much
//! that bulk goes elsewhere, and it takes bulk to measure that.

use std::time::{Duration, Instant};

use super::rules::{Rule, Rules};

/// The share of bytes from which a path counts as one that loses.
const SHARE: f64 = 0.005;

/// The least number of losses within memory: an outage, or the overshoot of slow start, is one or two.
const REPORTS: f64 = 4.0;

/// The losses within memory from which a path counts as one that may lose a packet: one in the last minute.
const ANY: f64 = 0.25;

/// The time in which what was seen fades to a half.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// What a path loses, with what it carried, fading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RandomLoss {
    rules: Rules,
    epoch: u64,
    seen: Option<(Instant, u64, u64)>,
    acked: f64,
    lost: f64,
    reports: f64,
}

impl RandomLoss {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes in the bytes acknowledged and lost in the lane's life; `epoch` counts its migrations.
    pub(super) fn observe(&mut self, now: Instant, epoch: u64, acked: u64, lost: u64) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::new(self.rules) };
        }
        let (at, acked_then, lost_then) =
            self.seen.replace((now, acked, lost)).unwrap_or((now, acked, lost));
        let passed = now.saturating_duration_since(at).as_secs_f64();
        let share = (-passed / HALF_LIFE.as_secs_f64()).exp2();
        let lost_now = lost.saturating_sub(lost_then);
        self.acked = self.acked * share + acked.saturating_sub(acked_then) as f64;
        self.lost = self.lost * share + lost_now as f64;
        self.reports = self.reports * share + f64::from(u8::from(lost_now > 0));
    }

    /// Returns the share of bytes that the path loses.
    pub(super) fn share(&self) -> f64 {
        self.lost / (self.lost + self.acked).max(1.0)
    }

    /// Returns whether the path has lost a packet within a minute.
    pub(super) fn is_possible(&self) -> bool {
        self.reports >= ANY && self.rules.apply(Rule::RandomLossIsKnown)
    }

    /// Returns whether the path loses packets now and then.
    pub(super) fn is_usual(&self) -> bool {
        self.reports >= REPORTS
            && self.lost >= SHARE * (self.lost + self.acked)
            && self.rules.apply(Rule::RandomLossIsKnown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns whether a path is known to lose after a minute of fifty packets a second, of which those are
    /// lost.
    fn loses(is_lost: impl Fn(u32) -> bool) -> bool {
        let (start, mut loss) = (Instant::now(), RandomLoss::default());
        let (mut acked, mut lost) = (0, 0);
        for packet in 0..3000 {
            *(if is_lost(packet) { &mut lost } else { &mut acked }) += 100;
            loss.observe(start + packet * 20 * MS, 0, acked, lost);
        }
        loss.is_usual()
    }

    #[test]
    fn one_in_fifty_is_usual_and_one_in_a_thousand_or_an_outage_is_not() {
        assert!(loses(|packet| packet % 50 == 0));
        assert!(!loses(|packet| packet % 1000 == 0));
        assert!(!loses(|_| false));
    }

    #[test]
    fn an_outage_is_one_report_and_another_path_begins_anew() {
        let (start, mut loss) = (Instant::now(), RandomLoss::default());
        loss.observe(start, 0, 1_000_000, 0);
        loss.observe(start + 300 * MS, 0, 1_000_000, 500_000);
        assert!(!loss.is_usual() && loss.is_possible());
        for n in 1..=10 {
            loss.observe(start + (300 + n) * MS, 0, 1_000_000, 500_000 + u64::from(n) * 1200);
        }
        assert!(loss.is_usual());
        loss.observe(start + 400 * MS, 1, 1_000_000, 600_000);
        assert!(!loss.is_usual());
    }
}
