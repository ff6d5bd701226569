//! What was counted and is not in the file yet, by the day on which it passed: pure.
//!
//! A write may come in a later month than the bytes, above all where the disk has failed for days: they are of the
//! month in which they passed.

use std::collections::BTreeMap;

use time::Date;

use super::account::Account;

/// Days that are told apart; of more, the earliest count as the next.
const MAX_DAYS: usize = 64;

/// Bytes by day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unwritten(BTreeMap<Date, u64>);

impl Unwritten {
    /// Adds bytes that have passed on a day.
    pub(super) fn add(&mut self, day: Date, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let of_day = self.0.entry(day).or_default();
        *of_day = of_day.saturating_add(bytes);
        if self.0.len() > MAX_DAYS
            && let Some((_, earliest)) = self.0.pop_first()
            && let Some(mut next) = self.0.first_entry()
        {
            *next.get_mut() = next.get().saturating_add(earliest);
        }
    }

    /// Removes what is in the file now.
    pub(super) fn remove(&mut self, written: &Self) {
        let mut left = written.total();
        // In all, and not day by day: meanwhile the earliest may count as the next.
        while left > 0
            && let Some(mut earliest) = self.0.first_entry()
        {
            let removed = left.min(*earliest.get());
            left -= removed;
            *earliest.get_mut() -= removed;
            if *earliest.get() == 0 {
                earliest.remove();
            }
        }
    }

    /// Returns the bytes of all days.
    pub(super) fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Counts them in an account, which then is in the month that `today` is in.
    pub(super) fn count_in(&self, account: &mut Account, today: Date, reset_day: u8) {
        for (day, bytes) in &self.0 {
            account.count(*day, reset_day, *bytes);
        }
        account.count(today, reset_day, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::period;

    fn day(number: u64) -> Date {
        period::parse("2026-11-30").unwrap() + time::Duration::days(number.cast_signed())
    }

    #[test]
    fn bytes_are_of_the_month_in_which_they_passed() {
        let mut unwritten = Unwritten::default();
        unwritten.add(day(0), 700);
        unwritten.add(day(1), 1);
        let mut account = Account::default();
        unwritten.count_in(&mut account, day(1), 1);
        assert_eq!((account.used(), unwritten.total()), (1, 701));
        // Also where the file is in the later month already.
        let mut account = Account::default();
        account.count(day(1), 1, 30);
        unwritten.count_in(&mut account, day(1), 1);
        assert_eq!(account.used(), 31);
    }

    #[test]
    fn there_are_no_more_days_than_are_told_apart_and_no_byte_is_lost() {
        let mut unwritten = Unwritten::default();
        (0..200).for_each(|number| unwritten.add(day(number), 10));
        assert_eq!((unwritten.0.len(), unwritten.total()), (MAX_DAYS, 2000));
        let written = unwritten.clone();
        unwritten.add(day(200), 5);
        unwritten.remove(&written);
        assert_eq!(unwritten, Unwritten(BTreeMap::from([(day(200), 5)])));
    }
}
