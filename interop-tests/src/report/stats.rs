//! Medians of stalls, some of which had not ended.

use super::model::Stall;

/// What a list of stalls comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// The shortest.
    pub least: Stall,
    /// The median: of an even number the mean of the middle two.
    pub median: Stall,
    /// The longest.
    pub most: Stall,
}

/// Sums up; nothing of nothing. One that had not ended is longer than any that had: how long it
/// would have been nobody knows.
pub fn summary(stalls: impl IntoIterator<Item = Stall>) -> Option<Summary> {
    let mut all: Vec<_> = stalls.into_iter().collect();
    all.sort_by(|a, b| a.at_least.cmp(&b.at_least).then(a.ms.total_cmp(&b.ms)));
    let (least, most) = (*all.first()?, *all.last()?);
    let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
    let median =
        Stall { ms: f64::midpoint(low.ms, high.ms), at_least: low.at_least || high.at_least };
    Some(Summary { count: all.len(), least, median, most })
}

/// Returns the median of numbers, if there are any.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let stalls = numbers.into_iter().map(|ms| Stall { ms, at_least: false });
    summary(stalls).map(|summary| summary.median.ms)
}

/// Milliseconds as people read them: `38 ms`, `4.2 s`.
pub fn duration(ms: f64) -> String {
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// The same, with `≥` before what had not ended.
pub fn stall(stall: Stall) -> String {
    let sign = if stall.at_least { "≥ " } else { "" };
    sign.to_owned() + &duration(stall.ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(ms: f64) -> Stall {
        Stall { ms, at_least: false }
    }

    fn endless(ms: f64) -> Stall {
        Stall { ms, at_least: true }
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_middle_two() {
        let three = summary([ended(30.0), ended(10.0), ended(90.0)]).unwrap();
        assert_eq!((three.least, three.median), (ended(10.0), ended(30.0)));
        assert_eq!((three.most, three.count), (ended(90.0), 3));
        assert_eq!(summary([ended(10.0), ended(30.0)]).unwrap().median, ended(20.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(summary([]), None);
    }

    #[test]
    fn what_had_not_ended_is_the_longest_and_a_median_of_it_is_a_bound() {
        let all = summary([endless(15.0), ended(20.0), ended(1.0)]).unwrap();
        assert_eq!((all.median, all.most), (ended(20.0), endless(15.0)));
        assert_eq!(summary([endless(15.0), ended(5.0)]).unwrap().median, endless(10.0));
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (0.4, "0.4 ms"),
            (9.96, "10 ms"),
            (38.2, "38 ms"),
            (999.9, "1.0 s"),
            (12_345.0, "12.3 s"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(stall(endless(15_000.0)), "≥ 15.0 s");
    }
}
