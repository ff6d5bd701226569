//! Loss that is there whatever we send, told apart from loss that we cause.
//!
//! A radio link or a bad line loses packets at random; a controller that takes that for congestion gets a
//! thousandth of a satellite's capacity. What distinguishes congestion is that it has to do with how much
//! is sent: so now and then a path that loses is given less for two rounds, and if it loses the same
//! part then, the loss is its own; if it loses much less, the loss is our doing. What is compared is the round just
//! before the smaller window and the round at it: a window that has yielded since loses less than one before it.
//! Without such evidence up to 2 % are no reason to yield, where no queue shows (`BBR.LossThresh`,
//! draft-ietf-ccwg-bbr §2.7).
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
/// The same where it is already known to be the path's own, or ours: with the dozens of losses that are remembered,
/// chance alone changes this part by a third, and beside another sender, who causes losses too, what we cause goes
/// down to a third.
const STAYS_OWN: f64 = 0.35;
const BECOMES_OWN: f64 = 0.7;

/// More than this part is never known to be the path's own. Who sends `k` times what a path carries loses
/// `1 - 1/k`, and at [`REDUCED_WINDOW`] of that still half as much or more where `k` is 3/2: then a smaller window
/// does not tell an overload from a bad line, and a window that took it for one would grow without end.
const MAX_OWN: f64 = 0.3;

/// Packets that must have been lost, by the usual loss, at the smaller window before that says anything: none by
/// chance is one case in fifty then.
const MIN_EVIDENCE: f64 = 4.0;

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
    /// What was sent just before the window was made smaller, and at the smaller window: pairs, so that what a path
    /// loses at one time is not compared with what it loses at another.
    control: Tally,
    reduced: Tally,
    /// The pair under way.
    pair: [Tally; 2],
    verdict: Verdict,
}

/// Whose the losses are, by what smaller windows have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    Unknown,
    /// The path's own: a smaller window loses the same part.
    Own,
    /// Ours, at least in part: a smaller window loses much less.
    Caused,
}

/// When something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// At the usual window.
    Usual,
    /// At the usual window, in the round before a smaller one.
    Control,
    /// At the smaller window.
    Reduced,
}

impl LossModel {
    /// Takes in bytes that were delivered and lost, and in which phase. Packets are `mtu` bytes.
    pub(super) fn on_bytes(&mut self, delivered: u64, lost: u64, phase: Phase, mtu: u64) {
        let tally = match phase {
            Phase::Usual => &mut self.usual,
            Phase::Control => &mut self.pair[0],
            Phase::Reduced => &mut self.pair[1],
        };
        tally.add(delivered, lost);
        if self.usual.is_long(mtu) {
            self.usual.halve();
        }
    }

    /// Begins a pair of a control and a smaller window; one that has not ended is forgotten.
    pub(super) fn begin_pair(&mut self) {
        self.pair = [Tally::default(); 2];
    }

    /// Ends the pair. One that lost more than can be a path's own says only that the window was far too large.
    pub(super) fn end_pair(&mut self, mtu: u64) {
        let [control, reduced] = std::mem::take(&mut self.pair);
        if control.part() > MAX_OWN {
            return;
        }
        self.control.merge(control);
        self.reduced.merge(reduced);
        if self.control.is_long(mtu) {
            self.control.halve();
            self.reduced.halve();
        }
        if self.is_known(mtu) {
            let left = self.reduced.part() / self.control.part();
            let bound = match self.verdict {
                Verdict::Unknown => OWN_LOSS,
                Verdict::Own => STAYS_OWN,
                Verdict::Caused => BECOMES_OWN,
            };
            self.verdict = if left >= bound { Verdict::Own } else { Verdict::Caused };
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
        self.expected(mtu) >= MIN_EVIDENCE
    }

    /// Returns how many packets would have been lost at the smaller window if it made no difference.
    fn expected(&self, mtu: u64) -> f64 {
        self.control.part() * self.reduced.sent / mtu as f64
    }

    /// Returns whether it is known that the loss has nothing to do with what we send. What is lost beyond what the
    /// smaller windows were compared with is not; and where hardly anything is lost any more there is nothing to know,
    /// and no smaller window would correct it.
    pub(super) fn is_own(&self) -> bool {
        let most = EXCESS * self.control.part() + EXCESS_PART;
        self.verdict == Verdict::Own && self.wants_probe() && self.usual.part() <= most.min(MAX_OWN)
    }

    /// Returns whether it is known that the loss has nothing to do with what we send, and `part` is no more
    /// than that.
    pub(super) fn is_own_part(&self, part: f64) -> bool {
        self.is_own() && part <= EXCESS * self.usual.part() + EXCESS_PART
    }

    /// Returns whether it is known that less would be lost if we sent less.
    pub(super) fn is_caused(&self) -> bool {
        self.verdict == Verdict::Caused
    }

    /// Returns whether what is lost, where no queue shows, is no congestion as long as nothing else is known.
    /// `filling`: the path has shown neither a queue nor an overflow so far.
    pub(super) fn is_tolerated(&self, mtu: u64, filling: bool) -> bool {
        let limit = if filling { TOLERATED_FILLING } else { TOLERATED };
        let known = self.usual.sent >= (MIN_KNOWN_PACKETS * mtu) as f64;
        self.is_own() || known && self.usual.part() <= limit
    }
}

impl Tally {
    fn add(&mut self, delivered: u64, lost: u64) {
        self.sent += (delivered + lost) as f64;
        self.lost += lost as f64;
    }

    fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
    }

    /// Returns whether so much was counted that older packets count less.
    fn is_long(self, mtu: u64) -> bool {
        self.sent > (MEMORY_PACKETS * mtu) as f64
            && (self.lost > (MEMORY_LOSSES * mtu) as f64
                || self.sent > (LONGEST_MEMORY_PACKETS * mtu) as f64)
    }

    fn halve(&mut self) {
        self.sent /= 2.0;
        self.lost /= 2.0;
    }

    fn part(self) -> f64 {
        self.lost / self.sent.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1200;

    /// Sends so many times what the path carries.
    fn send(losses: &mut LossModel, times: f64, phase: Phase) {
        let sent = 1000.0 * MTU as f64;
        let lost = (sent * (1.0 - 1.0 / times).max(0.0)) as u64;
        losses.on_bytes(sent as u64 - lost, lost, phase, MTU);
    }

    /// Rounds of 100 packets, of which so many are lost; every fourth is reduced.
    fn model(rounds: u32, usual: u64, reduced: u64) -> LossModel {
        let mut model = LossModel::default();
        for round in 0..rounds {
            let phase =
                [Phase::Usual, Phase::Usual, Phase::Control, Phase::Reduced][round as usize % 4];
            let lost = if phase == Phase::Reduced { reduced } else { usual };
            model.on_bytes((100 - lost) * MTU, lost * MTU, phase, MTU);
            if phase == Phase::Reduced {
                model.end_pair(MTU);
            }
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
    fn what_is_known_to_be_our_doing_is_never_tolerated() {
        let known = model(200, 2, 0);
        assert!(known.is_caused() && !known.is_own());
        assert!(!model(200, 2, 2).is_caused());
        assert!(!model(4, 2, 0).is_caused(), "two packets are no evidence");
    }

    #[test]
    fn a_path_that_loses_no_longer_has_no_losses_of_its_own() {
        let mut model = model(40, 5, 5);
        assert!(model.is_own());
        // Nothing is lost, so no smaller window is tried that would show it.
        (0..100).for_each(|_| model.on_bytes(100 * MTU, 0, Phase::Usual, MTU));
        assert!(!model.is_own() && !model.wants_probe());
    }

    #[test]
    fn what_a_path_lost_long_ago_does_not_count() {
        let mut model = model(40, 5, 5);
        for _ in 0..200 {
            for phase in [Phase::Usual, Phase::Control, Phase::Reduced] {
                model.on_bytes(100 * MTU, 0, phase, MTU);
            }
            model.end_pair(MTU);
        }
        for _ in 0..8 {
            for (phase, lost) in [(Phase::Usual, 30), (Phase::Control, 30), (Phase::Reduced, 0)] {
                model.on_bytes((100 - lost) * MTU, lost * MTU, phase, MTU);
            }
            model.end_pair(MTU);
        }
        assert!(!model.is_tolerated(MTU, false));
    }

    #[test]
    fn an_overload_is_never_taken_for_the_paths_own_loss() {
        for overload in [1.1, 1.25, 1.4, 1.5, 2.0, 3.0, 10.0, 200.0] {
            let mut losses = LossModel::default();
            send(&mut losses, overload, Phase::Usual);
            send(&mut losses, overload, Phase::Control);
            send(&mut losses, overload * REDUCED_WINDOW, Phase::Reduced);
            losses.end_pair(MTU);
            assert!(!losses.is_own(), "{overload}");
            // The window has yielded since, and loses less now.
            (0..20).for_each(|_| send(&mut losses, 1.2, Phase::Usual));
            assert!(!losses.is_own(), "{overload}, and less later");
        }
    }
}
