//! A datagram as an application writes and reads it.

use bytes::Bytes;

use super::TrafficClass;

/// A datagram of an application.
///
/// Bytes alone are one of the default class: `flow.send("hello")`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// What is in it.
    pub payload: Bytes,
    /// How the network is to treat it, beyond the peer.
    pub class: TrafficClass,
}

impl Datagram {
    /// Returns a datagram of this class.
    pub fn new(payload: impl Into<Bytes>, class: TrafficClass) -> Self {
        Self { payload: payload.into(), class }
    }
}

impl<T: Into<Bytes>> From<T> for Datagram {
    fn from(payload: T) -> Self {
        Self::new(payload, TrafficClass::DEFAULT)
    }
}
