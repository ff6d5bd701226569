//! The opening of a flow, and its outcome.

use bytes::{Buf, BufMut};

use crate::types::{FailureCode, Mode, OpenFailure, Target};
use crate::wire::codec::{
    DecodeError, get_detail, get_target, get_varint, put_detail, put_target, put_varint,
};

/// What the opener of a flow asks for. Repeated until the peer is known to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Where the flow leads.
    pub target: Target,
    /// How the opener uses lanes, and asks the acceptor of the flow to use them.
    pub mode: Mode,
}

/// The outcome of an open. The acceptor of the flow sets it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination is connected.
    Opened,
    /// The destination is not connected, and why.
    Failed(OpenFailure),
}

impl Open {
    pub(crate) fn put(&self, out: &mut impl BufMut) {
        out.put_u8(match self.mode {
            Mode::Auto => 0,
            Mode::Single => 1,
            Mode::Bond => 2,
            Mode::Redundant => 3,
            Mode::AutoBond => 4,
        });
        put_target(out, &self.target);
    }

    pub(crate) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        if !buf.has_remaining() {
            return Err(DecodeError::Truncated("mode"));
        }
        let mode = match buf.get_u8() {
            0 => Mode::Auto,
            1 => Mode::Single,
            2 => Mode::Bond,
            3 => Mode::Redundant,
            4 => Mode::AutoBond,
            other => return Err(DecodeError::Invalid("mode", other.into())),
        };
        Ok(Self { mode, target: get_target(buf)? })
    }
}

impl Outcome {
    pub(crate) fn put(&self, out: &mut impl BufMut) {
        match self {
            Self::Opened => put_varint(out, 0),
            Self::Failed(failure) => {
                put_varint(out, failure.code.to_wire());
                put_detail(out, &failure.detail);
            }
        }
    }

    pub(crate) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        Ok(match get_varint(buf, "open outcome")? {
            0 => Self::Opened,
            code => Self::Failed(OpenFailure::new(
                FailureCode::from_wire(code),
                get_detail(buf, "open failure")?,
            )),
        })
    }
}
