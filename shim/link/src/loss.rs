//! Loss that has nothing to do with the queue.

use rand::Rng;
use rand::rngs::StdRng;

use crate::profile::Loss;

/// What a kind of loss has to remember from packet to packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct LossState {
    packets: u64,
}

impl LossState {
    /// Returns whether the next packet is lost.
    pub(crate) fn takes_next(&mut self, loss: Loss, rng: &mut StdRng) -> bool {
        self.packets += 1;
        match loss {
            Loss::None => false,
            Loss::Random(probability) => happens(probability, rng),
            Loss::Periodic(period) => period > 0 && self.packets.is_multiple_of(period),
        }
    }
}

/// Draws whether something of this probability happens.
pub(crate) fn happens(probability: f64, rng: &mut StdRng) -> bool {
    probability > 0.0 && rng.random::<f64>() < probability
}
