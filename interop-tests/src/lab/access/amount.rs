//! Amounts as people write them.

use std::time::Duration;

/// The longest time that means something in a lab.
const MAX_DURATION: Duration = Duration::from_secs(60 * 60);

/// Returns a time: `40ms`, `2s`; a number alone is in milliseconds.
///
/// # Errors
/// When it is none, or longer than an hour.
pub fn duration(text: &str) -> Result<Duration, String> {
    let alone = text.parse().ok().map(Duration::from_millis);
    alone
        .or_else(|| humantime::parse_duration(text).ok())
        .filter(|time| *time <= MAX_DURATION)
        .ok_or_else(|| format!("`{text}` is no time: give 40ms or 2s, at most 1h"))
}

/// Returns a size in bytes: `64kB`, `1.5MB`, `1500B`.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<u64, String> {
    let units = [("kB", 1e3), ("MB", 1e6), ("B", 1.0)];
    let found = units.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    });
    found
        .filter(|bytes| (0.0..=1e9).contains(bytes))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("`{text}` is no size: give 64kB, 1.5MB or 1500B"))
}

/// Returns a rate in bit/s: `20` or `0.5`, in Mbit/s.
///
/// # Errors
/// When it is none, or nothing.
pub fn rate(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|mbits: &f64| (0.001..=10_000.0).contains(mbits));
    number
        .map(|mbits| (mbits * 1e6) as u64)
        .ok_or_else(|| format!("`{text}` is no rate: give Mbit/s, from 0.001 to 10000"))
}

/// Returns a part of a whole: `2%` or `0.1%`.
///
/// # Errors
/// When it is none.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
    number
        .filter(|percent: &f64| (0.0..100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("`{text}` is no part: give 2%, from 0% to less than 100%"))
}
