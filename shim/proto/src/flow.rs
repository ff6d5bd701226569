//! One flow at one end.
//!
//! A flow has two directions. What we send is [`Tx`]: a send buffer, and which lane carries what.
//! What we receive is [`Rx`]: an assembler and the window we grant. Around them are the open
//! (made by one side, answered once by the other), the reset (whole flow, once per side) and the
//! [`FactClock`], which says when our state is due to be stated.
//!
//! ```text
//! opener:    Pending ──outcome──▶ Opened | Failed
//! acceptor:  Pending ──accept / refuse──▶ Opened | Failed
//! either:    … ──all sent is had, all to come has come, both know it, application gone──▶ forgotten
//! ```
//!
//! It never forgets a byte that the peer has not stated as received, never hands a byte to the
//! application twice, and never takes back a window, a final size or a reset.

pub mod assembler;
mod clock;
mod handover;
pub mod memory;
pub mod ranges;
mod rx;
pub mod send_buffer;
mod tx;

use std::time::Instant;

pub use clock::{EVERY_BYTES, FactClock, Urgency};
pub use rx::{Breach, Rx};
pub use tx::{Booking, Chunk, FlowLane, Outgoing, Tx};

use crate::types::{FlowId, Mode, OpenFailure, Target};
use crate::wire::fact::{FlowState, MAX_RANGES, Open, Outcome, ResetAt};

/// How far the open of a flow is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Not answered yet.
    Pending,
    /// The destination is connected.
    Opened,
    /// It is not.
    Failed(OpenFailure),
}

/// What the application still holds and waits for.
#[derive(Debug, Default)]
pub struct App {
    /// The receiving half was dropped.
    pub reader_gone: bool,
    /// The sending half was dropped.
    pub writer_gone: bool,
    /// It wants to know when there is something to read.
    pub read_waiting: bool,
    /// It wants to know when there is room to write.
    pub write_waiting: bool,
}

/// A flow at one end.
#[derive(Debug)]
pub struct Flow {
    /// Its id.
    pub id: FlowId,
    /// Whether this end opened it.
    pub local: bool,
    /// What was asked for.
    pub open: Open,
    /// What became of it.
    pub opening: Opening,
    /// The peer is known to know the flow, so that the open need not be said again.
    pub peer_knows: bool,
    /// The direction we send.
    pub tx: Tx,
    /// The direction we receive.
    pub rx: Rx,
    /// Our reset.
    pub reset_out: Option<ResetAt>,
    /// The peer's reset.
    pub reset_in: Option<ResetAt>,
    /// When to state what we know.
    pub clock: FactClock,
    /// The highest version of the peer's facts that we have merged.
    pub peer_version: u64,
    /// The application's side.
    pub app: App,
    /// The timer that is set for the flow, if one is.
    pub timer: Option<Instant>,
}

impl Flow {
    /// A new flow. `edge` is what we may send before we hear from the peer, `window` what the
    /// peer may.
    pub fn new(id: FlowId, local: bool, open: Open, edge: u64, window: u64) -> Self {
        Self {
            id,
            local,
            open,
            opening: Opening::Pending,
            peer_knows: !local,
            tx: Tx::new(edge),
            rx: Rx::new(window),
            reset_out: None,
            reset_in: None,
            clock: FactClock::default(),
            peer_version: 0,
            app: App::default(),
            timer: None,
        }
    }

    /// Where the flow leads.
    pub fn target(&self) -> &Target {
        &self.open.target
    }

    /// How it uses lanes.
    pub fn mode(&self) -> Mode {
        self.open.mode
    }

    /// Our state, for the wire.
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
            max_offset: self.rx.edge(),
            final_size: self.tx.fin,
            open: (!self.peer_knows).then(|| self.open.clone()),
            outcome,
            reset: self.reset_out,
        }
    }

    /// Whether either end reset the flow.
    pub fn is_reset(&self) -> bool {
        self.reset_out.is_some() || self.reset_in.is_some()
    }

    /// Everything we send has been received, or nobody wants it any more.
    fn sent_all(&self) -> bool {
        let end = self.reset_out.map(|r| r.at).or(self.tx.fin);
        self.reset_in.is_some() || end.is_some_and(|end| self.tx.buffer.base() >= end)
    }

    /// Everything that is to come has come, or we do not want it any more.
    pub(crate) fn received_all(&self) -> bool {
        let end = self.rx.end();
        self.reset_out.is_some() || end.is_some_and(|end| self.rx.assembler.head() >= end)
    }

    /// The application holds neither half.
    pub fn is_abandoned(&self) -> bool {
        self.app.reader_gone && self.app.writer_gone
    }

    /// Nothing is left to do for the flow: it may be forgotten.
    pub fn is_finished(&self) -> bool {
        self.is_abandoned() && self.sent_all() && self.received_all() && self.clock.is_echoed()
    }
}
