//! Months that begin on some day: pure, over dates.

use time::util::days_in_month;
use time::{Date, Month};

/// Returns the day on which the month began that `today` is in, where months begin on `reset_day`: on the last day of
/// a month that has no such day.
pub(super) fn began(today: Date, reset_day: u8) -> Date {
    let here = begins_in(today.year(), today.month(), reset_day);
    if today >= here {
        return here;
    }
    let month = today.month().previous();
    let year = if month == Month::December { today.year() - 1 } else { today.year() };
    begins_in(year, month, reset_day)
}

/// Returns the day on which the month after begins.
pub(super) fn ends(began: Date, reset_day: u8) -> Date {
    let month = began.month().next();
    let year = if month == Month::January { began.year() + 1 } else { began.year() };
    begins_in(year, month, reset_day)
}

fn begins_in(year: i32, month: Month, reset_day: u8) -> Date {
    let day = reset_day.clamp(1, days_in_month(month, year));
    // There is such a day, unless the year is beyond all calendars.
    Date::from_calendar_date(year, month, day).unwrap_or(Date::MAX)
}

/// Reads a date as it is written: `2026-11-30`.
pub(super) fn parse(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month: u8 = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_day_or_on_the_last_one_that_there_is() {
        for (today, reset_day, expected_began, expected_end) in [
            ("2026-11-30", 1, "2026-11-01", "2026-12-01"),
            ("2026-11-01", 1, "2026-11-01", "2026-12-01"),
            ("2026-12-31", 1, "2026-12-01", "2027-01-01"),
            ("2027-01-14", 15, "2026-12-15", "2027-01-15"),
            ("2027-01-15", 15, "2027-01-15", "2027-02-15"),
            // No 31st: the last day.
            ("2026-11-29", 31, "2026-10-31", "2026-11-30"),
            ("2026-11-30", 31, "2026-11-30", "2026-12-31"),
            ("2026-12-30", 31, "2026-11-30", "2026-12-31"),
            ("2027-02-27", 31, "2027-01-31", "2027-02-28"),
            ("2027-02-28", 31, "2027-02-28", "2027-03-31"),
            ("2027-02-28", 30, "2027-02-28", "2027-03-30"),
            ("2027-03-01", 29, "2027-02-28", "2027-03-29"),
            // Leap years, and the century that is none.
            ("2028-02-28", 29, "2028-01-29", "2028-02-29"),
            ("2028-02-29", 29, "2028-02-29", "2028-03-29"),
            ("2028-02-29", 31, "2028-02-29", "2028-03-31"),
            ("2100-02-28", 29, "2100-02-28", "2100-03-29"),
            ("2000-02-29", 30, "2000-02-29", "2000-03-30"),
        ] {
            let began = began(parse(today).unwrap(), reset_day);
            assert_eq!(began.to_string(), expected_began, "{today}, from day {reset_day}");
            assert_eq!(
                ends(began, reset_day).to_string(),
                expected_end,
                "{today}, from day {reset_day}"
            );
        }
    }

    #[test]
    fn every_day_is_in_one_month_and_months_follow_each_other() {
        for reset_day in 1..=31 {
            let mut today = parse("2023-12-25").unwrap();
            let mut current = began(today, reset_day);
            for _ in 0..800 {
                today = today.next_day().unwrap();
                let now = began(today, reset_day);
                assert!(now <= today && today < ends(now, reset_day), "{today} {reset_day}");
                assert!(now == current || now == ends(current, reset_day), "{today} {reset_day}");
                current = now;
            }
        }
    }

    #[test]
    fn a_date_is_read_as_it_is_written() {
        for text in ["2026-11-30", "1970-01-01"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for wrong in
            ["", "2026-11", "2026-13-01", "2026-02-30", "2026-11-30-1", "x-1-1", "99999999999-1-1"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
