//! What of an uplink is paid for: `budget` and its fields, and `overflow`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::raw::{RawUplink, SpannedText};
use super::size;
use super::source::{Source, located};
use crate::catalogue::Code;

/// The least budget: less is a forgotten unit.
const MIN_BUDGET: u64 = 1_000_000;

/// For how long cheaper uplinks may have to be full before an overflow uplink is used.
const OVERFLOW_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// The same, where nothing is said: a page or a photo is through by then.
const DEFAULT_OVERFLOW_AFTER: Duration = Duration::from_secs(3);

/// What an uplink may carry in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes, both ways.
    pub bytes: u64,
    /// The day of the month at which it begins anew; the last one of a month that is shorter.
    pub reset_day: u8,
    /// What may be used when it is spent.
    pub at_end: AtBudget,
}

/// What may be used of an uplink whose budget is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtBudget {
    /// Nothing.
    #[default]
    Stop,
    /// What thin flows send, where no other uplink answers.
    Thin,
}

impl fmt::Display for AtBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Thin => "thin",
        })
    }
}

/// Formats the budget as the fields that say it.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, reset_day, at_end } = self;
        write!(f, "{} a month from day {reset_day}, then {at_end}", size::decimal(*bytes))
    }
}

/// Parses the budget of an uplink, if it has one.
pub(super) fn parse(source: &Source<'_>, raw: &RawUplink) -> Result<Option<Budget>, ConfigError> {
    let Some((text, span)) = raw.budget.as_ref().map(located) else {
        let alone = raw.reset_day.as_ref().map(|day| ("reset-day", day.span()));
        let alone = alone.or(raw.at_budget.as_ref().map(|end| ("at-budget", end.span())));
        return match alone {
            None => Ok(None),
            Some((field, span)) => {
                let message = format!(
                    "`{field}` says something of a `budget`, and there is none; add one like \"20GB\"."
                );
                Err(source.error(Code::FieldsConflict, span, message))
            }
        };
    };
    let bytes = size::bytes(text).ok_or_else(|| {
        let message = format!(
            "A `budget` is a whole number and a unit, such as 20GB or 1500MB, and not `{text}`."
        );
        source.error(Code::WrongValue, span.clone(), message)
    })?;
    if bytes < MIN_BUDGET {
        let message = format!(
            "A `budget` of `{text}` is {bytes} bytes, which is too little; write at least 1MB, with the unit. For an \
             uplink that is used only where no other answers write `metered = true`."
        );
        return Err(source.error(Code::OutOfRange, span, message));
    }
    let reset_day = match raw.reset_day.as_ref() {
        None => 1,
        Some(day) => reset_day(source, day)?,
    };
    let at_end = match raw.at_budget.as_ref().map(located) {
        None => AtBudget::default(),
        Some(("stop", _)) => AtBudget::Stop,
        Some(("thin", _)) => AtBudget::Thin,
        Some((text, span)) => {
            let message = format!(
                "`{text}` is no `at-budget`; write \"stop\" (nothing goes over the uplink then) or \"thin\" (thin flows \
                 do, where no other uplink answers)."
            );
            return Err(source.error(Code::WrongValue, span, message));
        }
    };
    Ok(Some(Budget { bytes, reset_day, at_end }))
}

fn reset_day(source: &Source<'_>, day: &SpannedText) -> Result<u8, ConfigError> {
    let (text, span) = located(day);
    let number = text.parse().ok().filter(|day| (1..=31).contains(day));
    number.ok_or_else(|| {
        let message = format!(
            "`reset-day` is a day of the month from 1 to 31 (the last one where the month is shorter), and not `{text}`."
        );
        source.error(Code::OutOfRange, span, message)
    })
}

/// Parses for how long the other uplinks have to be full before this one is used as well; `None` where it never is.
pub(super) fn overflow(
    source: &Source<'_>,
    raw: &RawUplink,
) -> Result<Option<Duration>, ConfigError> {
    let after = raw.overflow_after.as_ref().map(located);
    let Some(overflow) = raw.overflow.as_ref().filter(|overflow| *overflow.get_ref()) else {
        return match after {
            None => Ok(None),
            Some((_, span)) => {
                let message = "`overflow-after` needs `overflow = true` beside it.";
                Err(source.error(Code::FieldsConflict, span, message))
            }
        };
    };
    if raw.metered {
        let message = "An uplink is `metered` (used only where no other answers) or `overflow` (used by bulk as well, \
                       when the others are full); remove one of the two.";
        return Err(source.error(Code::FieldsConflict, overflow.span(), message));
    }
    let Some((text, span)) = after else { return Ok(Some(DEFAULT_OVERFLOW_AFTER)) };
    let value = source.duration((text, span.clone()), "3s or 1m")?;
    if !OVERFLOW_AFTER.contains(&value) {
        let message = format!("`{text}` is out of range; write a duration from 1s to 1m.");
        return Err(source.error(Code::OutOfRange, span, message));
    }
    Ok(Some(value))
}
