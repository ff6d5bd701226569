//! Says what limits the rate of a path.

use crate::catalogue::Code;
use crate::doctor::burst::RateSeen;
use crate::doctor::finding::{Finding, Severity};

/// Returns what a burst over a path of an uplink showed.
pub(super) fn judge(seen: &RateSeen, uplink: &str, subject: String) -> Finding {
    let (code, severity, cause) = match seen {
        RateSeen::Free { offered } => (
            Code::RateFree,
            Severity::Ok,
            format!("A burst of {} passed as fast as it was sent.", rate(*offered)),
        ),
        RateSeen::Policed { rate: passed, burst, lost } => (
            Code::RatePoliced,
            Severity::Warning,
            format!(
                "Of what this host sends, what is above {} is dropped, once some {:.0} kB have passed, and nothing waits: a \
                 policer, or a queue of a few packets. {} of the burst was lost.",
                rate(*passed),
                burst / 1000.0,
                percent(*lost)
            ),
        ),
        RateSeen::Shaped { rate: passed, delay, lost } => (
            Code::RateShaped,
            Severity::Note,
            format!(
                "What this host sends passes at {}, and what is above that waits in a queue, here {} ms; {} of the burst was \
                 lost. So do links, and ISPs that shape.",
                rate(*passed),
                delay.as_millis(),
                percent(*lost)
            ),
        ),
        RateSeen::Lossy { lost } => (
            Code::RateLossy,
            Severity::Warning,
            format!(
                "{} of a burst was lost, at a low rate as at a high one, and nothing waited.",
                percent(*lost)
            ),
        ),
        RateSeen::Unknown(reason) => (
            Code::RateUnknown,
            Severity::Note,
            format!("What limits the rate could not be seen: {reason}."),
        ),
    };
    let finding = Finding::new(code, severity, subject, cause);
    let cure = code.entry().cure.replace("drain NAME`", &format!("drain {uplink} -c FILE`"));
    if severity == Severity::Ok {
        finding
    } else {
        finding.cure(cure.replace("--rate`", "--rate -c FILE`"))
    }
}

fn rate(bits: f64) -> String {
    let megabits = bits / 1e6;
    if megabits < 10.0 { format!("{megabits:.1} Mbit/s") } else { format!("{megabits:.0} Mbit/s") }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}
