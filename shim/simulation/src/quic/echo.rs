//! An echo: a small message at an interval, answered at once, beside whatever else the connection carries.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quinn_proto::{Connection, Dir, ReadError, StreamId};

/// Bytes of a message.
const MESSAGE: usize = 64;
/// Above bulk, as thin flows are.
const PRIORITY: i32 = 10;
/// The send window for urgent work: all of it goes out.
const URGENT_WINDOW: u64 = u64::MAX >> 2;

/// The asking end.
#[derive(Debug)]
pub(super) struct Asking {
    interval: Duration,
    stream: Option<StreamId>,
    /// When each message that is not answered yet was written.
    asked: VecDeque<Instant>,
    next: Option<Instant>,
    answered: usize,
}

impl Asking {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, stream: None, asked: VecDeque::new(), next: None, answered: 0 }
    }

    /// Asks if it is time, and returns when the questions were asked that are answered now.
    pub(super) fn drive(&mut self, now: Instant, connection: &mut Connection) -> Vec<Instant> {
        if connection.is_handshaking() {
            return vec![];
        }
        if self.stream.is_none() {
            self.stream = connection.streams().open(Dir::Bi);
        }
        let Some(stream) = self.stream else { return vec![] };
        if self.next.is_none_or(|next| next <= now) {
            write(connection, stream, MESSAGE);
            self.asked.push_back(now);
            self.next = Some(now + self.interval);
        }
        self.answered += read(connection, stream).0;
        let whole = self.answered / MESSAGE;
        self.answered %= MESSAGE;
        self.asked.drain(..whole.min(self.asked.len())).collect()
    }

    /// Returns when the questions were asked that are not answered yet.
    pub(super) fn open(&self) -> impl Iterator<Item = Instant> {
        self.asked.iter().copied()
    }

    /// Returns when it asks next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// The answering end.
#[derive(Debug, Default)]
pub(super) struct Answering {
    stream: Option<StreamId>,
}

impl Answering {
    /// Sends back what came.
    pub(super) fn drive(&mut self, connection: &mut Connection) {
        if self.stream.is_none() {
            self.stream = connection.streams().accept(Dir::Bi);
        }
        if let Some(stream) = self.stream {
            let (bytes, _) = read(connection, stream);
            write(connection, stream, bytes);
        }
    }
}

fn write(connection: &mut Connection, stream: StreamId, bytes: usize) {
    if bytes > 0 {
        connection.set_send_window(URGENT_WINDOW);
        let _ = connection.send_stream(stream).set_priority(PRIORITY);
        let _ = connection.send_stream(stream).write(&vec![1; bytes]);
    }
}

/// Reads all that a stream has; returns how many bytes that were, and whether it has ended.
pub(super) fn read(connection: &mut Connection, stream: StreamId) -> (usize, bool) {
    let mut receive = connection.recv_stream(stream);
    let Ok(mut chunks) = receive.read(true) else { return (0, true) };
    let mut bytes = 0;
    let ended = loop {
        match chunks.next(usize::MAX) {
            Ok(Some(chunk)) => bytes += chunk.bytes.len(),
            Ok(None) | Err(ReadError::Reset(_)) => break true,
            Err(ReadError::Blocked) => break false,
        }
    };
    let _ = chunks.finalize();
    (bytes, ended)
}
