//! A bar: a number against what is wanted of it.

/// On which side of its limit a number is to be.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    AtLeast(f64),
    AtMost(f64),
    Above(f64),
    Between(f64, f64),
}

/// Returns a line; nothing where the number is not there or is none.
pub(super) fn bar(what: &str, number: Option<f64>, wanted: Limit) -> Option<String> {
    let number = number.filter(|number| number.is_finite())?;
    let (met, limit) = match wanted {
        Limit::AtLeast(limit) => (number >= limit, format!("≥ {limit}")),
        Limit::AtMost(limit) => (number <= limit, format!("≤ {limit}")),
        Limit::Above(limit) => (number > limit, format!("> {limit}")),
        Limit::Between(least, most) => {
            ((least..=most).contains(&number), format!("{least} to {most}"))
        }
    };
    let verdict = if met { "met" } else { "**missed**" };
    Some(format!("{what}: {number:.2}, wanted {limit}: {verdict}"))
}

/// Returns how many times as much one number is as another, if both are there.
pub(super) fn ratio(number: Option<f64>, of: Option<f64>) -> Option<f64> {
    Some(number? / of?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_whether_it_is_met() {
        let line = |number, wanted| bar("share", Some(number), wanted).unwrap();
        assert_eq!(line(0.95, Limit::AtLeast(0.95)), "share: 0.95, wanted ≥ 0.95: met");
        assert_eq!(line(0.94, Limit::AtLeast(0.95)), "share: 0.94, wanted ≥ 0.95: **missed**");
        assert!(line(2.5, Limit::Between(0.5, 2.0)).ends_with("0.5 to 2: **missed**"));
        assert!(line(1.0, Limit::Above(1.0)).contains("missed"));
        assert!(line(2.0, Limit::AtMost(2.0)).contains("met"));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert_eq!(bar("share", None, Limit::AtMost(1.0)), None);
        assert_eq!(bar("share", ratio(Some(1.0), Some(0.0)), Limit::AtMost(1.0)), None);
        assert_eq!(ratio(Some(1.0), None), None);
    }
}
