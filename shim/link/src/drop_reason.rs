//! Why packets are dropped.

/// Why a link drops a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The link is a blackhole.
    Blackhole,
    /// It is larger than this, and nobody says so.
    TooLarge {
        /// The largest that passes, in bytes.
        mtu: usize,
    },
    /// The same, and its sender is to be told.
    PacketTooBig {
        /// The largest that passes, in bytes.
        mtu: usize,
    },
    /// Loss that has nothing to do with the queue.
    Loss,
    /// It exceeds what the policer lets pass.
    Policed,
    /// The queue is full.
    QueueFull,
    /// It has waited too long (CoDel).
    QueueManagement,
}
