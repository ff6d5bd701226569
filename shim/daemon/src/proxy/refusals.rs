//! Bounds the lines about refused flows and connections: whoever asks can be refused as often as it
//! likes, and must not fill the disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use throughline_proto::throttle::{Distinct, LogThrottle};

/// Lines in a second, of one peer or one ingress: as many as somebody can follow.
const MAX_LINES_PER_SECOND: usize = 10;

/// Decides which refusals of one origin are logged.
#[derive(Debug)]
pub struct RefusalLog(Mutex<LogThrottle<Distinct>>);

impl Default for RefusalLog {
    fn default() -> Self {
        Self(Mutex::new(LogThrottle::new(MAX_LINES_PER_SECOND, Duration::from_secs(1))))
    }
}

impl RefusalLog {
    /// Returns how many refusals were not logged before this one, if this one is to be logged.
    pub fn admit(&self) -> Option<u64> {
        self.0.lock().admit(Instant::now(), Distinct)
    }
}
