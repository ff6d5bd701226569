//! Amounts with their units, as a person reads them.

use std::fmt;
use std::time::Duration;

/// A duration with two or three digits and one unit.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs_f64();
        match s {
            s if s < 0.01 => write!(f, "{:.1} ms", s * 1e3),
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1e3),
            s if s < 10.0 => write!(f, "{s:.1} s"),
            s if s < 120.0 => write!(f, "{s:.0} s"),
            s if s < 7200.0 => write!(f, "{:.0} min", s / 60.0),
            s => write!(f, "{:.0} h", s / 3600.0),
        }
    }
}

/// A number of bytes with a decimal unit.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b if b < 1000 => write!(f, "{b} B"),
            b if b < 1_000_000 => write!(f, "{:.1} kB", b as f64 / 1e3),
            b if b < 1_000_000_000 => write!(f, "{:.1} MB", b as f64 / 1e6),
            b => write!(f, "{:.2} GB", b as f64 / 1e9),
        }
    }
}

/// What was suppressed before this event, in parentheses; nothing where nothing was.
pub(super) struct Suppressed(pub(super) u64, pub(super) &'static str);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(0, _) => Ok(()),
            Self(count, what) => write!(f, " (and {count} {what})"),
        }
    }
}

/// Names in a row: `l0, l3`.
pub(super) struct Listed<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{item}")?;
        }
        Ok(())
    }
}
