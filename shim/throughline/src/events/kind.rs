//! What can happen, and how a person reads it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use throughline_proto::health::Rule;
use throughline_proto::types::{LaneId, PeerId};

/// What happened. `Display` gives the words for a person: a lower-case phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A lane was set up.
    LaneUp {
        /// Our address.
        local: SocketAddr,
        /// The peer's.
        remote: SocketAddr,
        /// How long that took, from the first packet to the peer's welcome.
        took: Duration,
        /// We dialled it; else the peer did.
        dialled: bool,
    },
    /// A lane's acknowledgements are overdue, and what it carries is sent on others as well. Told
    /// once that has lasted for 100 ms, or bytes were sent again because of it.
    LaneSuspected {
        /// Who says so.
        by: Suspicion,
        /// Doubts in the lane before this one that were briefer, and not told.
        besides: u64,
    },
    /// Of a lane in doubt one direction works.
    LaneOneWay {
        /// Who found it: the end whose packets are lost.
        by: OneWay,
    },
    /// A lane answers, but much of what we send on it is lost: flows leave it where there is a
    /// better one.
    LaneLossy {
        /// How much, in percent of the bytes.
        percent: u64,
    },
    /// Bytes that are in doubt on other lanes were sent again on this one.
    Hedged {
        /// How many.
        bytes: u64,
        /// The lanes in doubt then; none where the doubtful lane was gone already.
        instead_of: Vec<LaneId>,
    },
    /// A lane in doubt answers again.
    LaneHealed {
        /// For how long it was in doubt.
        after: Duration,
    },
    /// A lane moved to another address of ours (RFC 9000 §9): the same connection.
    LaneMoved {
        /// The uplink it left.
        from: String,
        /// The uplink it is on now.
        to: String,
        /// Our address now.
        local: SocketAddr,
    },
    /// The peer moved a lane, or a NAT on the way gave it another address.
    PeerMoved {
        /// The address it had.
        from: SocketAddr,
        /// The address it has.
        to: SocketAddr,
    },
    /// A lane ended.
    LaneDown {
        /// Why.
        why: String,
        /// How long it was there.
        after: Duration,
    },
    /// The first lane of a session is up.
    SessionUp,
    /// A session has no lane any more; its flows wait.
    SessionDetached {
        /// How long they do.
        linger: Duration,
    },
    /// A session has a lane again; its flows go on.
    SessionResumed {
        /// How long it had none.
        after: Duration,
    },
    /// A session is over.
    SessionOver {
        /// Why.
        why: String,
    },
    /// An address came under an uplink.
    AddressCame {
        /// The address.
        address: IpAddr,
    },
    /// An uplink lost an address.
    AddressWent {
        /// The address.
        address: IpAddr,
        /// Why: removed, deprecated, the link is down.
        why: String,
    },
    /// An uplink is being drained: its lanes take nothing new.
    DrainBegan {
        /// No other uplink is left.
        last: bool,
    },
    /// A drained uplink is used again.
    DrainEnded,
    /// An uplink that failed, or a prefix of the peer, is not returned to for a while.
    HoldDownBegan {
        /// How long.
        lasts: Duration,
        /// Why.
        why: String,
    },
    /// It may be used again.
    HoldDownEnded,
    /// A flow was refused, here or at the far side.
    FlowRefused {
        /// Where it was to lead.
        target: String,
        /// Why.
        why: String,
        /// Refused flows before this one that were too many to be told.
        besides: u64,
    },
    /// The peer has no lane, and no dial to it gets through. Told once for each reason until a lane
    /// is up.
    PeerUnreachable {
        /// From where and to where the last dial was; `None` where none could be tried.
        dial: Option<(IpAddr, SocketAddr)>,
        /// Why it failed.
        why: String,
        /// For how long no dial has got through.
        after: Duration,
    },
    /// Somebody who is not among the peers dialled us and was refused.
    StrangerRefused {
        /// The key that was shown.
        key: PeerId,
        /// From where.
        remote: SocketAddr,
        /// Such dials before this one that were too many to be told.
        besides: u64,
    },
    /// The machine was suspended; every lane is asked at once whether it is alive.
    Slept {
        /// How long.
        lasted: Duration,
    },
}

/// Who suspects a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// We do: what we send on it is not acknowledged.
    Ours {
        /// By which rule.
        rule: Rule,
        /// How long nothing has been acknowledged.
        silent: Duration,
    },
    /// The peer does, and told us on another lane: what it sends is not acknowledged.
    Peers,
}

/// Which direction of a lane is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneWay {
    /// Ours: what we send is lost, what the peer sends comes.
    Ours {
        /// Packets that came since the last probe.
        received: u64,
    },
    /// The peer's, which told us on another lane.
    Peers,
}

