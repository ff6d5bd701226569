//! How far a relay is: all that another relay needs to go on, with the same connection and the same flow.

use std::sync::Arc;

use bytes::Bytes;

use crate::proxy::stream::Stream;
use throughline::{FlowId, SessionId};

/// A flow's session and number.
pub type FlowKey = (SessionId, FlowId);

/// Where a relay leads an application's connection.
#[derive(Clone, Debug)]
pub enum OtherEnd {
    /// Into a flow.
    Flow(FlowKey),
    /// Into a connection of this host's own.
    Direct(Arc<Stream>),
}

/// How far a relay is in its two directions.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// From the application to the flow.
    pub up: Up,
    /// From the flow to the application.
    pub down: Down,
}

impl Progress {
    /// Begins a relay of which `early` has been read from the application already.
    pub fn after(early: Bytes) -> Self {
        let up = Up { moved: early.len() as u64, unsent: early, ended: false };
        Self { up, down: Down::default() }
    }
}

/// From the application to the flow.
#[derive(Clone, Debug, Default)]
pub struct Up {
    /// What was read and the flow has not taken.
    pub unsent: Bytes,
    /// The application's FIN was passed on.
    pub ended: bool,
    /// The bytes that were read.
    pub moved: u64,
}

/// From the flow to the application.
#[derive(Clone, Debug, Default)]
pub struct Down {
    /// What was taken from the flow and the connection has not; empty chunks are places for more.
    pub unwritten: Vec<Bytes>,
    /// The end of the peer's direction was passed on.
    pub ended: bool,
    /// The bytes that were written.
    pub moved: u64,
}

/// A relay that stands still.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Where it leads.
    pub other_end: OtherEnd,
    /// The application's connection.
    pub tcp: Arc<Stream>,
    /// The ingress it came in by; none at the egress.
    pub ingress: Option<Arc<str>>,
    /// How far it is.
    pub progress: Progress,
}

#[cfg(test)]
impl Parked {
    /// Returns one of no flow.
    pub(crate) fn for_test() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let tcp = Arc::new(tokio::net::TcpStream::from_std(tcp).unwrap().into());
        let other_end = OtherEnd::Flow((SessionId(0), FlowId(0)));
        Self { other_end, tcp, ingress: None, progress: Progress::default() }
    }
}
