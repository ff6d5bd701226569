//! Traces of delivery opportunities, in the format of mahimahi.
//!
//! A line of a trace is a time in milliseconds from its start, at which the link can deliver 1,500
//! bytes; two lines alike are two opportunities. The trace repeats: its last line is also how long it
//! is (Netravali et al., "Mahimahi: Accurate Record-and-Replay for HTTP", USENIX ATC 2015; the cellular
//! recordings are from Winstein, Sivaraman and Balakrishnan, "Stochastic Forecasts Achieve High
//! Throughput and Low Delay over Cellular Networks", NSDI 2013). Blank lines and those that begin with
//! `#` are skipped.
//!
//! A packet larger than what is left of an opportunity waits for more; small packets share one. An
//! opportunity at which nothing waits is lost.

mod playback;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use playback::{Playback, Use};

/// What one opportunity delivers, in bytes with headers.
pub const OPPORTUNITY_BYTES: u64 = 1500;

/// The most opportunities of a trace: 40 MB of memory, two minutes at 1 Gbit/s.
pub const MAX_OPPORTUNITIES: usize = 10_000_000;

/// The latest time in a trace, in milliseconds: a day, far above any recording.
const MAX_TIME_MS: u32 = 24 * 60 * 60 * 1000;

/// A trace, and where in it a link begins. Cheap to clone: clones share the opportunities.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// In milliseconds, in order; the last one is not 0.
    opportunities: Arc<[u32]>,
    phase: Duration,
}

/// Why a text is no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceError {
    /// A line is no number of milliseconds.
    Line {
        /// From 1.
        line: usize,
        /// The start of what it says.
        text: String,
    },
    /// A line is earlier than the one before it.
    Order {
        /// From 1.
        line: usize,
    },
    /// It has no opportunity after its start, so that it cannot repeat.
    Empty,
    /// It has more than [`MAX_OPPORTUNITIES`].
    TooLong,
}

impl Trace {
    /// Returns the trace that a file in mahimahi's format holds.
    ///
    /// # Errors
    /// When it holds none; the error names the line and what to do.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut opportunities = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let (line, text) = (index + 1, text.trim());
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let time: u32 =
                text.parse().ok().filter(|time| *time <= MAX_TIME_MS).ok_or_else(|| {
                    TraceError::Line { line, text: text.chars().take(40).collect() }
                })?;
            if opportunities.last().is_some_and(|last| time < *last) {
                return Err(TraceError::Order { line });
            }
            if opportunities.len() == MAX_OPPORTUNITIES {
                return Err(TraceError::TooLong);
            }
            opportunities.push(time);
        }
        Self::new(opportunities)
    }

    /// Returns a trace of these times in milliseconds, which are in order.
    pub(crate) fn new(opportunities: Vec<u32>) -> Result<Self, TraceError> {
        if opportunities.last().is_none_or(|last| *last == 0) {
            return Err(TraceError::Empty);
        }
        Ok(Self { opportunities: opportunities.into(), phase: Duration::ZERO })
    }

    /// Returns the same trace, begun so much later in it: two links of one recording then differ.
    pub fn shifted(&self, by: Duration) -> Self {
        let phase = self.phase + by;
        Self { opportunities: Arc::clone(&self.opportunities), phase }
    }

    /// Returns how long it takes until it repeats.
    pub fn period(&self) -> Duration {
        Duration::from_millis(u64::from(self.period_ms()))
    }

    /// Returns how many opportunities there are in a period.
    pub fn opportunities(&self) -> usize {
        self.opportunities.len()
    }

    /// Returns the mean rate in bit/s.
    pub fn mean_rate(&self) -> u64 {
        let bits = self.opportunities.len() as u64 * OPPORTUNITY_BYTES * 8;
        bits * 1000 / u64::from(self.period_ms())
    }

    /// Returns the longest time without an opportunity.
    pub fn longest_pause(&self) -> Duration {
        let first = self.opportunities.first().copied().unwrap_or(0);
        let between = self.opportunities.windows(2).map(|pair| pair[1] - pair[0]);
        Duration::from_millis(u64::from(between.max().unwrap_or(0).max(first)))
    }

    /// Returns the trace as a file of mahimahi's format, from its own start.
    pub fn to_text(&self) -> String {
        self.opportunities.iter().map(|time| format!("{time}\n")).collect()
    }

    /// Returns whether this and `other` are one trace, begun at one point.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.opportunities, &other.opportunities) && self.phase == other.phase
    }

    fn period_ms(&self) -> u32 {
        self.opportunities.last().copied().unwrap_or(1)
    }
}

impl fmt::Debug for Trace {
    /// Without the opportunities: there are thousands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("opportunities", &self.opportunities.len())
            .field("period", &self.period())
            .field("phase", &self.phase)
            .finish()
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, text } => write!(
                f,
                "line {line} is `{text}`: give a whole number of milliseconds from 0 to \
                 {MAX_TIME_MS}, one to a line (mahimahi's format)"
            ),
            Self::Order { line } => write!(
                f,
                "line {line} is earlier than the one before it: sort the lines (`sort -n`)"
            ),
            Self::Empty => f.write_str(
                "there is no delivery opportunity after 0 ms: give at least one line above 0",
            ),
            Self::TooLong => write!(
                f,
                "there are more than {MAX_OPPORTUNITIES} lines: cut the trace (`head -n \
                 {MAX_OPPORTUNITIES}`), it repeats by itself"
            ),
        }
    }
}

impl std::error::Error for TraceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_written_back() {
        let trace = Trace::parse("# LTE\n0\n0\n\n 3 \r\n10\n").unwrap();
        assert_eq!(trace.to_text(), "0\n0\n3\n10\n");
        assert_eq!((trace.opportunities(), trace.period()), (4, Duration::from_millis(10)));
        // 4 × 12,000 bits in 10 ms.
        assert_eq!(trace.mean_rate(), 4_800_000);
        assert_eq!(trace.longest_pause(), Duration::from_millis(7));
        assert_eq!(Trace::parse(&trace.to_text()).unwrap(), trace);
    }

    #[test]
    fn what_is_no_trace_is_refused_with_the_line_and_the_cure() {
        for (text, says) in [
            ("1\nx\n", "line 2 is `x`: give a whole number"),
            ("1\n-2\n", "line 2 is `-2`"),
            ("1\n\n1.5\n", "line 3 is `1.5`"),
            ("1\n99999999999\n", "line 2"),
            ("5\n4\n", "line 2 is earlier than the one before it: sort"),
            ("", "give at least one line above 0"),
            ("0\n0\n", "give at least one line above 0"),
        ] {
            let error = Trace::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        let long = "1\n".repeat(MAX_OPPORTUNITIES + 1);
        assert_eq!(Trace::parse(&long), Err(TraceError::TooLong));
        let wide = format!("1\n{}\n", "y".repeat(10_000));
        assert!(Trace::parse(&wide).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn clones_and_shifted_traces_share_the_opportunities() {
        let trace = Trace::parse("1\n2\n").unwrap();
        let shifted = trace.shifted(Duration::from_millis(1));
        assert!(Arc::ptr_eq(&trace.opportunities, &shifted.opportunities));
        assert!(trace.is_same(&trace.clone()) && !trace.is_same(&shifted));
    }
}
