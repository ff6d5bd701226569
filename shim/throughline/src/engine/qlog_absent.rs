//! What stands in for the qlog of lanes where the library is built without it: no connection has a writer.

use std::net::SocketAddr;

use quinn::TransportConfig;

use throughline_proto::types::{LaneId, PeerId, SessionId};

/// Whose qlog is read: nobody's.
#[derive(Clone, Default)]
pub(crate) struct Qlogs;

/// The qlog of a connection: none.
#[derive(Clone, Default)]
pub(crate) struct Trace;

impl Qlogs {
    pub(crate) fn of_dial(
        &self,
        _: PeerId,
        _: (SessionId, LaneId),
        _: &str,
        _: (SocketAddr, SocketAddr),
    ) -> Trace {
        Trace
    }

    pub(crate) fn of_accepted(&self) -> Trace {
        Trace
    }

    pub(crate) fn attached(
        &self,
        _: &Trace,
        _: PeerId,
        _: (SessionId, LaneId),
        _: Option<&str>,
        _: (SocketAddr, SocketAddr),
    ) {
    }

    pub(crate) fn outdates(&self, _: &Trace, _: PeerId, _: Option<&str>) -> bool {
        false
    }
}

impl Trace {
    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn write_into(&self, _: &mut TransportConfig) {}
}
