//! A call: what it is, and what became of its datagrams.

use std::time::Duration;

use throughline_proto::types::{FlowId, Mode};

use crate::link::{MS, Nanos};

/// How an end talks: how long its datagrams are, how many it sends at a time, and the time between.
pub(super) type Talk = (usize, u32, Nanos);

/// Voice: a short datagram every 20 ms.
pub(super) const VOICE: Talk = (160, 1, 20 * MS);

/// What is longer than a packet, by a thin flow: 80 kbit/s.
pub(super) const LONG: Talk = (3_000, 1, 300 * MS);

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) mode: Mode,
    pub(super) len: usize,
    /// How many datagrams an end sends at a time.
    pub(super) burst: u32,
    /// Between two such times.
    pub(super) interval: Nanos,
    pub(super) until: Nanos,
    /// Its present flow, and the life of the session that this is one of.
    pub(super) flow: Option<(FlowId, u32)>,
    /// The end that did not open it has taken it.
    pub(super) joined: bool,
    pub(super) over: [bool; 2],
    /// When each datagram of an end was sent, and when it arrived.
    pub(super) said: [Vec<(Nanos, Option<Nanos>)>; 2],
}

/// What became of the datagrams of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// How many there were.
    pub sent: usize,
    /// How many did not arrive.
    pub lost: usize,
    /// The longest time that one was under way.
    pub slowest: Duration,
}

impl Call {
    pub(super) fn new(mode: Mode, (len, burst, interval): Talk, until: Nanos) -> Self {
        Self {
            mode,
            len,
            burst,
            interval,
            until,
            flow: None,
            joined: false,
            over: [false; 2],
            said: [Vec::new(), Vec::new()],
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over == [true; 2]
    }

    /// Returns what became of what was said from `from` to `to`.
    pub(super) fn report(&self, from: Nanos, to: Nanos) -> CallReport {
        let said = self.said.iter().flatten().filter(|(at, _)| (from..to).contains(at));
        let (mut report, mut slowest) =
            (CallReport { sent: 0, lost: 0, slowest: Duration::ZERO }, 0);
        for (sent, arrived) in said {
            report.sent += 1;
            report.lost += usize::from(arrived.is_none());
            slowest = slowest.max(arrived.map_or(0, |at| at - sent));
        }
        report.slowest = Duration::from_nanos(slowest);
        report
    }
}
