//! Loss that is there whatever we send, told apart from loss that we cause.
//!
//! A radio link or a bad line loses packets at random; a controller that takes that for congestion gets a
//! thousandth of a satellite's capacity. What distinguishes congestion is that it has to do with how much
//! is sent: so now and then a path that loses is given less for two rounds, and if it loses the same
//! part then, the loss is its own. Without such evidence up to 2 % are no reason to yield, where no
//! queue shows (`BBR.LossThresh`, draft-ietf-ccwg-bbr §2.7).
//!
//! Pure: bytes in, a verdict out.

/// What is lost without a queue up to this part of what is sent is no congestion.
const TOLERATED: f64 = 0.02;

/// The same while the path is being filled: a window that has outgrown it loses more at once, and until then
/// what is lost cannot be the window's doing.
const TOLERATED_FILLING: f64 = 0.1;

/// What a round loses beyond so much of the usual, and this, is more than chance.
const EXCESS: f64 = 1.5;
const EXCESS_PART: f64 = 0.01;

/// Packets after which the usual loss is known.
const MIN_KNOWN_PACKETS: u64 = 60;

/// From this loss on it is worth finding out whose it is.
const WORTH_A_PROBE: f64 = 0.003;

/// Loss at a smaller window of at least this part of the usual one is the path's own.
const OWN_LOSS: f64 = 0.5;

/// More than this part is never known to be the path's own. Who sends `k` times what a path carries loses
/// `1 - 1/k`, and at [`REDUCED_WINDOW`] of that still half as much or more where `k` is 3/2: then a smaller window
/// does not tell an overload from a bad line, and a window that took it for one would grow without end.
const MAX_OWN: f64 = 0.3;

/// Packets that must have been lost, by the usual loss, at the smaller window before that says anything.
const MIN_EVIDENCE: f64 = 2.0;

/// Packets after which older ones count half, if so many of them were lost that chance is out of the
/// question; or after as many as that takes at a loss of a thousandth.
const MEMORY_PACKETS: u64 = 400;
const MEMORY_LOSSES: u64 = 16;
const LONGEST_MEMORY_PACKETS: u64 = 16_000;

/// Rounds at the smaller window: the first still shows what was sent before.
pub(super) const REDUCED_ROUNDS: u32 = 2;

/// The part of the window that is used in them.
pub(super) const REDUCED_WINDOW: f64 = 0.8;

/// What was sent and lost, in bytes; older ones count less.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sent: f64,
    lost: f64,
}

/// The losses of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct LossModel {
    usual: Tally,
    reduced: Tally,
}

impl LossModel {
    /// Takes in bytes that were delivered and lost; `reduced`: at the smaller window. Packets are `mtu` bytes.
    pub(super) fn on_bytes(&mut self, delivered: u64, lost: u64, reduced: bool, mtu: u64) {
        let tally = if reduced { &mut self.reduced } else { &mut self.usual };
        tally.sent += (delivered + lost) as f64;
        tally.lost += lost as f64;
        while tally.sent > (MEMORY_PACKETS * mtu) as f64
            && (tally.lost > (MEMORY_LOSSES * mtu) as f64
                || tally.sent > (LONGEST_MEMORY_PACKETS * mtu) as f64)
        {
            tally.sent /= 2.0;
            tally.lost /= 2.0;
        }
    }

    /// Returns the part that is usually lost.
    pub(super) fn usual(&self) -> f64 {
        self.usual.part()
    }

    /// Returns whether so much is lost that the smaller window should be tried.
    pub(super) fn wants_probe(&self) -> bool {
        self.usual.part() >= WORTH_A_PROBE
    }

    /// Returns whether enough was sent at the smaller window to tell.
    pub(super) fn is_known(&self, mtu: u64) -> bool {
        self.usual.part() * self.reduced.sent / mtu as f64 >= MIN_EVIDENCE
    }

    /// Returns whether it is known that the loss has nothing to do with what we send.
    pub(super) fn is_own(&self, mtu: u64) -> bool {
        let usual = self.usual.part();
        self.is_known(mtu) && usual <= MAX_OWN && self.reduced.part() >= OWN_LOSS * usual
    }

    /// Returns whether it is known that the loss has nothing to do with what we send, and `part` is no more
    /// than that.
    pub(super) fn is_own_part(&self, part: f64, mtu: u64) -> bool {
        self.is_own(mtu) && part <= EXCESS * self.usual.part() + EXCESS_PART
    }

    /// Returns whether what is lost, where no queue shows, is no congestion.
    /// `filling`: the path has shown neither a queue nor an overflow so far.
    pub(super) fn is_tolerated(&self, mtu: u64, filling: bool) -> bool {
        let limit = if filling { TOLERATED_FILLING } else { TOLERATED };
        let known = self.usual.sent >= (MIN_KNOWN_PACKETS * mtu) as f64;
        self.is_own(mtu) || known && self.usual.part() <= limit
    }
}

impl Tally {
    fn part(self) -> f64 {
        self.lost / self.sent.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1200;

    /// Rounds of 100 packets, of which so many are lost; every fourth is reduced.
    fn model(rounds: u32, usual: u64, reduced: u64) -> LossModel {
        let mut model = LossModel::default();
        for round in 0..rounds {
            let is_reduced = round % 4 == 3;
            let lost = if is_reduced { reduced } else { usual };
            model.on_bytes((100 - lost) * MTU, lost * MTU, is_reduced, MTU);
        }
        model
    }

    #[test]
    fn loss_that_a_smaller_window_does_not_change_is_tolerated() {
        assert!(model(40, 5, 5).is_tolerated(MTU, false));
        assert!(model(40, 5, 3).is_tolerated(MTU, false));
    }

    #[test]
    fn loss_that_a_smaller_window_ends_is_congestion() {
        assert!(!model(40, 11, 0).is_tolerated(MTU, false));
        assert!(!model(40, 11, 2).is_tolerated(MTU, false));
    }

    #[test]
    fn what_is_not_known_yet_is_congestion_beyond_two_percent() {
        assert!(!model(3, 5, 0).is_tolerated(MTU, false));
        assert!(model(3, 5, 0).is_tolerated(MTU, true), "as long as the path is being filled");
        assert!(model(3, 1, 0).is_tolerated(MTU, false));
    }

    #[test]
    fn what_a_path_lost_long_ago_does_not_count() {
        let mut model = model(40, 5, 5);
        for _ in 0..200 {
            model.on_bytes(100 * MTU, 0, false, MTU);
            model.on_bytes(100 * MTU, 0, true, MTU);
        }
        for _ in 0..8 {
            model.on_bytes(70 * MTU, 30 * MTU, false, MTU);
            model.on_bytes(100 * MTU, 0, true, MTU);
        }
        assert!(!model.is_tolerated(MTU, false));
    }

    #[test]
    fn an_overload_is_never_taken_for_the_paths_own_loss() {
        for overload in [1.1, 1.25, 1.4, 1.5, 2.0, 3.0, 10.0, 200.0] {
            let mut losses = LossModel::default();
            let mut send = |times: f64, reduced| {
                let sent = 1000.0 * MTU as f64;
                let lost = (sent * (1.0 - 1.0 / times).max(0.0)) as u64;
                losses.on_bytes(sent as u64 - lost, lost, reduced, MTU);
            };
            send(overload, false);
            send(overload * REDUCED_WINDOW, true);
            assert!(!losses.is_own(MTU), "{overload}");
        }
    }
}
