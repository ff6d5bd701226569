//! The log in systemd's journal, by its native protocol: an entry for each event, with its fields as fields.
//!
//! What always holds: whoever logs never waits for journald, see [`Outlet`]. A value is one field, whatever is in it:
//! its length goes before it, and what could forge a line where it is shown is replaced. An entry is one datagram.
//!
//! The crate `tracing-journald` would send from whichever task logs, with a socket that blocks.

mod entry;
mod outlet;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use self::outlet::Outlet;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How long the end of the process waits for what journald has not taken yet.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The one that this process logs to.
static OUTLET: OnceLock<Arc<Outlet>> = OnceLock::new();

/// Sends events to the journal.
pub(crate) struct Journal(Arc<Outlet>);

impl Journal {
    /// Opens the journal of this system.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn open() -> io::Result<Self> {
        let outlet = Arc::new(Outlet::open(Path::new(SOCKET))?);
        Ok(Self(OUTLET.get_or_init(|| outlet).clone()))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.send(entry::of(event));
    }
}

/// Returns whether stderr leads to journald, as systemd says by `JOURNAL_STREAM`: the device and inode of the socket.
pub(crate) fn has_stderr() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_file(io::stderr(), &stream))
}

/// Returns whether a file has this device and inode, written `DEVICE:INODE`.
fn is_file(file: impl AsFd, stream: &str) -> bool {
    let Some((device, inode)) = stream.split_once(':') else { return false };
    rustix::fs::fstat(file)
        .is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}

/// Waits until journald has what was logged, a second at the most. Call it where the process ends.
pub(crate) fn flush() {
    if let Some(outlet) = OUTLET.get() {
        outlet.flush(FLUSH_TIMEOUT);
    }
}

#[cfg(test)]
mod tests;
