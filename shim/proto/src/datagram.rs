//! Datagrams: what a flow of them keeps at one end.
//!
//! Unlike bytes they may be lost, late and in another order, as UDP's are; a datagram is never delivered twice. They
//! are not acknowledged and not sent again: what survives a lane's death does so because it was sent on two lanes, or
//! had not been sent yet.

mod idle;
mod receive_queue;
mod replay_window;
mod send_queue;

use std::time::{Duration, Instant};

pub use self::idle::idle_timeout;
pub use self::receive_queue::{ReceiveQueue, Received};
pub use self::replay_window::{Arrival, REPLAY_WINDOW, ReplayWindow};
pub(crate) use self::send_queue::OVERHEAD;
pub use self::send_queue::{Dropped, MAX_AGE, MAX_BYTES, SendQueue};
use crate::types::Target;

/// The datagrams of a flow, both ways.
#[derive(Debug)]
pub struct Datagrams {
    /// Those that wait for lanes.
    pub tx: SendQueue,
    /// Those that wait for the application.
    pub rx: ReceiveQueue,
    /// When the last one was written or arrived; not known of a flow that was handed over.
    pub active_at: Option<Instant>,
    /// How long the flow may be idle.
    pub idle_timeout: Duration,
    /// When the session looks next whether the flow is over: idle, or released and empty.
    pub check_at: Option<Instant>,
    /// The application has released the flow, which ends when what waits has been sent.
    pub ending: bool,
}

impl Datagrams {
    /// Begins a flow to `target`, both of whose directions begin with these sequence numbers.
    pub fn new(target: &Target, next_sent: u64, next_received: u64) -> Self {
        Self {
            tx: SendQueue::new(next_sent),
            rx: ReceiveQueue::new(next_received),
            active_at: None,
            idle_timeout: idle_timeout(target),
            check_at: None,
            ending: false,
        }
    }
}
