//! Facts: versioned statements of state, safe to repeat anywhere and to merge in any order.

use std::ops::Range;

use bytes::{Buf, BufMut};

use super::codec::{
    DecodeError, MAX_DETAIL, MAX_VARINT, get_bounded, get_string, get_target, get_varint,
    put_detail, put_target, put_varint,
};
use crate::types::{FailureCode, FlowId, Host, LaneId, Locator, Mode, OpenFailure, Target};

/// The most ranges a [`FlowState`] lists. What lies above is stated later; it is not lost.
pub const MAX_RANGES: usize = 32;

/// The most locators a peer may state.
pub const MAX_LOCATORS: usize = 64;

/// What the opener asks for. Stated until the peer is known to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Where the flow leads.
    pub target: Target,
    /// How the opener uses lanes, and asks the acceptor to.
    pub mode: Mode,
}

/// What became of an open; written once by the acceptor of the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination is connected.
    Opened,
    /// It is not, and why.
    Failed(OpenFailure),
}

/// A reset of the whole flow; written once by each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetAt {
    /// The application's error code.
    pub code: u64,
    /// What precedes this offset is still delivered.
    pub at: u64,
}

/// One side's state of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowState {
    /// The flow.
    pub flow: FlowId,
    /// Grows with every change of this side's state.
    pub version: u64,
    /// What the assembler has, from the lowest: at most [`MAX_RANGES`], disjoint, ascending.
    pub received: Vec<Range<u64>>,
    /// The peer may send what precedes this offset. Never shrinks.
    pub max_offset: u64,
    /// How many bytes this side sends in all, once it knows.
    pub final_size: Option<u64>,
    /// The open request (opener's side only).
    pub open: Option<Open>,
    /// What became of it (acceptor's side only).
    pub outcome: Option<Outcome>,
    /// This side reset the flow.
    pub reset: Option<ResetAt>,
}

/// Where a side can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locators {
    /// Grows with every change.
    pub generation: u64,
    /// The whole list.
    pub list: Vec<Locator>,
}

/// How a side wants a lane to be used. The stricter word binds both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneUse {
    /// The lane.
    pub lane: LaneId,
    /// Grows with every change.
    pub version: u64,
    /// 0 free, 255 most costly; from 128 up the lane is used only where no cheaper one is.
    pub cost: u8,
    /// The lane is about to go: nothing new on it.
    pub draining: bool,
}

/// What a side thinks of a lane's health, told on the other lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneHealth {
    /// The lane.
    pub lane: LaneId,
    /// Grows with every change: a slow lane must not bring back an old word.
    pub version: u64,
    /// What the sender of this message thinks of it.
    pub suspicion: Suspicion,
}

/// What an end thinks of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It is well.
    None,
    /// Acknowledgements of what this end sends are overdue.
    Suspected,
    /// They are, and what the other end sends comes: only this direction is dead.
    OneWay,
}

const HAS_FINAL_SIZE: u8 = 1;
const HAS_OPEN: u8 = 2;
const HAS_OUTCOME: u8 = 4;
const HAS_RESET: u8 = 8;

pub(super) fn put_mode(out: &mut impl BufMut, mode: Mode) {
    out.put_u8(match mode {
        Mode::Auto => 0,
        Mode::Single => 1,
        Mode::Bond => 2,
        Mode::Redundant => 3,
    });
}

pub(super) fn get_mode(buf: &mut impl Buf) -> Result<Mode, DecodeError> {
    if !buf.has_remaining() {
        return Err(DecodeError::Truncated("mode"));
    }
    match buf.get_u8() {
        0 => Ok(Mode::Auto),
        1 => Ok(Mode::Single),
        2 => Ok(Mode::Bond),
        3 => Ok(Mode::Redundant),
        other => Err(DecodeError::Invalid("mode", other.into())),
    }
}

