//! Datagrams: what a flow of them keeps at one end.
//!
//! Unlike bytes they may be lost, late and in another order, as UDP's are; a datagram is never delivered twice. They
//! are not acknowledged and not sent again: what survives a lane's death does so because it was sent on two lanes, or
//! had not been sent yet.
//!
//! One that is longer than a packet of the path is a stream of its own, on which QUIC repeats what is lost, and which is
//! given up after [`LONG_DEADLINE`].

mod idle;
mod receive_queue;
mod replay_window;
mod send_queue;
mod under_way;

use std::time::{Duration, Instant};

pub use self::idle::idle_timeout;
pub use self::receive_queue::{ReceiveQueue, Received};
pub use self::replay_window::{Arrival, REPLAY_WINDOW, ReplayWindow};
pub(crate) use self::send_queue::OVERHEAD;
pub use self::send_queue::{Dropped, MAX_AGE, MAX_BYTES, SendQueue, Taken};
pub use self::under_way::UnderWay;
use crate::types::Target;

/// How long a lane has for a long datagram: some round trips of a satellite's link with a loss, and no longer than it
/// takes who waits for it to ask again.
pub const LONG_DEADLINE: Duration = Duration::from_secs(2);

/// The bytes of long datagrams that a flow may have on a lane: as many as the peer lets wait for its application.
pub const MAX_LONG_OF_FLOW: usize = 256 * 1024;

/// The bytes of long datagrams that a lane carries at a time, at the most: 400 Mbit/s at a round trip of 20 ms.
pub const MAX_LONG_BYTES: usize = 1 << 20;

/// How many long datagrams a lane carries at a time: each is a stream, of which the peer grants so many.
pub const MAX_LONG: usize = 128;

/// The datagrams of a flow, both ways.
#[derive(Debug)]
pub struct Datagrams {
    /// Those that wait for lanes.
    pub tx: SendQueue,
    /// The long ones that are under way.
    pub under_way: UnderWay,
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
            under_way: UnderWay::default(),
            rx: ReceiveQueue::new(next_received),
            active_at: None,
            idle_timeout: idle_timeout(target),
            check_at: None,
            ending: false,
        }
    }
}
