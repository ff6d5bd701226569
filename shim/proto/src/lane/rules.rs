//! The rules of a lane monitor by name, so that a test can switch each off in turn.

/// A rule that a lane monitor follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A stopped acknowledgement clock raises a suspicion.
    BulkRaises,
    /// A packet that is older than the retransmission timeout raises a suspicion.
    ThinRaises,
    /// Only a full packet ends a suspicion.
    FullPacketEnds,
    /// Only a packet sent after the suspicion was raised ends it.
    LaterPacketEnds,
    /// A late timer of our own holds suspicion back.
    LateTimerHolds,
    /// Late timers are excused once until something is acknowledged.
    LateTimerOnce,
    /// A new path begins without suspicion.
    NewPathEnds,
    /// The loss of our address confirms a suspicion at once.
    AddressLossConfirms,
    /// A retransmission timeout without progress confirms a suspicion.
    TimeoutConfirms,
    /// The peer's suspicion counts as much as our own.
    PeerSuspects,
    /// The peer's suspicion is confirmed after a retransmission timeout.
    PeerConfirms,
    /// The peer's suspicion ends when it is not repeated and our packets pass.
    PeerExpires,
    /// A suspect is probed.
    Probe,
    /// A suspect is probed more often at first.
    ProbeEarly,
    /// After a suspend every lane is probed.
    ProbeOnResume,
    /// Our suspicion is advertised again with each probe.
    AdvertiseAgain,
    /// A lane on which the peer's packets come and ours do not is closed.
    OneWayCloses,
    /// The peer has a moment to hear of a one-way failure before the lane is closed.
    OneWayFlush,
    /// A lane on which small packets pass is kept a little longer.
    SmallPacketsPass,
    /// A lane that was silent for long is closed.
    SilenceCloses,
    /// A lane that loses much is lossy.
    LossIsMeasured,
    /// A brief suspicion was spurious.
    BriefIsSpurious,
    /// A brief suspicion is not reported.
    BriefIsQuiet,
}

impl Rule {
    /// All rules.
    #[cfg(test)]
    pub(super) const ALL: [Self; 23] = [
        Self::BulkRaises,
        Self::ThinRaises,
        Self::FullPacketEnds,
        Self::LaterPacketEnds,
        Self::LateTimerHolds,
        Self::LateTimerOnce,
        Self::NewPathEnds,
        Self::AddressLossConfirms,
        Self::TimeoutConfirms,
        Self::PeerSuspects,
        Self::PeerConfirms,
        Self::PeerExpires,
        Self::Probe,
        Self::ProbeEarly,
        Self::ProbeOnResume,
        Self::AdvertiseAgain,
        Self::OneWayCloses,
        Self::OneWayFlush,
        Self::SmallPacketsPass,
        Self::SilenceCloses,
        Self::LossIsMeasured,
        Self::BriefIsSpurious,
        Self::BriefIsQuiet,
    ];
}

/// The rules that apply: all of them, but for one that a test switched off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    #[cfg(test)]
    off: Option<Rule>,
}

impl Rules {
    /// All rules but one.
    #[cfg(test)]
    pub(super) fn without(rule: Rule) -> Self {
        Self { off: Some(rule) }
    }

    /// Returns whether a rule applies.
    #[cfg(test)]
    pub(super) fn apply(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    /// Returns whether a rule applies, which each does outside of tests.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests one of them may be switched off")]
    pub(super) const fn apply(self, _: Rule) -> bool {
        true
    }
}
