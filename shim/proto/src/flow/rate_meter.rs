//! Tells thin flows from bulk flows.

use std::time::Instant;

use crate::snapshot::{RestoreError, get_flags, put_flags};
use crate::wire::codec::{get_varint, put_varint};

/// The rate below which a flow is thin, in bytes a second (100 kbit/s).
const THIN_RATE: f64 = 12_500.0;

/// The bytes above the thin rate that a flow may send before it counts as bulk: a screenful.
const THIN_BURST: f64 = 32_768.0;

/// The backlog above which a flow is bulk, however slowly it was written: what has gathered in an
/// outage is bulk, and as a thin flow's would go out past a full window.
const THIN_BACKLOG: u64 = 65_536;

/// Meters what the application writes with a bucket that leaks at the thin rate.
///
/// A flow whose bucket overflows is bulk until the bucket is empty again and the peer has its bytes.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    level: f64,
    updated_at: Option<Instant>,
    bulk: bool,
}

impl RateMeter {
    /// Counts `bytes` written by the application; `backlog` is how many the peer lacks. Returns
    /// whether the flow has become thin again.
    pub(super) fn count(&mut self, now: Instant, bytes: u64, backlog: u64) -> bool {
        let passed =
            self.updated_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.updated_at = Some(now);
        self.level = (self.level - passed * THIN_RATE).max(0.0) + bytes as f64;
        // The bucket is not filled far past its brim, or a bulk flow would stay bulk for hours.
        self.level = self.level.min(2.0 * THIN_BURST);
        if self.level > THIN_BURST || backlog > THIN_BACKLOG {
            self.bulk = true;
            return false;
        }
        let drained = self.level == 0.0 && backlog <= THIN_BURST as u64;
        drained && std::mem::take(&mut self.bulk)
    }

    /// Appends the meter to a snapshot. The time is not in it: the bucket leaks from the restoring on.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_flags(out, [self.bulk]);
        put_varint(out, self.level as u64);
    }

    /// Reads what [`put`](Self::put) has written.
    pub(super) fn get(record: &mut &[u8]) -> Result<Self, RestoreError> {
        let [bulk] = get_flags(record)?;
        let level = get_varint(record, "level")? as f64;
        Ok(Self { level: level.min(2.0 * THIN_BURST), updated_at: None, bulk })
    }

    /// Returns whether the flow is thin.
    pub(super) fn is_thin(&self) -> bool {
        !self.bulk
    }
}
