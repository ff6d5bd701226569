//! What leaves in one send.

use quinn_udp::EcnCodepoint;

use crate::parcel::Toward;

/// The most a GSO send may hold (an IPv4 packet's length), with room for headers.
const MAX_SEND: usize = 65_000;

/// Datagrams of one size and one direction, put together for one GSO send.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) head: Option<Head>,
    pub(super) stride: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) segments: usize,
    /// A shorter datagram ends a batch.
    full: bool,
}

/// What datagrams of one send have in common: relay, direction and ECN.
pub(super) type Head = (u64, Toward, Option<EcnCodepoint>);

impl Outbox {
    pub(super) fn fits(&self, head: Head, bytes: usize, max_segments: usize) -> bool {
        match self.head {
            None => true,
            Some(current) => {
                current == head
                    && !self.full
                    && bytes <= self.stride
                    && self.segments < max_segments
                    && self.bytes.len() + bytes <= MAX_SEND
            }
        }
    }

    pub(super) fn push(&mut self, head: Head, data: &[u8]) {
        if self.head.is_none() {
            self.head = Some(head);
            self.stride = data.len();
        }
        self.full = data.len() < self.stride;
        self.segments += 1;
        self.bytes.extend_from_slice(data);
    }

    pub(super) fn clear(&mut self) {
        self.head = None;
        self.bytes.clear();
        self.segments = 0;
        self.full = false;
    }
}
