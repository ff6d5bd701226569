//! Tells that a lane's path has begun to drop large packets silently, and passes small ones: its MTU has shrunk
//! (RFC 8899 §4.3).
//!
//! Nothing else loses every full packet for as long as smaller ones between them arrive, but chance: on a path that
//! loses packets the evidence has to be so much more that chance would hardly ever bring it about. An outage takes
//! all that was under way, too, and what ends it may be small; but after it full packets pass.

use super::observation::Overtaken;

/// How unlikely it has to be, as a logarithm, that a path loses so many full packets in a row: one in 10⁹.
const CERTAINTY: f64 = 20.7;

/// The least share of lost packets that is assumed, and the most: what a path loses is not known to the last packet,
/// and loss comes in bursts.
const LEAST_LOSS: f64 = 0.08;
const GREATEST_LOSS: f64 = 0.8;

/// How often smaller packets must have overtaken full ones to be sure, without any silence, that it is no outage.
const TURNS: u32 = 2;

/// What is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Narrow {
    /// Full packets pass, as far as is known.
    #[default]
    No,
    /// They do not pass, but it may be an outage that is just over.
    Likely,
    /// They do not pass.
    Yes,
}

/// Judges full packets that smaller ones have overtaken on a path that loses the share `loss` of what it is given.
pub(super) fn judge(overtaken: Overtaken, loss: f64) -> Narrow {
    let needed = CERTAINTY / -loss.clamp(LEAST_LOSS, GREATEST_LOSS).ln();
    match overtaken {
        Overtaken { packets, .. } if f64::from(packets) < needed => Narrow::No,
        Overtaken { turns, .. } if turns < TURNS => Narrow::Likely,
        _ => Narrow::Yes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_a_path_loses_the_more_full_packets_must_be_overtaken() {
        let needed =
            |loss| (0..).find(|n| judge(Overtaken { packets: *n, turns: 2 }, loss) == Narrow::Yes);
        assert_eq!(
            [0.0, 0.05, 0.1, 0.3, 0.5, 1.0].map(|loss| needed(loss).unwrap()),
            [9, 9, 9, 18, 30, 93]
        );
    }

    #[test]
    fn what_is_overtaken_at_once_may_have_been_an_outage() {
        assert_eq!(judge(Overtaken { packets: 500, turns: 1 }, 0.0), Narrow::Likely);
        assert_eq!(judge(Overtaken { packets: 1, turns: 1 }, 0.0), Narrow::No);
        assert_eq!(judge(Overtaken::default(), 0.0), Narrow::No);
    }
}
