//! The first exchange on a lane: `Hello`, answered by `Welcome` or `Reject`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut};

use super::codec::{DecodeError, get_bounded, get_detail, get_varint, put_detail, put_varint};
use crate::types::{LaneId, SessionId};

/// Whether the acceptor may create the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Create the session if it does not exist; else attach to it.
    Create,
    /// Attach only. If the acceptor does not know the session (it restarted), it says so.
    Resume,
}

/// The initiator's first message on a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The highest protocol version the initiator speaks.
    pub version: u64,
    /// The session.
    pub session: SessionId,
    /// Create or resume.
    pub intent: Intent,
    /// Grows whenever the session is handed over to another process; lower ones are stale.
    pub generation: u64,
    /// The initiator's process: a random number that it draws when it starts. Sessions that an earlier
    /// process of the same peer created have nobody left to resume them.
    pub instance: u64,
    /// The number of this lane.
    pub lane: LaneId,
    /// The initiator's parameters.
    pub params: SessionParams,
}

/// The limits that one end sets for the session (cf. transport parameters, RFC 9000 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionParams {
    /// How long this end keeps the session without any lane (whole seconds on the wire).
    pub linger: Duration,
    /// How many bytes the peer may send on a flow before it has a maximum offset for it.
    pub initial_window: u64,
    /// How many flows the peer may have open at once.
    pub max_flows: u64,
}

/// The acceptor's answer: the lane is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both ends speak on this lane.
    pub version: u64,
    /// The acceptor's parameters.
    pub params: SessionParams,
}

/// Why an acceptor does not attach a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectCode {
    /// A `Resume` of a session that does not exist: the peer restarted, and its flows are gone.
    UnknownSession,
    /// No protocol version in common.
    Version,
    /// A newer generation of the session has attached.
    Stale,
    /// Both ends created a session at once, and the other one prevails.
    Superseded,
    /// Too many sessions or lanes.
    Limit,
    /// The acceptor is shutting down.
    ShuttingDown,
    /// An unknown code.
    Other(u64),
}

impl RejectCode {
    const fn to_wire(self) -> u64 {
        match self {
            Self::UnknownSession => 1,
            Self::Version => 2,
            Self::Stale => 3,
            Self::Superseded => 4,
            Self::Limit => 5,
            Self::ShuttingDown => 6,
            Self::Other(code) => code,
        }
    }

    const fn from_wire(code: u64) -> Self {
        match code {
            1 => Self::UnknownSession,
            2 => Self::Version,
            3 => Self::Stale,
            4 => Self::Superseded,
            5 => Self::Limit,
            6 => Self::ShuttingDown,
            other => Self::Other(other),
        }
    }
}

/// The acceptor's answer: the lane is not attached, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why, for a program.
    pub code: RejectCode,
    /// Why, for a person; at most 255 bytes.
    pub detail: String,
}

/// What comes before the address of the other end, in the detail of a `Reject`.
const SEEN_FROM: &str = "; seen from ";

impl Reject {
    /// Says from which address the other end is seen: who probes a path learns of a NAT by it.
    #[must_use]
    pub fn seen_from(mut self, addr: SocketAddr) -> Self {
        self.detail += &format!("{SEEN_FROM}{addr}");
        self
    }
}

/// Returns the address from which the acceptor has seen the dialing end, where the detail of its `Reject` says so.
pub fn seen_from(detail: &str) -> Option<SocketAddr> {
    detail.rsplit_once(SEEN_FROM)?.1.parse().ok()
}

/// The longest linger, in seconds: 30 days. A longer one on the wire is read as this.
const MAX_LINGER: u64 = 30 * 24 * 3600;

impl SessionParams {
    fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.linger.as_secs());
        put_varint(out, self.initial_window);
        put_varint(out, self.max_flows);
    }

    fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        Ok(Self {
            linger: Duration::from_secs(get_varint(buf, "linger")?.min(MAX_LINGER)),
            initial_window: get_varint(buf, "initial window")?,
            max_flows: get_varint(buf, "flow limit")?,
        })
    }
}

impl Hello {
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.version);
        out.put_u128(self.session.0);
        put_varint(
            out,
            match self.intent {
                Intent::Create => 0,
                Intent::Resume => 1,
            },
        );
        put_varint(out, self.generation);
        out.put_u64(self.instance);
        put_varint(out, self.lane.0);
        self.params.put(out);
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let version = get_varint(buf, "version")?;
        if buf.remaining() < 16 {
            return Err(DecodeError::Truncated("session id"));
        }
        let session = SessionId(buf.get_u128());
        let intent = match get_bounded(buf, "intent", 1)? {
            0 => Intent::Create,
            _ => Intent::Resume,
        };
        let generation = get_varint(buf, "generation")?;
        if buf.remaining() < 8 {
            return Err(DecodeError::Truncated("instance"));
        }
        Ok(Self {
            version,
            session,
            intent,
            generation,
            instance: buf.get_u64(),
            lane: LaneId(get_varint(buf, "lane")?),
            params: SessionParams::get(buf)?,
        })
    }
}

impl Welcome {
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.version);
        self.params.put(out);
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        Ok(Self { version: get_varint(buf, "version")?, params: SessionParams::get(buf)? })
    }
}

impl Reject {
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.code.to_wire());
        put_detail(out, &self.detail);
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        Ok(Self {
            code: RejectCode::from_wire(get_varint(buf, "reject code")?),
            detail: get_detail(buf, "reject detail")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_dialer_learns_from_where_it_is_seen() {
        for addr in ["203.0.113.7:4711", "[2001:db8::7]:4711"].map(|a| a.parse().unwrap()) {
            let reject = Reject { code: RejectCode::UnknownSession, detail: "none".to_owned() };
            assert_eq!(seen_from(&reject.seen_from(addr).detail), Some(addr));
        }
        assert_eq!(seen_from("session not known here"), None);
        assert_eq!(seen_from("none; seen from afar"), None);
    }
}
