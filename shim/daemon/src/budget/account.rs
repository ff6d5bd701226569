//! What an uplink has carried in the present month: a state machine that takes the date. Pure.
//!
//! A wrong clock must give nobody bytes that were used up, nor keep a new month from beginning:
//!
//! | the date | what becomes of the count |
//! |---|---|
//! | is in a later month | it begins anew; the month before is remembered |
//! | is in an earlier month | it goes on in that one with all that is known, as the clock was ahead or is behind; the later month is remembered |
//! | is in that later month again | it goes on in it with what was counted there; what passed meanwhile stays with the earlier one |
//! | is before [`SET_SINCE`] | it goes on: the clock is not set yet, as on a device without a battery |
//! | as before, but months begin on another day now | it goes on, and ends on the new day |
//!
//! Later months are forgotten once another one begins before them: the clock was ahead.

use serde::{Deserialize, Serialize};
use time::{Date, Month};

use super::period;
use crate::config::Budget;

/// A clock that shows an earlier day has not been set: this program is younger.
const SET_SINCE: (i32, Month, u8) = (2025, Month::January, 1);

/// What an uplink has carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Account {
    /// When the month began; nothing until the clock is set.
    #[serde(with = "dates")]
    began: Option<Date>,
    /// The day on which months began then.
    reset_day: u8,
    /// Bytes since then.
    used: u64,
    /// The month before.
    before: Option<OtherMonth>,
    /// A later month that the clock has shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<OtherMonth>,
}

/// A month other than the present one: when it began, and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OtherMonth {
    #[serde(with = "dates")]
    began: Option<Date>,
    used: u64,
}

/// How much of a budget is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// More than a fifth.
    Within,
    /// A fifth or less.
    Low,
    /// Nothing.
    Spent,
}

impl Account {
    /// Counts bytes that went over the uplink until `today`.
    pub(super) fn count(&mut self, today: Date, reset_day: u8, bytes: u64) {
        let (year, month, day) = SET_SINCE;
        let is_set = Date::from_calendar_date(year, month, day).is_ok_and(|since| today >= since);
        if is_set {
            self.enter(today, reset_day);
        }
        self.used = self.used.saturating_add(bytes);
    }

    /// Enters the month that `today` is in.
    fn enter(&mut self, today: Date, reset_day: u8) {
        // By the former day: a month that is over is over, whatever the day is now.
        if let Some(began) = self.began {
            self.pass_to(began, period::began(today, self.reset_day));
        }
        if self.began.is_none() || self.reset_day != reset_day {
            self.reset_day = reset_day;
            self.began = Some(period::began(today, reset_day));
            self.used = self.used();
            (self.before, self.after) = (None, None);
        }
    }

    /// Passes from the month that began on one day to that which began on another.
    fn pass_to(&mut self, began: Date, now: Date) {
        let leave = |used| Some(OtherMonth { began: Some(began), used });
        let is_now = |other: &OtherMonth| other.began == Some(now);
        if now > began {
            let known = self.after.take().filter(is_now).map_or(0, |after| after.used);
            self.before = leave(std::mem::replace(&mut self.used, known));
        } else if now < began {
            self.after = leave(self.used());
            let known = self.before.take_if(|before| is_now(before));
            self.used = known.map_or(0, |before| before.used);
        }
        self.began = Some(now);
    }

    /// Returns the bytes of this month, with those of a later one that the clock has shown.
    pub(super) fn used(&self) -> u64 {
        self.used.saturating_add(self.after.as_ref().map_or(0, |after| after.used))
    }

    /// Returns when the month ends; nothing until the clock is set.
    pub(super) fn ends(&self) -> Option<Date> {
        self.began.map(|began| period::ends(began, self.reset_day))
    }

    /// Returns how much of a budget is left.
    pub(super) fn level(&self, budget: &Budget) -> Level {
        match self.used() {
            used if used >= budget.bytes => Level::Spent,
            used if used >= budget.bytes - budget.bytes / 5 => Level::Low,
            _ => Level::Within,
        }
    }
}

/// Dates as text.
mod dates {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use time::Date;

    use super::period;