impl FlowState {
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.flow.0);
        put_varint(out, self.version);
        put_varint(out, self.max_offset);
        let flag = |set: bool, bit| if set { bit } else { 0 };
        out.put_u8(
            flag(self.final_size.is_some(), HAS_FINAL_SIZE)
                | flag(self.open.is_some(), HAS_OPEN)
                | flag(self.outcome.is_some(), HAS_OUTCOME)
                | flag(self.reset.is_some(), HAS_RESET),
        );
        put_varint(out, self.received.len() as u64);
        let mut last = 0;
        for range in &self.received {
            put_varint(out, range.start - last);
            put_varint(out, range.end - range.start);
            last = range.end;
        }
        if let Some(size) = self.final_size {
            put_varint(out, size);
        }
        if let Some(open) = &self.open {
            put_mode(out, open.mode);
            put_target(out, &open.target);
        }
        match &self.outcome {
            None => {}
            Some(Outcome::Opened) => put_varint(out, 0),
            Some(Outcome::Failed(failure)) => {
                put_varint(out, failure.code.to_wire());
                put_detail(out, &failure.detail);
            }
        }
        if let Some(reset) = self.reset {
            put_varint(out, reset.code);
            put_varint(out, reset.at);
        }
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let flow = FlowId(get_varint(buf, "flow id")?);
        let version = get_varint(buf, "fact version")?;
        let max_offset = get_varint(buf, "max offset")?;
        if !buf.has_remaining() {
            return Err(DecodeError::Truncated("flow flags"));
        }
        let flags = buf.get_u8();
        if flags & !(HAS_FINAL_SIZE | HAS_OPEN | HAS_OUTCOME | HAS_RESET) != 0 {
            return Err(DecodeError::Invalid("flow flags", flags.into()));
        }
        let received = get_ranges(buf)?;
        let final_size = match flags & HAS_FINAL_SIZE {
            0 => None,
            _ => Some(get_varint(buf, "final size")?),
        };
        let open = match flags & HAS_OPEN {
            0 => None,
            _ => Some(Open { mode: get_mode(buf)?, target: get_target(buf)? }),
        };
        let outcome = match flags & HAS_OUTCOME {
            0 => None,
            _ => Some(match get_varint(buf, "open outcome")? {
                0 => Outcome::Opened,
                code => Outcome::Failed(OpenFailure::new(
                    FailureCode::from_wire(code),
                    get_string(buf, "open failure", MAX_DETAIL)?,
                )),
            }),
        };
        let reset = match flags & HAS_RESET {
            0 => None,
            _ => Some(ResetAt {
                code: get_varint(buf, "reset code")?,
                at: get_varint(buf, "reset offset")?,
            }),
        };
        Ok(Self { flow, version, received, max_offset, final_size, open, outcome, reset })
    }
}

fn get_ranges(buf: &mut impl Buf) -> Result<Vec<Range<u64>>, DecodeError> {
    let count = get_bounded(buf, "range count", MAX_RANGES as u64)?;
    let mut ranges: Vec<Range<u64>> = Vec::with_capacity(count as usize);
    let mut last = 0u64;
    for index in 0..count {
        let gap = get_varint(buf, "range gap")?;
        let len = get_varint(buf, "range length")?;
        if len == 0 || (gap == 0 && index > 0) {
            return Err(DecodeError::Invalid("range length or gap", 0));
        }
        let start = last + gap;
        let end = start + len;
        if end > MAX_VARINT {
            return Err(DecodeError::TooLarge("range end", end, MAX_VARINT));
        }
        ranges.push(start..end);
        last = end;
    }
    Ok(ranges)
}

impl Locators {
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.generation);
        put_varint(out, self.list.len().min(MAX_LOCATORS) as u64);
        for locator in self.list.iter().take(MAX_LOCATORS) {
            put_target(out, &Target::Tcp { host: locator.host.clone(), port: locator.port });
        }
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let generation = get_varint(buf, "locator generation")?;
        let count = get_bounded(buf, "locator count", MAX_LOCATORS as u64)?;
        let mut list = Vec::with_capacity(count as usize);
        for _ in 0..count {
            match get_target(buf)? {
                Target::Tcp { host: host @ Host::Ip(_), port } => {
                    list.push(Locator { host, port });
                }
                _ => return Err(DecodeError::Invalid("locator kind", 3)),
            }
        }
        Ok(Self { generation, list })
    }
}

impl LaneUse {
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.lane.0);
        put_varint(out, self.version);
        out.put_u8(self.cost);
        out.put_u8(self.draining.into());
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
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
    pub(super) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.lane.0);
        put_varint(out, self.version);
        out.put_u8(match self.suspicion {
            Suspicion::None => 0,
            Suspicion::Suspected => 1,
            Suspicion::OneWay => 2,
        });
    }

    pub(super) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
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
