//! The events there are. Each is defined once: level, name, fields, text.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::detector::{OneWayDetectedBy, SuspectedBy};
use super::field::{EventField, FieldValue};
use super::unit::{Bytes, Listed, Span, Suppressed};
use throughline_proto::types::{LaneId, PeerId};

/// A duration of less says nothing yet: the first failure is reported at once.
const WORTH_SAYING: Duration = Duration::from_secs(1);

define_events! {
    /// A lane was set up.
    INFO "lane-up" LaneUp {
        /// Our address.
        local: SocketAddr,
        /// The peer's address.
        remote: SocketAddr,
        /// How long the set-up took, from the first packet to the peer's welcome.
        setup as "setup_ms": Duration,
        /// Whether we dialed the lane; else the peer did.
        dialed: bool,
    } => |f| match dialed {
        true => write!(f, "lane up, {local} to {remote}, dialed in {}", Span(*setup)),
        false => write!(f, "lane up, {remote} dialed {local}, set up in {}", Span(*setup)),
    };

    /// A lane's acknowledgements are overdue, and its bytes are sent on others as well. Emitted once
    /// the suspicion has lasted for 100 ms, or as soon as bytes were sent again because of it.
    INFO "lane-suspected" LaneSuspected {
        /// The end that suspects it.
        detected_by: SuspectedBy,
        /// Suspicions of the lane before this one that were too brief to be reported.
        suppressed: u64,
    } => |f| {
        let suppressed = Suppressed(*suppressed, "times for a moment before");
        match detected_by {
            SuspectedBy::Us { rule, silence } => {
                let silence = Span(*silence);
                write!(f, "lane suspected: nothing acknowledged for {silence} ({rule} rule){suppressed}")
            }
            SuspectedBy::Peer => {
                write!(f, "lane suspected by the peer: it gets no acknowledgement{suppressed}")
            }
        }
    };

    /// One direction of a suspected lane works.
    INFO "lane-one-way" LaneOneWay {
        /// The end that found it.
        detected_by: OneWayDetectedBy,
    } => |f| match detected_by {
        OneWayDetectedBy::Us { received } => {
            write!(f, "one-way failure: our packets are lost, the peer's arrive ({received} of them)")
        }
        OneWayDetectedBy::Peer => {
            f.write_str("one-way failure (reported by the peer): its packets to us are lost")
        }
    };

    /// A lane answers, but many of our packets on it are lost: flows leave it where there is a
    /// better one.
    INFO "lane-lossy" LaneLossy {
        /// The share that is lost, in percent of the bytes.
        percent: u64,
    } => |f| write!(f, "lane loses {percent} % of what we send");

    /// Bytes at risk on suspected lanes were sent again on this one.
    DEBUG "hedged" Hedged {
        /// How many.
        bytes: u64,
        /// The lanes suspected then; none where the suspected lane was gone already.
        instead_of: Vec<LaneId>,
    } => |f| match &instead_of[..] {
        [] => write!(f, "hedged: {} sent again here", Bytes(*bytes)),
        lanes => {
            write!(f, "hedged: {} sent again here instead of on {}", Bytes(*bytes), Listed(lanes))
        }
    };

    /// A suspected lane answers again.
    INFO "lane-recovered" LaneRecovered {
        /// How long it was suspected.
        duration as "duration_ms": Duration,
    } => |f| write!(f, "lane answers again after {}", Span(*duration));

    /// We migrated a lane to another of our addresses (RFC 9000 §9): the same connection.
    INFO "lane-migrated" LaneMigrated {
        /// The uplink it left.
        from: String,
        /// The uplink it is on now.
        to: String,
        /// Our address now.
        local: SocketAddr,
    } => |f| write!(f, "lane migrated from {from} to {to}, now from {local}");

    /// The peer migrated a lane, or a NAT on the way gave it another address.
    INFO "peer-migrated" PeerMigrated {
        /// The peer's address before.
        from: SocketAddr,
        /// The peer's address now.
        to: SocketAddr,
    } => |f| write!(f, "the peer's end migrated from {from} to {to}");

    /// A lane ended.
    INFO "lane-down" LaneDown {
        /// Why.
        reason: String,
        /// How long the lane was up.
        duration as "duration_ms": Duration,
    } => |f| write!(f, "lane down after {}: {reason}", Span(*duration));

    /// The first lane of a session is up.
    INFO "session-up" SessionUp => |f| f.write_str("session up");

    /// A session has no lane any more; its flows wait.
    INFO "session-detached" SessionDetached {
        /// How long they wait at the longest.
        linger as "linger_ms": Duration,
    } => |f| write!(f, "session has no lane; its flows wait up to {}", Span(*linger));

    /// A session has a lane again; its flows go on.
    INFO "session-resumed" SessionResumed {
        /// How long it had none.
        duration as "duration_ms": Duration,
    } => |f| write!(f, "session resumed after {} without a lane", Span(*duration));

    /// A session is over, and its flows with it.
    INFO "session-over" SessionOver {
        /// Why.
        reason: String,
    } => |f| write!(f, "session over: {reason}");

    /// A session has had no lane that answers over an uplink, or to a prefix of the peer, for five seconds, while
    /// others answer: flows go on, and the next failure may end that. The event's uplink is the missing one, or
    /// that prefix.
    WARN "redundancy-lost" RedundancyLost {
        /// Why.
        reason: String,
        /// How many other uplinks, or prefixes of the peer, have a lane that answers.
        others: u64,
    } => |f| match others {
        1 => write!(f, "redundancy lost, one way is left: {reason}"),
        others => write!(f, "redundancy lost, {others} ways are left: {reason}"),
    };

    /// A lane over an uplink, or to a prefix of the peer, of which that was reported answers again, or none is
    /// to be expected any more.
    INFO "redundancy-restored" RedundancyRestored {
        /// How long none answered.
        duration as "duration_ms": Duration,
    } => |f| write!(f, "redundancy restored after {}", Span(*duration));

    /// An uplink got an address.
    INFO "address-added" AddressAdded {
        /// The address.
        address: IpAddr,
    } => |f| write!(f, "address {address} added");

    /// An uplink lost an address.
    INFO "address-removed" AddressRemoved {
        /// The address.
        address: IpAddr,
        /// Why: removed, deprecated, the link is down.
        reason: String,
    } => |f| write!(f, "address {address} removed: {reason}");

    /// An uplink is being drained: nothing new goes over its lanes.
    INFO "drain-started" DrainStarted {
        /// Whether no other uplink is left.
        last: bool,
    } => |f| f.write_str(match last {
        false => "drain started",
        true => "drain started, but no other uplink is left: its lanes stay in use",
    });

    /// A drained uplink is used again.
    INFO "drain-ended" DrainEnded => |f| f.write_str("drain ended");

    /// An uplink is cut off for a drill: everything that goes over it vanishes.
    WARN "cut-started" CutStarted {
        /// For how long.
        duration as "duration_ms": Duration,
        /// Who asked for it.
        asked_by: String,
    } => |f| write!(f, "a drill asked for by {asked_by}: nothing goes over the uplink for {}", Span(*duration));

    /// An uplink that was cut off for a drill is so no more.
    INFO "cut-ended" CutEnded => |f| f.write_str("the drill is over: the uplink is cut off no more");

    /// An uplink that failed, or a prefix of the peer, is not returned to for a while.
    INFO "hold-down-started" HoldDownStarted {
        /// How long it is held down at least once it answers again: a longer failure is answered with a
        /// longer hold.
        duration as "duration_ms": Duration,
        /// Why.
        reason: String,
    } => |f| write!(f, "held down for at least {}: {reason}", Span(*duration));

    /// An uplink or a prefix of the peer may be used again.
    INFO "hold-down-ended" HoldDownEnded => |f| f.write_str("hold-down ended");

    /// A flow was refused, here or at the far side. Emitted ten times a second for each peer at the
    /// most.
    DEBUG "flow-refused" FlowRefused {
        /// The flow's destination.
        target: String,
        /// Why.
        reason: String,
        /// Refused flows before this one that were too many to be reported.
        suppressed: u64,
    } => |f| {
        write!(f, "flow to {target} refused: {reason}{}", Suppressed(*suppressed, "others before it"))
    };

    /// A peer causes more events than are reported of it: 256 at once, 8 a second in the long run.
    /// Emitted once a minute at the most.
    WARN "events-suppressed" EventsSuppressed {
        /// How many were not reported since the last such event.
        count: u64,
    } => |f| write!(f, "events of this peer are too many and are not reported: {count} so far");

    /// The peer has no lane, and no dial to it gets through. Emitted once for each reason until a
    /// lane is up.
    WARN "peer-unreachable" PeerUnreachable {
        /// The local and the remote address of the last dial; `None` where none could be tried.
        dial: Option<(IpAddr, SocketAddr)>,
        /// Why it failed.
        reason: String,
        /// For how long no dial has got through.
        duration as "duration_ms": Duration,
    } => |f| {
        f.write_str("peer unreachable")?;
        if *duration >= WORTH_SAYING {
            write!(f, " for {}", Span(*duration))?;
        }
        match dial {
            Some((local, remote)) => {
                write!(f, "; the last dial, from {local} to {remote}: {reason}")
            }
            None => write!(f, ": {reason}"),
        }
    };

    /// A host that is none of the peers dialed us and was rejected. Emitted once a minute for each
    /// key, and for 16 keys a minute, at the most.
    WARN "unknown-peer-rejected" UnknownPeerRejected {
        /// The key that was shown; nothing shows that the host has it.
        key: PeerId,
        /// The address it came from.
        remote: SocketAddr,
        /// Such dials before this one that were too many to be reported.
        suppressed: u64,
    } => |f| {
        let suppressed = Suppressed(*suppressed, "such dials before it");
        write!(
            f,
            "{remote} rejected: key {key} is not among the peers; add it to let it in{suppressed}"
        )
    };

    /// A part of the configuration of the running node changed, as whoever runs it reports
    /// ([`Node::report_config_change`](crate::Node::report_config_change)).
    INFO "config-changed" ConfigChanged {
        /// What changed.
        change: String,
    } => |f| write!(f, "configuration: {change}");

    /// Another configuration was refused as a whole, and the node goes on as it is.
    ERROR "config-refused" ConfigRefused {
        /// Why.
        reason: String,
    } => |f| write!(f, "the new configuration is refused, and the old one stays in force: {reason}");

    /// A live flow was ended because the peer may no longer reach its destination.
    INFO "flow-revoked" FlowRevoked {
        /// The flow's destination.
        target: String,
    } => |f| write!(f, "flow to {target} ended: `allow` no longer permits it");

    /// The system was suspended and has resumed; every lane is probed at once.
    INFO "system-resumed" SystemResumed {
        /// How long it was suspended.
        duration as "duration_ms": Duration,
    } => |f| write!(f, "the system was suspended for {}; every lane is probed", Span(*duration));

    /// Four fifths of an uplink's budget are spent.
    WARN "budget-low" BudgetLow {
        /// The bytes that were used.
        used: u64,
        /// All bytes of the budget.
        budget: u64,
        /// When it is renewed.
        resets: String,
    } => |f| write!(f, "{} of the budget of {} are spent; it is renewed on {resets}", Bytes(*used), Bytes(*budget));

    /// An uplink's budget is spent.
    WARN "budget-spent" BudgetSpent {
        /// The bytes that were used.
        used: u64,
        /// All bytes of the budget.
        budget: u64,
        /// What may be used from now on: `nothing` or `thin-flows`.
        allows: String,
        /// Whether that leaves no uplink, so that flows wait.
        last: bool,
        /// When it is renewed.
        resets: String,
    } => |f| {
        let (used, budget) = (Bytes(*used), Bytes(*budget));
        write!(f, "the budget of {budget} is spent ({used}); ")?;
        match (allows.as_str(), last) {
            ("thin-flows", _) => write!(f, "only thin flows use the uplink, where no other answers")?,
            (_, false) => write!(f, "nothing goes over the uplink")?,
            (_, true) => write!(f, "nothing goes over the uplink, and no other is left: flows wait")?,
        }
        write!(f, " until {resets}, or until `budget` is raised and the configuration reloaded")
    };

    /// An uplink's budget begins anew, or was raised.
    INFO "budget-renewed" BudgetRenewed {
        /// All bytes of the budget.
        budget: u64,
    } => |f| write!(f, "a budget of {} is there to be used", Bytes(*budget));
}

impl EventKind {
    /// Returns the event's fields: stable keys and plain values, in the order of the documentation.
    ///
    /// A duration is in milliseconds, and its key ends in `_ms`. A field that has no value is left
    /// out.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, FieldValue)> + use<> {
        let mut fields = Vec::new();
        self.record_fields(&mut |key, value| fields.push((key, value)));
        fields.into_iter()
    }
}
