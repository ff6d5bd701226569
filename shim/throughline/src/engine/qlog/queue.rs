//! What quinn has logged and the reader has not read: bounded, by connection.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::part::{QlogLane, QlogPart};

/// The bytes that wait of one connection: some ten thousand records, which a reader that comes back each tenth of
/// a second reads in time at a gigabit a second.
pub(super) const MAX_WAITING: usize = 2 << 20;

/// Connections that are over and wait to be read: dials that fail come to an end all the time, and the reader may stand
/// still for hours.
pub(super) const MAX_ENDED: usize = 64;

/// What waits to be read. The lock is a leaf.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    something: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    connections: BTreeMap<u64, QlogPart>,
    is_closed: bool,
}

impl Queue {
    /// Takes a connection on.
    pub(super) fn open(&self, lane: QlogLane) {
        let part = QlogPart { lane, records: Vec::new(), dropped: 0, is_last: false };
        let mut waiting = self.waiting.lock();
        if !waiting.is_closed {
            waiting.connections.insert(part.lane.connection, part);
        }
    }

    /// Takes whole records of a connection, or counts that `count` are dropped; returns whether anybody reads.
    pub(super) fn push(&self, connection: u64, records: &[u8], count: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(part) = waiting.connections.get_mut(&connection) else { return false };
        // Nothing may follow a gap before the reader has been told of it.
        if part.dropped > 0 || part.records.len() + records.len() > MAX_WAITING {
            part.dropped += count;
        } else {
            part.records.extend_from_slice(records);
        }
        drop(waiting);
        self.something.notify_one();
        true
    }

    /// Counts records that were dropped before they came here.
    pub(super) fn drop_records(&self, connection: u64, count: u64) {
        if let Some(part) = self.waiting.lock().connections.get_mut(&connection) {
            part.dropped += count;
        }
    }

    /// Says that a connection is a lane.
    pub(super) fn set_up(&self, connection: u64) {
        if let Some(part) = self.waiting.lock().connections.get_mut(&connection) {
            part.lane.is_up = true;
        }
        self.something.notify_one();
    }

    /// Says that a connection is over. Of too many that nobody reads the earliest is forgotten.
    pub(super) fn finish(&self, connection: u64) {
        let mut waiting = self.waiting.lock();
        if let Some(part) = waiting.connections.get_mut(&connection) {
            part.is_last = true;
        }
        let is_over = |(_, part): &(&u64, &QlogPart)| part.is_last;
        if waiting.connections.iter().filter(is_over).count() > MAX_ENDED
            && let Some((&earliest, _)) = waiting.connections.iter().find(is_over)
        {
            waiting.connections.remove(&earliest);
        }
        drop(waiting);
        self.something.notify_one();
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        *self.waiting.lock() = Waiting { is_closed: true, ..Waiting::default() };
        self.something.notify_one();
    }

    /// Returns what waits of each connection, where anything does.
    pub(crate) fn take(&self) -> Vec<QlogPart> {
        let mut waiting = self.waiting.lock();
        let has_any =
            |part: &&mut QlogPart| !part.records.is_empty() || part.dropped > 0 || part.is_last;
        let take = |part: &mut QlogPart| QlogPart {
            lane: part.lane.clone(),
            records: std::mem::take(&mut part.records),
            dropped: std::mem::take(&mut part.dropped),
            is_last: part.is_last,
        };
        let taken = waiting.connections.values_mut().filter(has_any).map(take).collect();
        waiting.connections.retain(|_, part| !part.is_last);
        taken
    }

    /// Waits until there is something to take. Cancel-safe.
    pub(crate) async fn something(&self) {
        self.something.notified().await;
    }
}
