//! Datagram flows: how applications send and receive, which lanes carry what, and when a flow is over.
//!
//! A datagram flow is a flow: it is opened, answered, reset and forgotten by facts, as one of bytes is, and its lanes
//! are chosen by the same [`selection`](crate::selection). Its datagrams go beside that, unacknowledged, in
//! DATAGRAM frames: a thin flow's on two lanes at once, where its mode says so. One that does not fit such a frame of
//! its lane is a stream of its own there.
//!
//! | part | what it does |
//! |---|---|
//! | here | the application's calls |
//! | `transmit` | gives datagrams to lanes, the flows in turn |
//! | `long` | follows those that are streams of their own |
//! | `receive` | takes those of the peer |
//! | `over` | ends flows that are idle, or released and sent |

mod long;
mod over;
mod receive;
mod transmit;

use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

pub use self::over::IDLE;
pub use self::transmit::DatagramsPolled;
pub(in crate::session) use self::transmit::NextDatagram;
use super::Session;
use super::datagram_flows::MIN_DATAGRAM;
use crate::datagram::OVERHEAD;
use crate::flow::Opening;
use crate::types::{Datagram, FlowId, OpenFailure, TrafficClass};
use crate::wire::flow_datagram::FlowDatagram;
use crate::wire::long_datagram::MAX_DATAGRAM;

/// Why a datagram flow takes or gives no datagram.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The datagram is longer than one of UDP may be. The flow goes on.
    #[error("datagram of {len} bytes; one may have at most {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// The peer refused the flow.
    #[error("{0}")]
    Refused(OpenFailure),
    /// The destination answers that it takes no datagrams, or that it cannot be reached.
    #[error("{0}")]
    Unreachable(OpenFailure),
    /// Nothing was sent or received for longer than a flow may be idle.
    #[error("datagram flow was idle for too long")]
    Idle,
    /// The peer, or its application, ended the flow.
    #[error("datagram flow ended by the peer")]
    Ended,
    /// The session is closed.
    #[error("session closed: {0}")]
    Closed(String),
}

impl Session {
    /// Queues a datagram, which is not acknowledged and may be lost.
    ///
    /// # Errors
    /// The flow is over, or the datagram too long; in the latter case the flow goes on.
    pub fn send_datagram(
        &mut self,
        now: Instant,
        id: FlowId,
        datagram: impl Into<Datagram>,
    ) -> Result<(), DatagramError> {
        let datagram = datagram.into();
        let len = datagram.payload.len();
        self.check_datagrams(id)?;
        let max = MAX_DATAGRAM;
        let scarce = self.is_memory_scarce();
        let Some(flow) = self.flows.get_mut(&id) else { return Err(DatagramError::Ended) };
        let Some(datagrams) = &mut flow.datagrams else { return Err(DatagramError::Ended) };
        if len > max {
            datagrams.tx.refuse_too_long();
            return Err(DatagramError::TooLong { len, max });
        }
        flow.tx.meter(now, (len + OVERHEAD) as u64);
        datagrams.active_at = Some(now);
        datagrams.tx.push(now, datagram, scarce);
        self.account_buffer(id);
        self.schedule(now, id);
        self.expire_in_time(id);
        self.notice_unserved_write();
        Ok(())
    }

    /// Returns the next datagram of the peer. `None` says that there is none yet:
    /// [`SessionEvent::Readable`](super::SessionEvent::Readable) or
    /// [`SessionEvent::Broken`](super::SessionEvent::Broken) follows.
    ///
    /// # Errors
    /// The flow is over, and everything that had arrived has been taken.
    pub fn receive_datagram(&mut self, id: FlowId) -> Result<Option<Datagram>, DatagramError> {
        if let Some(flow) = self.flows.get_mut(&id) {
            let datagram = flow.datagrams.as_mut().and_then(|datagrams| datagrams.rx.pop());
            if datagram.is_some() {
                return Ok(datagram);
            }
            flow.app.read_waiting = true;
        }
        self.check_datagrams(id)?;
        Ok(None)
    }

    /// Returns how long a datagram of the flow may be at present that is sent in a single packet: what every lane takes
    /// that the flow may use, as it may move to another at any time.
    pub fn max_in_packet(&self, id: FlowId) -> usize {
        let Some(flow) = self.flows.get(&id) else { return 0 };
        let Some(datagrams) = &flow.datagrams else { return 0 };
        let usable = self.lanes.values().filter(|lane| lane.takes_datagrams && lane.synced);
        let lanes = usable.map(|lane| lane.max_datagram).min().unwrap_or(MIN_DATAGRAM);
        let header = FlowDatagram {
            flow: id,
            seq: datagrams.tx.next(),
            open: (!flow.open_acked).then(|| flow.open.clone()),
            // Whoever asks has not said of which class it is to be: one has a byte less than none.
            class: TrafficClass::from_byte(u8::MAX),
            payload: Bytes::new(),
        };
        lanes.saturating_sub(header.header_len())
    }

    /// Returns whether there has been a datagram flow.
    pub fn had_datagram_flows(&self) -> bool {
        self.datagram_flows.had_any
    }

    /// Returns an error if the flow is over.
    fn check_datagrams(&self, id: FlowId) -> Result<(), DatagramError> {
        if let Some(reason) = &self.closed {
            return Err(DatagramError::Closed(reason.clone()));
        }
        let Some(flow) = self.flows.get(&id) else { return Err(DatagramError::Ended) };
        if let Opening::Failed(failure) = &flow.opening {
            return Err(DatagramError::Refused(failure.clone()));
        }
        match flow.reset_out.or(flow.reset_in).map(|reset| reset.code) {
            None => Ok(()),
            Some(IDLE) => Err(DatagramError::Idle),
            Some(code) => Err(match over::failure_of(code) {
                Some(failure) => DatagramError::Unreachable(failure),
                None => DatagramError::Ended,
            }),
        }
    }
}
