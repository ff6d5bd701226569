//! When a connection without a stream ends: first its client is asked to go, and then it is gone.

use std::time::Duration;

/// The time between two checks.
pub(super) const IDLE_CHECK: Duration = Duration::from_secs(60);

/// Checks without a stream before the client is asked to go: at least two minutes, as long as browsers keep
/// idle connections to proxies.
const IDLE_CHECKS: u32 = 3;

/// What becomes of a connection at a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays.
    Stays,
    /// Its client is asked to go (GOAWAY, RFC 9113 §6.8). One that hears it is gone before the next check.
    AskedToGo,
    /// It ends, whatever its client says.
    Ends,
}

/// How often in a row a connection was seen without a stream.
#[derive(Debug, Default)]
pub(super) struct Idle(u32);

impl Idle {
    /// A stream has begun.
    pub(super) fn used(&mut self) {
        self.0 = 0;
    }

    /// Judges the connection at a check.
    pub(super) fn check(&mut self, has_streams: bool) -> Verdict {
        self.0 = if has_streams { 0 } else { self.0 + 1 };
        match self.0 {
            0..IDLE_CHECKS => Verdict::Stays,
            IDLE_CHECKS => Verdict::AskedToGo,
            _ => Verdict::Ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_asked_to_go_and_ends_at_the_next_check() {
        use Verdict::{AskedToGo, Ends, Stays};
        let mut idle = Idle::default();
        let checks =
            |idle: &mut Idle, count| -> Vec<_> { (0..count).map(|_| idle.check(false)).collect() };
        assert_eq!(checks(&mut idle, 5), [Stays, Stays, AskedToGo, Ends, Ends]);
        // A stream that goes on, or that came and went between two checks, has it stay.
        assert_eq!(idle.check(true), Stays);
        assert_eq!(checks(&mut idle, 3), [Stays, Stays, AskedToGo]);
        idle.used();
        assert_eq!(checks(&mut idle, 4), [Stays, Stays, AskedToGo, Ends]);
    }
}
