//! Events as JSON: what `throughline events --json` prints, one object a line.
//!
//! A stable mirror of [`Event`]: fields are added, never renamed or removed. Every event has `seq`,
//! `time`, `event` and `text`; `peer`, `session`, `lane` and `uplink` are `null` where it is about
//! none; what only some kinds have is absent in the others. Times are in milliseconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use throughline::events::{Event, EventKind, OneWay, Suspicion};

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventReport {
    /// Its number since the start of the daemon; none is left out.
    pub seq: u64,
    /// When: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What kind of event (`lane-up`, `lane-suspected`, …).
    pub event: String,
    /// The peer's name in the configuration.
    pub peer: Option<String>,
    /// The session's id, 32 hexadecimal digits.
    pub session: Option<String>,
    /// The lane's number in the session.
    pub lane: Option<u64>,
    /// The uplink at this end.
    pub uplink: Option<String>,
    /// The event in words.
    pub text: String,
    /// What only some kinds have.
    #[serde(flatten)]
    pub details: Details,
}

/// What only some kinds of events have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Who suspects the lane: `us` or `peer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The rule that raised the suspicion: `bulk` or `thin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How long nothing was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<f64>,
    /// How long the set-up of a lane took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Whether we dialled the lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialled: Option<bool>,
    /// How long the state lasted that ended (the doubt, the lane, the time without a lane, the
    /// sleep), or lasts already: no dial gets through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<f64>,
    /// How long the state lasts that began: the hold-down, the linger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<f64>,
    /// Bytes sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The lanes they were sent instead of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Vec<u64>>,
    /// Packets that came on a lane of which one direction works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Percent of the bytes sent on a lane that are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// Where something moved from: an uplink, or the peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where it moved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Our address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The address that came or went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The key that somebody unknown showed, `tlk1…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where a refused flow was to lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Refused flows, dials of strangers or brief doubts in a lane before this one that were not
    /// told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub besides: Option<u64>,
    /// Whether no other uplink is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<bool>,
}

impl From<&Event> for EventReport {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq,
            time: humantime::format_rfc3339_millis(event.at).to_string(),
            event: event.kind.name().to_owned(),
            peer: event.peer.as_ref().map(ToString::to_string),
            session: event.session.map(|id| format!("{:032x}", id.0)),
            lane: event.lane.map(|id| id.0),
            uplink: event.uplink.clone(),
            text: event.kind.to_string(),
            details: Details::from(&event.kind),
        }
    }
}

impl From<&EventKind> for Details {
    fn from(kind: &EventKind) -> Self {
        let ms = |time: &Duration| Some(time.as_secs_f64() * 1e3);
        let none = Self::default();
        match kind {
            EventKind::LaneUp { local, remote, took, dialled } => Self {
                local: Some(local.to_string()),
                remote: Some(remote.to_string()),
                took_ms: ms(took),
                dialled: Some(*dialled),
                ..none
            },
            EventKind::LaneSuspected { by: Suspicion::Ours { rule, silent }, besides } => Self {
                by: Some("us".to_owned()),
                rule: Some(rule.to_string()),
                silent_ms: ms(silent),
                besides: Some(*besides),
                ..none
            },
            EventKind::LaneSuspected { by: Suspicion::Peers, besides } => {
                Self { by: Some("peer".to_owned()), besides: Some(*besides), ..none }
            }
            EventKind::LaneOneWay { by: OneWay::Ours { received } } => {
                Self { by: Some("us".to_owned()), received: Some(*received), ..none }
            }
            EventKind::LaneOneWay { by: OneWay::Peers } => {
                Self { by: Some("peer".to_owned()), ..none }
            }
            EventKind::LaneLossy { percent } => Self { percent: Some(*percent), ..none },
            EventKind::Hedged { bytes, instead_of } => Self {
                bytes: Some(*bytes),
                instead_of: Some(instead_of.iter().map(|id| id.0).collect()),
                ..none
            },
            EventKind::LaneHealed { after } | EventKind::SessionResumed { after } => {
                Self { after_ms: ms(after), ..none }
            }
            EventKind::LaneMoved { from, to, local } => Self {
                from: Some(from.clone()),
                to: Some(to.clone()),
                local: Some(local.to_string()),
                ..none
            },
            EventKind::PeerMoved { from, to } => {
                Self { from: Some(from.to_string()), to: Some(to.to_string()), ..none }
            }
            EventKind::LaneDown { why, after } => {
                Self { why: Some(why.clone()), after_ms: ms(after), ..none }
            }
            EventKind::SessionDetached { linger } => Self { for_ms: ms(linger), ..none },
            EventKind::SessionOver { why } => Self { why: Some(why.clone()), ..none },
            EventKind::AddressCame { address } => {
                Self { address: Some(address.to_string()), ..none }
            }
            EventKind::AddressWent { address, why } => {
                Self { address: Some(address.to_string()), why: Some(why.clone()), ..none }
            }
            EventKind::DrainBegan { last } => Self { last: Some(*last), ..none },
            EventKind::HoldDownBegan { lasts, why } => {
                Self { for_ms: ms(lasts), why: Some(why.clone()), ..none }
            }
            EventKind::FlowRefused { target, why, besides } => Self {
                target: Some(target.clone()),
                why: Some(why.clone()),
                besides: Some(*besides),
                ..none
            },
            EventKind::PeerUnreachable { dial, why, after } => Self {
                local: dial.map(|(local, _)| local.to_string()),
                remote: dial.map(|(_, remote)| remote.to_string()),
                why: Some(why.clone()),
                after_ms: ms(after),
                ..none
            },
            EventKind::StrangerRefused { key, remote, besides } => Self {
                key: Some(key.to_string()),
                remote: Some(remote.to_string()),
                besides: Some(*besides),
                ..none
            },
            EventKind::Slept { lasted } => Self { after_ms: ms(lasted), ..none },
            _ => none,
        }
    }
}

/// A line for a person: when, which peer, which lane over which uplink, what.
impl fmt::Display for EventReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.time)?;
        let lane = self.lane.map(|lane| format!("l{lane}"));
        for word in [&self.peer, &lane, &self.uplink].into_iter().flatten() {
            write!(f, "  {word}")?;
        }
        write!(f, "  {}", self.text)
    }
}
