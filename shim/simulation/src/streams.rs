//! The streams of one end of a lane: what waits to be sent, and putting together what came.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

/// The control stream's number in either direction; a segment's is its key plus one.
pub(crate) const CONTROL: u64 = 0;

#[derive(Debug, Default)]
pub(crate) struct SendStream {
    pub(crate) pending: VecDeque<Bytes>,
    pub(crate) offset: u64,
    pub(crate) fin: bool,
    pub(crate) fin_sent: bool,
    pub(crate) class: usize,
    pub(crate) queued: bool,
    /// Payload and writes, to hold the session to its bounds.
    pub(crate) payload: u64,
    pub(crate) writes: u32,
}

/// A chunk of a stream, as a packet carries it.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) stream: u64,
    pub(crate) offset: u64,
    pub(crate) data: Bytes,
    pub(crate) fin: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) streams: BTreeMap<u64, SendStream>,
    /// Streams with something to send, by class: control, thin, re-sent, bulk.
    ready: [VecDeque<u64>; 4],
    /// Streams that were reset, by us or for the peer's `STOP_SENDING`.
    pub(crate) reset: BTreeSet<u64>,
    /// Bytes not yet in any packet.
    pub(crate) unsent: u64,
}

impl Outbox {
    pub(crate) fn open(&mut self, id: u64, class: usize) {
        let before = self.streams.insert(id, SendStream { class, ..SendStream::default() });
        assert!(before.is_none(), "stream {id} was opened twice");
    }

    pub(crate) fn write(&mut self, id: u64, data: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else {
            assert!(self.reset.contains(&id), "write to stream {id}, which was never opened");
            return;
        };
        assert!(!stream.fin, "write to stream {id} after its end");
        self.unsent += data.len() as u64;
        stream.pending.push_back(data);
        self.queue(id);
    }

    pub(crate) fn finish(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            assert!(!stream.fin, "stream {id} was finished twice");
            stream.fin = true;
            self.queue(id);
        }
    }

    /// A stream's priority is set once, when it is opened.
    pub(crate) fn check_class(&self, id: u64, class: usize) {
        let same = self.streams.get(&id).is_none_or(|stream| stream.class == class);
        assert!(same, "a segment of stream {id} changed its priority");
    }

    /// Drops what is not sent; returns whether a `RESET_STREAM` is to be sent.
    pub(crate) fn reset(&mut self, id: u64) -> bool {
        let Some(stream) = self.streams.remove(&id) else { return false };
        self.unsent -= stream.pending.iter().map(|p| p.len() as u64).sum::<u64>();
        self.reset.insert(id);
        true
    }

    fn queue(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.queued
        {
            stream.queued = true;
            self.ready[stream.class].push_back(id);
        }
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.ready.iter().any(|queue| !queue.is_empty())
    }

    /// The next chunk of at most `room` bytes, by class.
    pub(crate) fn next_chunk(&mut self, room: usize) -> Option<Chunk> {
        loop {
            let queue = self.ready.iter_mut().find(|queue| !queue.is_empty())?;
            let id = *queue.front()?;
            let Some(stream) = self.streams.get_mut(&id) else {
                queue.pop_front();
                continue;
            };
            let data = match stream.pending.front_mut() {
                Some(front) => {
                    let data = front.split_to(front.len().min(room));
                    if front.is_empty() {
                        stream.pending.pop_front();
                    }
                    data
                }
                None => Bytes::new(),
            };
            let offset = stream.offset;
            stream.offset += data.len() as u64;
            self.unsent -= data.len() as u64;
            // Streams of a class take turns, as quinn does it.
            queue.rotate_left(1);
            let last = stream.pending.is_empty();
            let fin = last && stream.fin && !stream.fin_sent;
            stream.fin_sent |= fin;
            if last {
                stream.queued = false;
                queue.pop_back();
            }
            if data.is_empty() && !fin {
                continue;
            }
            return Some(Chunk { stream: id, offset, data, fin });
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct RecvStream {
    chunks: BTreeMap<u64, Bytes>,
    next: u64,
    end: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    streams: BTreeMap<u64, RecvStream>,
    /// Finished, reset by the peer, or stopped by us.
    pub(crate) done: BTreeSet<u64>,
}

impl Inbox {
    /// Takes a chunk; what is next in line goes to `out`.
    pub(crate) fn insert(&mut self, chunk: Chunk, out: &mut Vec<Bytes>) {
        if self.done.contains(&chunk.stream) {
            return;
        }
        let stream = self.streams.entry(chunk.stream).or_default();
        let end = chunk.offset + chunk.data.len() as u64;
        if chunk.fin {
            stream.end = Some(end);
        }
        if end > stream.next {
            let better =
                stream.chunks.get(&chunk.offset).is_none_or(|p| p.len() < chunk.data.len());
            if better {
                stream.chunks.insert(chunk.offset, chunk.data);
            }
        }
        while let Some(entry) = stream.chunks.first_entry()
            && *entry.key() <= stream.next
        {
            let (offset, data) = entry.remove_entry();
            let skip = (stream.next - offset) as usize;
            if skip < data.len() {
                stream.next = offset + data.len() as u64;
                out.push(data.slice(skip..));
            }
        }
        if stream.end == Some(stream.next) {
            self.close(chunk.stream);
        }
    }

    pub(crate) fn close(&mut self, id: u64) {
        self.streams.remove(&id);
        self.done.insert(id);
    }
}
