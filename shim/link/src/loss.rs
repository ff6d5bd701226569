//! Loss that has nothing to do with the queue.

use rand::Rng;
use rand::rngs::StdRng;

/// What a link loses whatever its queue.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Nothing.
    None,
    /// Each packet with this probability, 0 to 1, independently of the others.
    Random(f64),
    /// Every so many packets one, the last of them.
    Periodic(u64),
    /// In bursts.
    Bursty(GilbertElliott),
}

/// Loss in bursts: a chain of two states, each of which loses with a probability of its own (Gilbert,
/// "Capacity of a Burst-Noise Channel", Bell System Technical Journal 39, 1960; Elliott, "Estimates of
/// Error Rates for Codes on Burst-Noise Channels", ibid. 42, 1963). The parameters are those of
/// netem's `loss gemodel P R 1-H 1-K`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    /// Probability, per packet, to go from the good state to the bad one (`p`).
    pub to_bad: f64,
    /// Probability, per packet, to come back (`r`).
    pub to_good: f64,
    /// Loss in the bad state (`1-h`).
    pub bad_loss: f64,
    /// Loss in the good state (`1-k`).
    pub good_loss: f64,
}

impl GilbertElliott {
    /// Returns a channel that loses this part of all packets, 0 to less than 1, in bursts of this many
    /// on average, at least 1: all in the bad state, none in the good one (Gilbert's simple model).
    pub fn bursts(loss: f64, length: f64) -> Self {
        let to_good = 1.0 / length;
        let to_bad = (loss * to_good / (1.0 - loss)).min(1.0);
        Self { to_bad, to_good, bad_loss: 1.0, good_loss: 0.0 }
    }

    /// Returns the part of all packets that is lost in the long run.
    pub fn mean_loss(&self) -> f64 {
        let moves = self.to_bad + self.to_good;
        let bad = if moves > 0.0 { self.to_bad / moves } else { 0.0 };
        bad * self.bad_loss + (1.0 - bad) * self.good_loss
    }
}

/// What a kind of loss has to remember from packet to packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct LossState {
    packets: u64,
    /// Gilbert–Elliott: in the bad state.
    bad: bool,
}

impl LossState {
    /// Returns whether the next packet is lost.
    pub(crate) fn takes_next(&mut self, loss: Loss, rng: &mut StdRng) -> bool {
        self.packets += 1;
        match loss {
            Loss::None => false,
            Loss::Random(probability) => happens(probability, rng),
            Loss::Periodic(period) => period > 0 && self.packets.is_multiple_of(period),
            Loss::Bursty(channel) => {
                // As in netem, the state that a packet finds decides about it.
                let (leave, lose) = if self.bad {
                    (channel.to_good, channel.bad_loss)
                } else {
                    (channel.to_bad, channel.good_loss)
                };
                self.bad ^= happens(leave, rng);
                happens(lose, rng)
            }
        }
    }
}

/// Draws whether something of this probability happens.
pub(crate) fn happens(probability: f64, rng: &mut StdRng) -> bool {
    probability > 0.0 && rng.random::<f64>() < probability
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn fates(loss: Loss) -> Vec<bool> {
        let (mut state, mut rng) = (LossState::default(), StdRng::seed_from_u64(7));
        (0..500_000).map(|_| state.takes_next(loss, &mut rng)).collect()
    }

    fn rate(fates: &[bool]) -> f64 {
        fates.iter().filter(|lost| **lost).count() as f64 / fates.len() as f64
    }

    /// How many packets in a row are lost on average.
    fn burst_length(fates: &[bool]) -> f64 {
        let bursts = fates.chunk_by(|a, b| a == b).filter(|run| run[0]);
        let (count, lost) = bursts.fold((0, 0), |(count, lost), run| (count + 1, lost + run.len()));
        lost as f64 / f64::from(count)
    }

    #[test]
    fn bursty_loss_has_its_rate_and_its_burst_length_in_the_long_run() {
        for (loss, length) in [(0.01, 10.0), (0.03, 3.0), (0.1, 25.0)] {
            let fates = fates(Loss::Bursty(GilbertElliott::bursts(loss, length)));
            let (rate, bursts) = (rate(&fates), burst_length(&fates));
            assert!((rate / loss - 1.0).abs() < 0.12, "{rate} of {loss}");
            assert!((bursts / length - 1.0).abs() < 0.1, "{bursts} of {length}");
        }
    }

    #[test]
    fn independent_loss_of_the_same_rate_comes_in_ones() {
        let fates = fates(Loss::Random(0.1));
        assert!((rate(&fates) - 0.1).abs() < 0.005);
        assert!((burst_length(&fates) - 1.0 / 0.9).abs() < 0.02);
    }

    #[test]
    fn both_states_lose_with_their_own_probability() {
        let channel =
            GilbertElliott { to_bad: 0.02, to_good: 0.08, bad_loss: 0.4, good_loss: 0.01 };
        // A fifth of the time is bad.
        assert!((channel.mean_loss() - 0.088).abs() < 1e-9);
        let rate = rate(&fates(Loss::Bursty(channel)));
        assert!((rate - 0.088).abs() < 0.004, "{rate}");
    }

    #[test]
    fn a_channel_that_never_turns_bad_loses_nothing() {
        assert_eq!(GilbertElliott::bursts(0.0, 5.0).mean_loss(), 0.0);
        let never = GilbertElliott { to_bad: 0.0, to_good: 0.0, bad_loss: 1.0, good_loss: 0.0 };
        assert_eq!(rate(&fates(Loss::Bursty(never))), 0.0);
    }
}
