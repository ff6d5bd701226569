//! One flow at one end.
//!
//! A flow has two directions. [`Tx`] is the sending one: a send buffer, the lanes that the flow uses,
//! and which lane carries which bytes. [`Rx`] is the receiving one: an assembler and the window that
//! is granted. Around them are the open (made by one side, answered once by the other), the reset
//! (of the whole flow, once per side) and the [`FactClock`], which says when our facts are due.
//!
//! ```text
//! opener:    Pending ──outcome──▶ Opened | Failed
//! acceptor:  Pending ──accept / refuse──▶ Opened | Failed
//! either:    … ──all bytes acknowledged, all received, facts acknowledged, application gone──▶ forgotten
//! ```
//!
//! A flow never forgets a byte that the peer has not acknowledged, never hands a byte to the
//! application twice, and never takes back a window, a final size or a reset.

pub mod assembler;
mod duplicates;
mod fact_clock;
pub mod memory;
pub mod ranges;
mod rate_meter;
mod rx;
mod segments;
pub mod send_buffer;
mod snapshot;
mod tx;

use std::time::Instant;

pub use fact_clock::{FactClock, REPORT_AFTER_BYTES, Urgency};
pub use rx::{Rx, RxViolation};
pub use segments::{Assignment, Cause, Chunk, FlowLane, OutgoingSegment};
pub use tx::{ChunkLimits, Tx};

use crate::datagram::Datagrams;
use crate::types::{FlowId, Mode, OpenFailure, Target};
use crate::wire::fact::{FlowState, MAX_RANGES, Open, Outcome, ResetAt};

/// How far the open of a flow is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The open is not answered yet.
    Pending,
    /// The destination is connected.
    Opened,
    /// The destination is not connected.
    Failed(OpenFailure),
}

/// What the application still holds and waits for.
#[derive(Debug, Default)]
pub struct Application {
    /// The receiving half was dropped.
    pub reader_gone: bool,
    /// The sending half was dropped.
    pub writer_gone: bool,
    /// The application waits for something to read.
    pub read_waiting: bool,
    /// The application waits for room to write.
    pub write_waiting: bool,
    /// The application waits for the peer to have what it wrote.
    pub ack_waiting: bool,
}

/// A flow at one end.
#[derive(Debug)]
pub struct Flow {
    /// The flow's id.
    pub id: FlowId,
    /// Whether this end opened the flow.
    pub local: bool,
    /// The open request.
    pub open: Open,
    /// The answer to the open request.
    pub opening: Opening,
    /// The peer is known to have the open request, so that it need not be repeated.
    pub open_acked: bool,
    /// The sending direction.
    pub tx: Tx,
    /// The receiving direction.
    pub rx: Rx,
    /// Our reset.
    pub reset_out: Option<ResetAt>,
    /// The peer's reset.
    pub reset_in: Option<ResetAt>,
    /// The datagrams of a flow of such, which has no bytes.
    pub datagrams: Option<Box<Datagrams>>,
    /// When our facts are due.
    pub clock: FactClock,
    /// The highest version of the peer's facts that was merged.
    pub peer_version: u64,
    /// The application's side.
    pub app: Application,
    /// The timer that is set for the flow, if one is.
    pub timer: Option<Instant>,
}

impl Flow {
    /// Creates a flow. `max_offset` is what we may send before the peer grants more, `window` what
    /// the peer may send.
    pub fn new(id: FlowId, local: bool, open: Open, max_offset: u64, window: u64) -> Self {
        Self {
            id,
            local,
            open,
            opening: Opening::Pending,
            open_acked: !local,
            tx: Tx::new(max_offset),
            rx: Rx::new(window),
            reset_out: None,
            reset_in: None,
            datagrams: None,
            clock: FactClock::default(),
            peer_version: 0,
            app: Application::default(),
            timer: None,
        }
    }

    /// Makes the flow one of datagrams, if its target says so.
    pub(crate) fn with_datagrams(mut self, now: Instant) -> Self {
        if self.open.target.takes_datagrams() {
            let mut datagrams = Datagrams::new(&self.open.target, 0, 0);
            datagrams.active_at = Some(now);
            self.datagrams = Some(Box::new(datagrams));
        }
        self
    }

    /// Returns where the flow leads.
    pub fn target(&self) -> &Target {
        &self.open.target
    }

    /// Returns how the flow uses lanes.
    pub fn mode(&self) -> Mode {
        self.open.mode
    }

    /// Returns our facts, for the wire.
    pub fn state(&self) -> FlowState {
        let outcome = match &self.opening {
            Opening::Opened if !self.local => Some(Outcome::Opened),
            Opening::Failed(failure) if !self.local => Some(Outcome::Failed(failure.clone())),
            _ => None,
        };
        FlowState {
            flow: self.id,
            version: self.clock.version(),
            received: self.rx.assembler.received(MAX_RANGES),
            max_offset: self.rx.max_offset(),
            final_size: self.tx.fin,
            open: (!self.open_acked).then(|| self.open.clone()),
            outcome,
            reset: self.reset_out,
        }
    }

    /// Returns whether either end reset the flow.
    pub fn is_reset(&self) -> bool {
        self.reset_out.is_some() || self.reset_in.is_some()
    }

    /// Returns whether everything we send is acknowledged, or nobody wants it any more.
    fn sent_all(&self) -> bool {
        let end = self.reset_out.map(|r| r.at).or(self.tx.fin);
        self.reset_in.is_some() || end.is_some_and(|end| self.tx.buffer.base() >= end)
    }

    /// Returns whether the peer's direction is complete, or nobody wants it any more.
    pub(crate) fn received_all(&self) -> bool {
        let end = self.rx.end();
        self.reset_out.is_some() || end.is_some_and(|end| self.rx.assembler.head() >= end)
    }

    /// Returns whether the application holds neither half.
    pub fn is_abandoned(&self) -> bool {
        self.app.reader_gone && self.app.writer_gone
    }

    /// Returns whether nothing is left to do for the flow, so that it may be forgotten.
    pub fn is_finished(&self) -> bool {
        self.is_abandoned() && self.sent_all() && self.received_all() && self.clock.is_acked()
    }
}