impl EventKind {
    /// The name that programs know it by (`lane-up`).
    pub fn name(&self) -> &'static str {
        match self {
            Self::LaneUp { .. } => "lane-up",
            Self::LaneSuspected { .. } => "lane-suspected",
            Self::LaneOneWay { .. } => "lane-one-way",
            Self::LaneLossy { .. } => "lane-lossy",
            Self::Hedged { .. } => "hedged",
            Self::LaneHealed { .. } => "lane-healed",
            Self::LaneMoved { .. } => "lane-moved",
            Self::PeerMoved { .. } => "peer-moved",
            Self::LaneDown { .. } => "lane-down",
            Self::SessionUp => "session-up",
            Self::SessionDetached { .. } => "session-detached",
            Self::SessionResumed { .. } => "session-resumed",
            Self::SessionOver { .. } => "session-over",
            Self::AddressCame { .. } => "address-came",
            Self::AddressWent { .. } => "address-went",
            Self::DrainBegan { .. } => "drain-began",
            Self::DrainEnded => "drain-ended",
            Self::HoldDownBegan { .. } => "hold-down-began",
            Self::HoldDownEnded => "hold-down-ended",
            Self::FlowRefused { .. } => "flow-refused",
            Self::PeerUnreachable { .. } => "peer-unreachable",
            Self::StrangerRefused { .. } => "stranger-refused",
            Self::Slept { .. } => "slept",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LaneUp { local, remote, took, dialled: true } => {
                write!(f, "lane up, {local} to {remote}, dialled in {}", Span(*took))
            }
            Self::LaneUp { local, remote, took, dialled: false } => {
                write!(f, "lane up, {remote} dialled {local}, set up in {}", Span(*took))
            }
            Self::LaneSuspected { by, besides } => {
                match by {
                    Suspicion::Ours { rule, silent } => {
                        let silent = Span(*silent);
                        write!(
                            f,
                            "lane suspected: nothing acknowledged for {silent} ({rule} rule)"
                        )?;
                    }
                    Suspicion::Peers => {
                        f.write_str("lane suspected by the peer: it gets no acknowledgement")?;
                    }
                }
                if *besides > 0 {
                    write!(f, " (and {besides} times for a moment before)")?;
                }
                Ok(())
            }
            Self::LaneOneWay { by: OneWay::Peers } => f.write_str(
                "one-way failure: what the peer sends is lost, what we send comes, it says",
            ),
            Self::LaneOneWay { by: OneWay::Ours { received } } => write!(
                f,
                "one-way failure: what we send is lost, what the peer sends comes ({received} packets)"
            ),
            Self::LaneLossy { percent } => {
                write!(f, "lane loses {percent} % of what we send")
            }
            Self::Hedged { bytes, instead_of } => {
                write!(f, "hedged: {} sent again here", Bytes(*bytes))?;
                if !instead_of.is_empty() {
                    let lanes: Vec<_> = instead_of.iter().map(ToString::to_string).collect();
                    write!(f, " instead of on {}", lanes.join(", "))?;
                }
                Ok(())
            }
            Self::LaneHealed { after } => write!(f, "lane answers again after {}", Span(*after)),
            Self::LaneMoved { from, to, local } => {
                write!(f, "lane moved from {from} to {to}, now from {local}")
            }
            Self::PeerMoved { from, to } => write!(f, "the peer's end moved from {from} to {to}"),
            Self::LaneDown { why, after } => write!(f, "lane down after {}: {why}", Span(*after)),
            Self::SessionUp => f.write_str("session up"),
            Self::SessionDetached { linger } => {
                write!(f, "session has no lane; its flows wait up to {}", Span(*linger))
            }
            Self::SessionResumed { after } => {
                write!(f, "session resumed after {} without a lane", Span(*after))
            }
            Self::SessionOver { why } => write!(f, "session over: {why}"),
            Self::AddressCame { address } => write!(f, "address {address} came"),
            Self::AddressWent { address, why } => write!(f, "address {address} went: {why}"),
            Self::DrainBegan { last: false } => f.write_str("drain began"),
            Self::DrainBegan { last: true } => {
                f.write_str("drain began, but no other uplink is left: its lanes stay in use")
            }
            Self::DrainEnded => f.write_str("drain ended"),
            Self::HoldDownBegan { lasts, why } => {
                write!(f, "held down for {}: {why}", Span(*lasts))
            }
            Self::HoldDownEnded => f.write_str("hold-down ended"),
            Self::FlowRefused { target, why, besides } => {
                write!(f, "flow to {target} refused: {why}")?;
                if *besides > 0 {
                    write!(f, " (and {besides} others before it)")?;
                }
                Ok(())
            }
            Self::PeerUnreachable { dial, why, after } => {
                f.write_str("peer not reached")?;
                // The first failure is told at once.
                if *after >= Duration::from_secs(1) {
                    write!(f, " for {}", Span(*after))?;
                }
                match dial {
                    Some((local, remote)) => {
                        write!(f, "; the last dial, from {local} to {remote}: {why}")
                    }
                    None => write!(f, ": {why}"),
                }
            }
            Self::StrangerRefused { key, remote, besides } => {
                write!(f, "{remote} refused: its key {key} is not among the peers")?;
                if *besides > 0 {
                    write!(f, " (and {besides} such dials before it)")?;
                }
                Ok(())
            }
            Self::Slept { lasted } => {
                write!(f, "the machine slept for {}; every lane is probed", Span(*lasted))
            }
        }
    }
}

/// A time as a person says it: three digits, one unit.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs_f64();
        match s {
            s if s < 0.01 => write!(f, "{:.1} ms", s * 1e3),
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1e3),
            s if s < 10.0 => write!(f, "{s:.1} s"),
            s if s < 120.0 => write!(f, "{s:.0} s"),
            s if s < 7200.0 => write!(f, "{:.0} min", s / 60.0),
            s => write!(f, "{:.0} h", s / 3600.0),
        }
    }
}

/// An amount with a decimal unit.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b if b < 1000 => write!(f, "{b} B"),
            b if b < 1_000_000 => write!(f, "{:.1} kB", b as f64 / 1e3),
            b => write!(f, "{:.1} MB", b as f64 / 1e6),
        }
    }
}
