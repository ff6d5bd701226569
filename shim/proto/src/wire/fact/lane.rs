//! What an end advertises about a lane.

use bytes::{Buf, BufMut};

use crate::types::LaneId;
use crate::wire::codec::{DecodeError, get_varint, put_varint};

/// How an end wants a lane to be used.
///
/// The stricter of both ends' advertisements binds both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneUse {
    /// The lane.
    pub lane: LaneId,
    /// Grows with every change.
    pub version: u64,
    /// 0 is free, 255 the most costly; a lane of 128 or more is used only where no cheaper one is.
    pub cost: u8,
    /// The lane is about to go, so nothing new is sent on it.
    pub draining: bool,
}

/// Whether an end suspects a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneHealth {
    /// The lane.
    pub lane: LaneId,
    /// Grows with every change, so that a slow lane does not bring back an old advertisement.
    pub version: u64,
    /// What the sender of this message suspects.
    pub suspicion: Suspicion,
}

/// What an end suspects of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Nothing.
    None,
    /// What this end sends is no longer acknowledged in time.
    Suspected,
    /// The same, while packets of the other end arrive: only this end's direction has failed
    /// (cf. UDLD, RFC 5171).
    OneWay,
}

impl LaneUse {
    pub(in crate::wire) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.lane.0);
        put_varint(out, self.version);
        out.put_u8(self.cost);
        out.put_u8(self.draining.into());
    }

    pub(in crate::wire) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let lane = LaneId(get_varint(buf, "lane")?);
        let version = get_varint(buf, "lane-use version")?;
        if buf.remaining() < 2 {
            return Err(DecodeError::Truncated("lane cost"));
        }
        let cost = buf.get_u8();
        let draining = match buf.get_u8() {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Invalid("draining", other.into())),
        };
        Ok(Self { lane, version, cost, draining })
    }
}

impl LaneHealth {
    pub(in crate::wire) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.lane.0);
        put_varint(out, self.version);
        out.put_u8(match self.suspicion {
            Suspicion::None => 0,
            Suspicion::Suspected => 1,
            Suspicion::OneWay => 2,
        });
    }

    pub(in crate::wire) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let lane = LaneId(get_varint(buf, "lane")?);
        let version = get_varint(buf, "lane-health version")?;
        if !buf.has_remaining() {
            return Err(DecodeError::Truncated("suspicion"));
        }
        let suspicion = match buf.get_u8() {
            0 => Suspicion::None,
            1 => Suspicion::Suspected,
            2 => Suspicion::OneWay,
            other => return Err(DecodeError::Invalid("suspicion", other.into())),
        };
        Ok(Self { lane, version, suspicion })
    }
}
