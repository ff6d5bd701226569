//! What brings entries to journald without whoever logs waiting for it.
//!
//! ```text
//! send ── nothing waits, and journald takes it ──▶ the socket
//!   └──── else ──▶ the queue, a mebibyte ──▶ a thread that waits for journald ──▶ the socket
//!   └──── the queue is full ──▶ counted; the thread tells the number when the queue is through
//! ```
//!
//! Entries arrive in the order in which they were sent. After one was lost, all are until the queue is through: so the
//! number stands where they are missing.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketAddrUnix, sendto};

use super::entry;

/// How many bytes of entries wait while journald takes none: some five thousand lines.
const MAX_WAITING: usize = 1 << 20;

/// How long the thread waits where journald does not listen, as while it starts anew.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Sends entries to a socket of journald.
pub(super) struct Outlet(Arc<Shared>);

struct Shared {
    socket: UnixDatagram,
    to: SocketAddrUnix,
    waiting: Mutex<Waiting>,
    /// Something waits, or nothing waits any more.
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many entries were lost behind those that wait.
    lost: u64,
    /// The thread sends one that was taken out of the queue.
    is_sending: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.lost == 0 && !self.is_sending
    }

    /// Takes the next entry; after the last one, that which tells what was lost.
    fn next(&mut self) -> Option<Vec<u8>> {
        let next = match self.entries.pop_front() {
            Some(entry) => {
                self.bytes -= entry.len();
                Some(entry)
            }
            None if self.lost > 0 => Some(entry::of_lost(std::mem::take(&mut self.lost))),
            None => None,
        };
        self.is_sending = next.is_some();
        next
    }
}

impl Outlet {
    /// Opens it, and starts its thread.
    ///
    /// # Errors
    /// Nobody listens at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let to = SocketAddrUnix::new(path)?;
        // journald ignores an empty entry.
        match sendto(&socket, &[], SendFlags::DONTWAIT, &to) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let (waiting, changed) = Default::default();
        let shared = Arc::new(Shared { socket, to, waiting, changed });
        let sender = shared.clone();
        thread::Builder::new().name("journal".to_owned()).spawn(move || sender.run())?;
        Ok(Self(shared))
    }

    /// Sends an entry, now or as soon as journald takes it.
    pub(super) fn send(&self, entry: Vec<u8>) {
        let shared = &*self.0;
        let mut waiting = shared.waiting.lock();
        // Where it fails journald is full, or starts anew, or this does not fit: the thread sees which.
        if waiting.is_empty() && shared.transmit(&entry, SendFlags::DONTWAIT).is_ok() {
            return;
        }
        if waiting.lost > 0 || waiting.bytes + entry.len() > MAX_WAITING {
            waiting.lost += 1;
        } else {
            waiting.bytes += entry.len();
            waiting.entries.push_back(entry);
        }
        shared.changed.notify_all();
    }

    /// Waits until nothing waits any more, for `timeout` at the most.
    pub(super) fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut waiting = self.0.waiting.lock();
        while !waiting.is_empty() {
            if self.0.changed.wait_until(&mut waiting, deadline).timed_out() {
                return;
            }
        }
    }
}

impl Shared {
    fn transmit(&self, entry: &[u8], flags: SendFlags) -> Result<(), Errno> {
        sendto(&self.socket, entry, flags, &self.to).map(|_| ())
    }

    /// Sends what waits, until the process ends.
    fn run(&self) {
        let mut waiting = self.waiting.lock();
        loop {
            let Some(entry) = waiting.next() else {
                self.changed.wait(&mut waiting);
                continue;
            };
            let sent = MutexGuard::unlocked(&mut waiting, || self.transmit_patiently(&entry));
            waiting.is_sending = false;
            if !sent {
                waiting.lost += 1;
            }
            self.changed.notify_all();
        }
    }

    /// Sends an entry, however long that takes: the call itself waits for a journald that is full. Returns whether the
    /// system sends entries that are as long.
    fn transmit_patiently(&self, entry: &[u8]) -> bool {
        loop {
            match self.transmit(entry, SendFlags::empty()) {
                Ok(()) => return true,
                Err(Errno::MSGSIZE) => return false,
                // It starts anew.
                Err(_) => thread::sleep(RETRY_INTERVAL),
            }
        }
    }
}
