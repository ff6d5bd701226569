//! A set of byte offsets, kept as disjoint, ascending, non-adjacent ranges.

use std::ops::Range;

/// A set of `u64` offsets.
///
/// Operations cost the logarithm of the number of ranges, plus the ranges that they touch, plus
/// moving the higher ranges where the number of ranges changes. The sets here hold a few ranges, and
/// the caller bounds how many a peer can make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// Creates an empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the number of separate ranges.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Returns the ranges in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// Returns the lowest range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.ranges.first().cloned()
    }

    /// Returns the highest range.
    pub fn last(&self) -> Option<Range<u64>> {
        self.ranges.last().cloned()
    }

    /// Returns the number of offsets in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Adds a range; returns how many of its offsets were not there before.
    pub fn insert(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        // The ranges that touch or overlap the new one.
        let from = self.ranges.partition_point(|r| r.end < range.start);
        let to = from + self.ranges[from..].partition_point(|r| r.start <= range.end);
        if from == to {
            self.ranges.insert(from, range.clone());
            return range.end - range.start;
        }
        let before: u64 = self.ranges[from..to].iter().map(|r| r.end - r.start).sum();
        let merged =
            range.start.min(self.ranges[from].start)..range.end.max(self.ranges[to - 1].end);
        let added = (merged.end - merged.start) - before;
        self.ranges[from] = merged;
        self.ranges.drain(from + 1..to);
        added
    }

    /// Removes a range.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|r| r.end <= range.start);
        let to = from + self.ranges[from..].partition_point(|r| r.start < range.end);
        if from == to {
            return;
        }
        let left = self.ranges[from].start..range.start.max(self.ranges[from].start);
        let right = range.end.min(self.ranges[to - 1].end)..self.ranges[to - 1].end;
        let keep = [left, right].into_iter().filter(|r| !r.is_empty());
        self.ranges.splice(from..to, keep);
    }

    /// Returns whether all of `range` is in the set.
    pub fn contains(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let at = self.ranges.partition_point(|r| r.end <= range.start);
        self.ranges.get(at).is_some_and(|r| r.start <= range.start && range.end <= r.end)
    }

    /// Returns whether `range` overlaps the set or is adjacent to it.
    pub fn touches(&self, range: &Range<u64>) -> bool {
        let at = self.ranges.partition_point(|r| r.end < range.start);
        self.ranges.get(at).is_some_and(|r| r.start <= range.end)
    }

    /// Returns the end of the range that holds `offset`, if one does.
    fn end_of_range_at(&self, offset: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|r| r.end <= offset);
        self.ranges.get(at).filter(|r| r.start <= offset).map(|r| r.end)
    }

    /// Returns the start of the lowest range above `offset`.
    fn next_start(&self, offset: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|r| r.start <= offset);
        self.ranges.get(at).map(|r| r.start)
    }

    /// Returns the lowest run of offsets within `range` that are in none of the `sets`. Nothing is
    /// copied: the sets of a flow can be long where a peer wants them to be.
    pub fn first_gap_of<'a>(
        sets: impl Iterator<Item = &'a Self> + Clone,
        range: Range<u64>,
    ) -> Option<Range<u64>> {
        let mut start = range.start;
        while start < range.end {
            let Some(end) = sets.clone().find_map(|set| set.end_of_range_at(start)) else {
                let next = sets.filter_map(|set| set.next_start(start)).min();
                return Some(start..next.map_or(range.end, |next| next.min(range.end)));
            };
            start = end;
        }
        None
    }

    /// Returns the lowest run of offsets within `range` that are not in the set.
    pub fn first_gap(&self, range: Range<u64>) -> Option<Range<u64>> {
        let mut start = range.start;
        let at = self.ranges.partition_point(|r| r.end <= start);
        let mut rest = self.ranges[at..].iter();
        let mut next = rest.next();
        if let Some(r) = next
            && r.start <= start
        {
            start = r.end;
            next = rest.next();
        }
        if start >= range.end {
            return None;
        }
        let end = next.map_or(range.end, |r| r.start.min(range.end));
        Some(start..end)
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(iter: T) -> Self {
        let mut set = Self::new();
        for range in iter {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn a_range_set_behaves_like_a_set_of_numbers() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(1);
        for _ in 0..300 {
            let mut set = RangeSet::new();
            let mut model = [false; 64];
            for _ in 0..40 {
                let start = rng.random_range(0..64u64);
                let end = rng.random_range(start..=64);
                let span = start as usize..end as usize;
                if rng.random_bool(0.6) {
                    let added = set.insert(start..end);
                    assert_eq!(added, model[span.clone()].iter().filter(|b| !**b).count() as u64);
                    model[span].fill(true);
                } else {
                    set.remove(start..end);
                    model[span].fill(false);
                }
                let low = rng.random_range(0..64u64);
                let gap = set.first_gap(low..64);
                let want = (low..64).find(|i| !model[*i as usize]);
                assert_eq!(gap.as_ref().map(|g| g.start), want);
                if let Some(gap) = gap {
                    assert!(gap.clone().all(|i| !model[i as usize]));
                    assert!(gap.end == 64 || model[gap.end as usize]);
                }
                let (even, odd): (Vec<_>, Vec<_>) =
                    set.iter().enumerate().partition(|(at, _)| at % 2 == 0);
                let parts =
                    [even, odd].map(|p| p.into_iter().map(|(_, r)| r).collect::<RangeSet>());
                assert_eq!(RangeSet::first_gap_of(parts.iter(), low..64), set.first_gap(low..64));
                assert_eq!(set.len(), model.iter().filter(|b| **b).count() as u64);
                let all: RangeSet =
                    (0..64).filter(|i| model[*i as usize]).map(|i| i..i + 1).collect();
                assert_eq!(set, all);
                assert_eq!(set.last(), set.iter().last());
                let near = start.saturating_sub(1)..(end + 1).min(64);
                assert_eq!(set.touches(&(start..end)), near.clone().any(|i| model[i as usize]));
                assert_eq!(set.contains(&(start..end)), (start..end).all(|i| model[i as usize]));
            }
        }
    }
}
