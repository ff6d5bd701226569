//! What is measured over time.

use std::time::Duration;

/// Samples with the time, from the beginning of the run.
#[derive(Clone, Debug)]
pub(super) struct Series<T>(Vec<(Duration, T)>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<T: Copy> Series<T> {
    /// Adds a sample; time does not go back.
    pub(super) fn push(&mut self, at: Duration, sample: T) {
        self.0.push((at, sample));
    }

    /// Returns all samples.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Duration, T)> {
        self.0.iter().copied()
    }

    /// Returns the samples from `from` up to, but not at, `until`.
    pub(super) fn between(
        &self,
        from: Duration,
        until: Duration,
    ) -> impl Iterator<Item = (Duration, T)> {
        let begin = self.0.partition_point(|(at, _)| *at < from);
        let end = self.0.partition_point(|(at, _)| *at < until);
        self.0[begin..end.max(begin)].iter().copied()
    }
}

/// Returns the value below which the given part of `samples` lies, from 0 to 1; zero if there are none.
pub fn percentile(samples: impl IntoIterator<Item = Duration>, part: f64) -> Duration {
    let mut sorted: Vec<_> = samples.into_iter().collect();
    sorted.sort_unstable();
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

impl Series<u64> {
    /// Adds `amount` to the last sample if that is younger than `interval`, else as a new one.
    pub(super) fn accumulate(&mut self, at: Duration, amount: u64, interval: Duration) {
        match self.0.last_mut() {
            _ if amount == 0 => {}
            Some((last, sum)) if at < *last + interval => *sum += amount,
            _ => self.0.push((at, amount)),
        }
    }
}
