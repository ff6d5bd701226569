//! The script of a run: which ISP fails when.

use std::ops::Range;
use std::time::Duration;

/// One of the two ISPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isp {
    A,
    B,
}

/// A silent failure of an ISP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) isp: Isp,
    /// From its failure to its recovery.
    pub(super) down: Range<Duration>,
}

/// The whole run.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) length: Duration,
    pub(super) failures: [Failure; 2],
}

/// When A fails and recovers, and B fails and recovers, in parts of [`PARTS`].
///
/// At the default length a part is a second. A stays dead long enough for plain TCP's retransmission
/// timer to back off past its recovery (0.2, 0.6, 1.4, 3.0, 6.2 s), as it does in real life. Between
/// the two failures there is time for A's lane to be set up again.
const MOMENTS: [f64; 4] = [5.0, 10.0, 14.0, 19.0];

/// The parts of a run.
const PARTS: f64 = 22.0;

impl Isp {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Its name in configurations and for the emulator.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "isp-a",
            Self::B => "isp-b",
        }
    }

    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::A => "ISP A",
            Self::B => "ISP B",
        }
    }
}

impl Script {
    pub(super) fn new(length: Duration) -> Self {
        let [a_fails, a_recovers, b_fails, b_recovers] =
            MOMENTS.map(|part| length.mul_f64(part / PARTS));
        Self {
            length,
            failures: [
                Failure { isp: Isp::A, down: a_fails..a_recovers },
                Failure { isp: Isp::B, down: b_fails..b_recovers },
            ],
        }
    }

    /// Returns the time in which gaps count for a failure: until the next failure, or the end.
    ///
    /// A gap that the recovery of an ISP causes counts too.
    pub(super) fn window(&self, failure: usize) -> Range<Duration> {
        let end = self.failures.get(failure + 1).map_or(self.length, |next| next.down.start);
        self.failures[failure].down.start..end
    }

    /// Returns whether `isp` is dead at some time in `span`.
    pub(super) fn is_down(&self, isp: Isp, span: &Range<Duration>) -> bool {
        self.failures.iter().any(|failure| {
            failure.isp == isp && failure.down.start < span.end && span.start < failure.down.end
        })
    }

    /// Returns every change of an ISP in order: when, which, and whether it fails.
    pub(super) fn changes(&self) -> Vec<(Duration, Isp, bool)> {
        let changes = self.failures.iter().flat_map(|failure| {
            [(failure.down.start, failure.isp, true), (failure.down.end, failure.isp, false)]
        });
        changes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn at_the_default_length_a_fails_at_5_s_and_b_at_14_s() {
        let script = Script::new(s(22));
        assert_eq!(script.failures[0].down, s(5)..s(10));
        assert_eq!(script.window(0), s(5)..s(14));
        assert_eq!(script.window(1), s(14)..s(22));
        assert!(script.is_down(Isp::A, &(s(4)..s(6))));
        assert!(!script.is_down(Isp::A, &(s(10)..s(11))));
        assert!(script.is_down(Isp::B, &(s(15)..s(16))));
        assert_eq!(script.changes()[2], (s(14), Isp::B, true));
    }
}
