//! The rules of a lane monitor by name, so that a test can switch each off in turn.

/// A rule that a lane monitor follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A stopped acknowledgement clock raises a suspicion.
    BulkRaises,
    /// A packet that is older than the retransmission timeout raises a suspicion.
    ThinRaises,
    /// Full packets that vanish where smaller ones pass raise a suspicion.
    NarrowRaises,
    /// Only a full packet ends a suspicion.
    FullPacketEnds,
    /// Only a packet sent after the suspicion was raised ends it.
    LaterPacketEnds,
    /// A silence that is usual for the path raises no suspicion.
    UsualPauseIsLate,
    /// A silence that may be another pause replaces no lane.
    LongPauseKeeps,
    /// The delay with which we are scheduled counts for no silence.
    SchedulingDelayCounts,
    /// On a path that loses packets now and then, a lone packet raises no suspicion.
    RandomLossIsKnown,
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
    /// The peer has notice, in a datagram, of a suspicion with bulk in flight.
    GivesNotice,
    /// QUIC's own probes have their turn.
    ProbeYields,
    /// After a suspend every lane is probed.
    ProbeOnResume,
    /// Our suspicion is advertised again with each probe.
    AdvertiseAgain,
    /// A suspect on which smaller packets pass and full ones do not has failed, however it pauses.
    NarrowFails,
    /// A lane on which the peer's packets come and ours do not is closed.
    OneWayCloses,
    /// The peer has a moment to hear of a one-way failure before the lane is closed.
    OneWayFlush,
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
    pub(super) const ALL: [Self; 30] = [
        Self::BulkRaises,
        Self::ThinRaises,
        Self::NarrowRaises,
        Self::FullPacketEnds,
        Self::LaterPacketEnds,
        Self::UsualPauseIsLate,
        Self::LongPauseKeeps,
        Self::SchedulingDelayCounts,
        Self::RandomLossIsKnown,
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
        Self::GivesNotice,
        Self::ProbeYields,
        Self::ProbeOnResume,
        Self::AdvertiseAgain,
        Self::NarrowFails,
        Self::OneWayCloses,
        Self::OneWayFlush,
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
