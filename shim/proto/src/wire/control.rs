//! The control stream: messages, each of a type, a length and a body.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::codec::{DecodeError, get_bounded, get_detail, get_varint, put_detail, put_varint};
use super::fact::{FlowState, LaneHealth, LaneUse, Locators};
use super::hello::{Hello, Reject, Welcome};
use crate::types::FlowId;

/// The longest body of a control message, in bytes.
///
/// A [`Message::FactAck`] of [`MAX_FACT_ACKS`] entries needs 8 KiB at most; the rest is room for
/// later versions.
pub const MAX_BODY: usize = 16 * 1024;

/// The most entries of a [`Message::FactAck`].
pub const MAX_FACT_ACKS: usize = 512;

/// Types from here up may be skipped by an end that does not know them.
const FIRST_OPTIONAL_TYPE: u64 = 0x40;

/// A message on the control stream of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The initiator's first message.
    Hello(Hello),
    /// The acceptor's first message, if it attaches the lane.
    Welcome(Welcome),
    /// The acceptor's first and last message, if it does not.
    Reject(Reject),
    /// The state of a flow at this end.
    FlowState(FlowState),
    /// The versions of flow states that this end has.
    FactAck(Vec<(FlowId, u64)>),
    /// The state of every live flow has been sent since the lane attached (cf. the End-of-RIB
    /// marker, RFC 4724 §2).
    EndOfSync,
    /// Where this end can be reached.
    Locators(Locators),
    /// How this end wants a lane to be used.
    LaneUse(LaneUse),
    /// Whether this end suspects a lane.
    LaneHealth(LaneHealth),
    /// The session is over for good; its flows are reset.
    Close {
        /// 0 for a regular end.
        code: u64,
        /// For a person; at most 255 bytes.
        detail: String,
    },
}

/// Why the control stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// A message cannot be decoded.
    #[error("bad {0} message: {1}")]
    Decode(&'static str, #[source] DecodeError),
    /// A type that this version neither knows nor may skip.
    #[error("unknown control message type {0:#x}; the peer speaks a later version")]
    UnknownType(u64),
    /// A message is longer than allowed.
    #[error("control message of {0} bytes; at most {MAX_BODY} are allowed")]
    TooLong(u64),
}

impl Message {
    const fn wire_type(&self) -> u64 {
        match self {
            Self::Hello(_) => 0x01,
            Self::Welcome(_) => 0x02,
            Self::Reject(_) => 0x03,
            Self::FlowState(_) => 0x04,
            Self::FactAck(_) => 0x05,
            Self::EndOfSync => 0x06,
            Self::Locators(_) => 0x07,
            Self::LaneUse(_) => 0x08,
            Self::LaneHealth(_) => 0x09,
            Self::Close { .. } => 0x0a,
        }
    }

    /// Appends the message, framed, to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut body = BytesMut::with_capacity(64);
        match self {
            Self::Hello(hello) => hello.put(&mut body),
            Self::Welcome(welcome) => welcome.put(&mut body),
            Self::Reject(reject) => reject.put(&mut body),
            Self::FlowState(state) => state.put(&mut body),
            Self::FactAck(acks) => {
                put_varint(&mut body, acks.len() as u64);
                for (flow, version) in acks {
                    put_varint(&mut body, flow.0);
                    put_varint(&mut body, *version);
                }
            }
            Self::EndOfSync => {}
            Self::Locators(locators) => locators.put(&mut body),
            Self::LaneUse(lane_use) => lane_use.put(&mut body),
            Self::LaneHealth(health) => health.put(&mut body),
            Self::Close { code, detail } => {
                put_varint(&mut body, *code);
                put_detail(&mut body, detail);
            }
        }
        put_varint(out, self.wire_type());
        put_varint(out, body.len() as u64);
        out.put_slice(&body);
    }

    /// Returns the message, framed.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }
}

/// Splits a control stream into messages; holds at most one incomplete message.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Appends bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next complete message, if there is one. Unknown messages are skipped where they
    /// may be.
    pub fn next_message(&mut self) -> Result<Option<Message>, ControlError> {
        loop {
            let mut peek = &self.buffer[..];
            let (Ok(kind), Ok(len)) = (get_varint(&mut peek, ""), get_varint(&mut peek, "")) else {
                return Ok(None);
            };
            if len > MAX_BODY as u64 {
                return Err(ControlError::TooLong(len));
            }
            if (peek.len() as u64) < len {
                return Ok(None);
            }
            let head = self.buffer.len() - peek.len();
            self.buffer.advance(head);
            let body = self.buffer.split_to(len as usize);
            if let Some(message) = decode(kind, &body)? {
                return Ok(Some(message));
            }
        }
    }
}

fn decode(kind: u64, mut body: &[u8]) -> Result<Option<Message>, ControlError> {
    let buf = &mut body;
    let (name, result) = match kind {
        0x01 => ("Hello", Hello::get(buf).map(Message::Hello)),
        0x02 => ("Welcome", Welcome::get(buf).map(Message::Welcome)),
        0x03 => ("Reject", Reject::get(buf).map(Message::Reject)),
        0x04 => ("FlowState", FlowState::get(buf).map(Message::FlowState)),
        0x05 => ("FactAck", get_fact_acks(buf).map(Message::FactAck)),
        0x06 => ("EndOfSync", Ok(Message::EndOfSync)),
        0x07 => ("Locators", Locators::get(buf).map(Message::Locators)),
        0x08 => ("LaneUse", LaneUse::get(buf).map(Message::LaneUse)),
        0x09 => ("LaneHealth", LaneHealth::get(buf).map(Message::LaneHealth)),
        0x0a => ("Close", get_close(buf)),
        kind if kind >= FIRST_OPTIONAL_TYPE => return Ok(None),
        kind => return Err(ControlError::UnknownType(kind)),
    };
    let message = result.map_err(|e| ControlError::Decode(name, e))?;
    if !body.is_empty() {
        return Err(ControlError::Decode(name, DecodeError::Trailing(name, body.len())));
    }
    Ok(Some(message))
}

fn get_fact_acks(buf: &mut impl Buf) -> Result<Vec<(FlowId, u64)>, DecodeError> {
    let count = get_bounded(buf, "fact-ack count", MAX_FACT_ACKS as u64)?;
    (0..count)
        .map(|_| Ok((FlowId(get_varint(buf, "flow id")?), get_varint(buf, "fact version")?)))
        .collect()
}

fn get_close(buf: &mut impl Buf) -> Result<Message, DecodeError> {
    Ok(Message::Close {
        code: get_varint(buf, "close code")?,
        detail: get_detail(buf, "close detail")?,
    })
}

#[cfg(test)]
#[path = "control/tests.rs"]
mod tests;
