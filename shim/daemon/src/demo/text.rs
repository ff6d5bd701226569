//! Lines and numbers as people read them.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use tokio::sync::Notify;

/// Notified when nobody reads any more (`| head`).
static READER_GONE: Notify = Notify::const_new();

/// Prints a line.
pub(super) fn print_line(line: impl Display) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}")
        && error.kind() == ErrorKind::BrokenPipe
    {
        READER_GONE.notify_one();
    }
}

/// Completes when nobody reads any more: there is nothing left to show.
pub(super) async fn reader_gone() {
    READER_GONE.notified().await;
}

/// `45 ms`, `6.2 s`.
pub(super) fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        // Up, so that no gap looks better than it was.
        format!("{} ms", time.as_micros().div_ceil(1000))
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// `2.8 MB`, in powers of ten as rates are.
pub(super) fn bytes(bytes: u64) -> String {
    let mega = bytes as f64 / 1e6;
    if mega < 10.0 { format!("{mega:.1} MB") } else { format!("{mega:.0} MB") }
}

/// `1,034`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `187 Mbit/s`.
pub(super) fn rate(bits: f64) -> String {
    let mega = bits / 1e6;
    if mega < 10.0 { format!("{mega:.1} Mbit/s") } else { format!("{mega:.0} Mbit/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(time(Duration::from_micros(45_200)), "46 ms");
        assert_eq!(time(Duration::from_millis(6_210)), "6.2 s");
        assert_eq!(bytes(489_700_000), "490 MB");
        assert_eq!(count(1_034), "1,034");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(rate(187_400_000.0), "187 Mbit/s");
    }
}