    pub(super) fn serialize<S: Serializer>(
        date: &Option<Date>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        date.map(|date| date.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Date>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let parsed = text.map(|text| {
            period::parse(&text)
                .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no date")))
        });
        parsed.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AtBudget;

    /// Counts a thousand bytes on each of these days; returns what is used after each.
    fn used(days: &[&str], reset_day: u8) -> Vec<u64> {
        let mut account = Account::default();
        let count = |day: &&str| {
            account.count(period::parse(day).unwrap(), reset_day, 1000);
            account.used()
        };
        days.iter().map(count).collect()
    }

    #[test]
    fn the_count_begins_anew_with_the_month_whatever_the_clock_does_in_between() {
        for (reason, days, expected) in [
            (
                "month by month",
                &["2026-11-01", "2026-11-30", "2026-12-01", "2027-01-01"][..],
                &[1000, 2000, 1000, 1000][..],
            ),
            ("a year that was slept through", &["2026-11-30", "2027-11-30"], &[1000, 1000]),
            ("set back within the month", &["2026-11-30", "2026-11-02"], &[1000, 2000]),
            (
                "set back over its beginning",
                &["2026-11-30", "2026-12-01", "2026-11-30"],
                &[1000, 1000, 3000],
            ),
            (
                "… and forward again",
                &["2026-11-30", "2026-12-01", "2026-11-30", "2026-12-01"],
                &[1000, 1000, 3000, 2000],
            ),
            (
                "a month behind for a while: nothing is given twice",
                &["2026-10-31", "2026-11-29", "2026-10-31", "2026-10-31", "2026-11-30"],
                &[1000, 1000, 3000, 4000, 2000],
            ),
            (
                "two months behind for a while",
                &["2026-11-29", "2026-09-30", "2026-11-30", "2026-12-01"],
                &[1000, 2000, 2000, 1000],
            ),
            (
                "ahead by years, and corrected: the next months begin anew",
                &[
                    "2026-11-01",
                    "2026-11-02",
                    "2099-01-01",
                    "2026-11-03",
                    "2026-12-01",
                    "2026-12-02",
                ],
                &[1000, 2000, 1000, 4000, 1000, 2000],
            ),
            (
                "the clock is not set yet",
                &["2026-11-30", "1970-01-01", "2026-11-30"],
                &[1000, 2000, 3000],
            ),
            ("… at the very first", &["1970-01-01", "2026-11-30"], &[1000, 2000]),
            (
                "set back by a month of which nothing is known",
                &["2026-11-30", "2026-09-30", "2026-10-01"],
                &[1000, 2000, 1000],
            ),
        ] {
            assert_eq!(used(days, 1), expected, "{reason}");
        }
    }

    #[test]
    fn a_month_without_such_a_day_ends_on_its_last() {
        assert_eq!(
            used(&["2027-02-27", "2027-02-28", "2027-03-30", "2027-03-31"], 31),
            [1000, 1000, 2000, 1000]
        );
        assert_eq!(
            used(&["2028-02-28", "2028-02-29", "2028-03-28", "2028-03-29"], 29),
            [1000, 1000, 2000, 1000]
        );
    }

    #[test]
    fn another_day_of_the_month_begins_no_month() {
        let mut account = Account::default();
        let mut count = |day: &str, reset_day| {
            account.count(period::parse(day).unwrap(), reset_day, 1000);
            (account.used(), account.ends().unwrap().to_string())
        };
        assert_eq!(count("2026-11-20", 1), (1000, "2026-12-01".to_owned()));
        assert_eq!(count("2026-11-20", 15), (2000, "2026-12-15".to_owned()));
        assert_eq!(count("2026-11-21", 25), (3000, "2026-11-25".to_owned()));
        assert_eq!(count("2026-11-25", 25), (1000, "2026-12-25".to_owned()));
        // Over by the former day.
        assert_eq!(count("2027-01-27", 15), (1000, "2027-02-15".to_owned()));
        assert_eq!(count("2027-02-10", 1), (2000, "2027-03-01".to_owned()));
    }

    #[test]
    fn four_fifths_are_low_and_all_of_it_is_spent() {
        let budget = Budget { bytes: 1_000_000, reset_day: 1, at_end: AtBudget::Stop };
        let mut account = Account::default();
        let today = period::parse("2026-11-30").unwrap();
        for (bytes, expected) in [
            (0, Level::Within),
            (799_999, Level::Within),
            (1, Level::Low),
            (199_999, Level::Low),
            (1, Level::Spent),
        ] {
            account.count(today, 1, bytes);
            assert_eq!(account.level(&budget), expected, "{}", account.used());
        }
        account.count(today, 1, u64::MAX);
        assert_eq!(account.used(), u64::MAX);
    }

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let mut account = Account::default();
        for day in ["2026-10-30", "2026-11-30"] {
            account.count(period::parse(day).unwrap(), 15, 7);
        }
        let text = serde_json::to_string(&account).unwrap();
        assert_eq!(
            text,
            r#"{"began":"2026-11-15","reset_day":15,"used":7,"before":{"began":"2026-10-15","used":7}}"#
        );
        assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
        assert!(serde_json::from_str::<Account>(r#"{"began":"2026-02-30"}"#).is_err());
    }
}
