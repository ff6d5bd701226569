//! The qlog of one connection, from its writer to whoever reads it.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use quinn::{QlogConfig, TransportConfig};

use super::part::QlogLane;
use super::queue::Queue;
use throughline_proto::types::{LaneId, SessionId};

/// The bytes that are held of a connection until it is known who has dialed: a handshake has some ten thousand.
pub(super) const MAX_HELD: usize = 128 << 10;

/// The qlog of a connection, where quinn writes one. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Inner>>);

struct Inner {
    connection: u64,
    began: SystemTime,
    state: Mutex<State>,
}

/// What becomes of the records.
enum State {
    /// They are held: whose they are is not known yet.
    Held { records: Vec<u8>, dropped: u64 },
    /// Somebody reads them.
    Read(Arc<Queue>),
    /// Nobody wants them.
    Unread,
}

impl Trace {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(super) fn read(connection: u64, began: SystemTime, queue: Arc<Queue>) -> Self {
        Self::new(connection, began, State::Read(queue))
    }

    pub(super) fn held(connection: u64, began: SystemTime) -> Self {
        Self::new(connection, began, State::Held { records: Vec::new(), dropped: 0 })
    }

    fn new(connection: u64, began: SystemTime, state: State) -> Self {
        Self(Some(Arc::new(Inner { connection, began, state: Mutex::new(state) })))
    }

    /// Has the connection that is made with these settings write its qlog, if it is to. Once.
    pub(crate) fn write_into(&self, transport: &mut TransportConfig) {
        let (Some(inner), Some(writer)) = (&self.0, self.writer()) else { return };
        let mut config = QlogConfig::default();
        let began = inner.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        config
            .writer(Box::new(writer))
            .title(Some("lane of Throughline".to_owned()))
            .description(Some(format!("time 0 is {} ms after 1970 began", began.as_millis())));
        transport.qlog_stream(config.into_stream());
    }

    pub(super) fn writer(&self) -> Option<Writer> {
        Some(Writer { trace: self.0.clone()?, record: Vec::new() })
    }

    /// Returns whether quinn writes one.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether what is written goes there.
    pub(super) fn is_read_by(&self, queue: &Arc<Queue>) -> bool {
        let state = self.0.as_ref().map(|inner| inner.state.lock());
        state.is_some_and(|state| matches!(&*state, State::Read(read) if Arc::ptr_eq(read, queue)))
    }

    /// Says that the connection has become a lane; `queue` looks up who reads it.
    pub(super) fn attach(
        &self,
        lane: (SessionId, LaneId),
        uplink: Option<&str>,
        (local, remote): (SocketAddr, SocketAddr),
        queue: impl FnOnce() -> Option<Arc<Queue>>,
    ) {
        let Some(Inner { connection, began, state }) = self.0.as_deref() else { return };
        let (connection, began) = (*connection, *began);
        let mut state = state.lock();
        match &mut *state {
            State::Read(queue) => queue.set_up(connection),
            State::Unread => {}
            State::Held { records, dropped } => {
                let next = queue().map(|queue| {
                    let uplink = uplink.map(str::to_owned);
                    queue.open(QlogLane {
                        connection,
                        lane,
                        uplink,
                        local,
                        remote,
                        dialed: false,
                        began,
                        is_up: true,
                    });
                    queue.push(connection, records, 0);
                    queue.drop_records(connection, *dropped);
                    State::Read(queue)
                });
                *state = next.unwrap_or(State::Unread);
            }
        }
    }
}

impl Inner {
    /// Takes a whole record.
    fn record(&self, record: &[u8]) {
        let mut state = self.state.lock();
        match &mut *state {
            State::Held { records, dropped } => {
                if *dropped > 0 || records.len() + record.len() > MAX_HELD {
                    *dropped += 1;
                } else {
                    records.extend_from_slice(record);
                }
            }
            State::Read(queue) => {
                if !queue.push(self.connection, record, 1) {
                    *state = State::Unread;
                }
            }
            State::Unread => {}
        }
    }

    /// Says that the connection is gone.
    fn finish(&self) {
        if let State::Read(queue) = mem::replace(&mut *self.state.lock(), State::Unread) {
            queue.finish(self.connection);
        }
    }
}

/// What quinn writes to, a few bytes at a time; a record ends with a line. It goes with its connection.
pub(super) struct Writer {
    trace: Arc<Inner>,
    /// What there is of the present record.
    record: Vec<u8>,
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.record.extend_from_slice(bytes);
        if bytes.last() == Some(&b'\n') {
            self.trace.record(&self.record);
            self.record.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.trace.finish();
    }
}
