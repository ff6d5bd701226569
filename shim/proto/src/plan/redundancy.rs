//! Whether a session has a lane that answers over every uplink of ours, and to every prefix of the peer, that
//! there could be one over.
//!
//! What fails beside something that works is silent: flows go on, and nobody learns that the next failure ends
//! them. So it is reported, though not at once: a lane that pauses, a dial, a lane that is replaced have their time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::pairing::MAX_LANES;
use crate::hold_down::FailureDomain;
use crate::path::{Path, Prefix};

/// A failure domain is missed after so long without a lane that answers: longer than a dial lasts.
const MISSED_AFTER: Duration = Duration::from_secs(5);

/// What there could be lanes over, and what there is.
#[derive(Clone, Copy, Debug)]
pub struct RedundancyInput<'a> {
    /// The paths to the peer.
    pub paths: &'a [Path],
    /// Uplinks that were configured and have no address; neither metered nor drained ones.
    pub unaddressed: &'a [&'a str],
    /// Uplinks that were discovered. Such a one may lead nowhere, and is missed only once it has answered.
    pub discovered: &'a [&'a str],
    /// The peer's addresses that it drains, which are not missed.
    pub drained_remotes: &'a [IpAddr],
    /// Prefixes that only the peer has named. It need not be able to be reached there, and they are missed only
    /// once they have answered.
    pub named: &'a [Prefix],
    /// What each lane that answers runs over: our uplink, where it is known, and the peer's prefix.
    pub answering: &'a [(Option<&'a str>, Prefix)],
}

/// What is new about a failure domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedundancyChange {
    /// No lane over it answers, while lanes over so many others of its kind do.
    Lost {
        /// The others.
        others: usize,
    },
    /// A lane over it answers again, or none is to be expected any more.
    Restored {
        /// How long none answered.
        after: Duration,
    },
}

/// Follows which failure domains have no lane that answers.
#[derive(Debug, Default)]
pub struct Redundancy {
    /// Those that are missed, or will be: since when.
    missing: BTreeMap<FailureDomain, Missing>,
    /// The discovered uplinks, and named prefixes, that have ever answered, as long as there are paths over them.
    ever_answered: (BTreeSet<String>, BTreeSet<Prefix>),
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    reported: bool,
}

impl Redundancy {
    /// Takes in what is the case; returns what is to be reported of which domain, and when to come back.
    pub fn evaluate(
        &mut self,
        now: Instant,
        input: &RedundancyInput<'_>,
    ) -> (Vec<(FailureDomain, RedundancyChange)>, Option<Instant>) {
        if input.answering.is_empty() {
            // The session has no lane, which is reported as that; what is missed besides shows when it has one.
            self.missing.retain(|_, missing| missing.reported);
            return (Vec::new(), None);
        }
        let absent = self.absent(input);
        let mut changes = Vec::new();
        for (domain, missing) in
            self.missing.extract_if(.., |domain, _| !absent.contains_key(domain))
        {
            if missing.reported {
                let after = now.saturating_duration_since(missing.since);
                changes.push((domain, RedundancyChange::Restored { after }));
            }
        }
        let mut wake_at: Option<Instant> = None;
        for (domain, others) in absent {
            let missing = Missing { since: now, reported: false };
            let missing = self.missing.entry(domain.clone()).or_insert(missing);
            let due = missing.since + MISSED_AFTER;
            if missing.reported {
            } else if due <= now {
                missing.reported = true;
                changes.push((domain, RedundancyChange::Lost { others }));
            } else {
                wake_at = Some(wake_at.map_or(due, |at| at.min(due)));
            }
        }
        (changes, wake_at)
    }

    /// Returns the domains that are missed, and since when.
    pub fn lost(&self) -> impl Iterator<Item = (&FailureDomain, Instant)> {
        self.missing.iter().filter(|(_, m)| m.reported).map(|(domain, m)| (domain, m.since))
    }

    /// Returns the domains over which there could be a lane that answers, and how many of their kind have one.
    fn absent(&mut self, input: &RedundancyInput<'_>) -> BTreeMap<FailureDomain, usize> {
        let eligible = || {
            let is_wanted = |path: &&Path| !path.metered && !path.draining;
            let is_drained = |path: &&Path| input.drained_remotes.contains(&path.remote.ip());
            input.paths.iter().filter(is_wanted).filter(move |path| !is_drained(path))
        };
        let (uplinks_before, prefixes_before) = &mut self.ever_answered;

        let mut uplinks: BTreeSet<&str> = input.unaddressed.iter().copied().collect();
        uplinks.extend(eligible().map(|path| path.uplink.as_str()));
        let answering: BTreeSet<&str> =
            input.answering.iter().filter_map(|(uplink, _)| *uplink).collect();
        uplinks_before.retain(|uplink| uplinks.contains(uplink.as_str()));
        for uplink in input.discovered.iter().filter(|uplink| answering.contains(*uplink)) {
            if !uplinks_before.contains(*uplink) {
                uplinks_before.insert((*uplink).to_owned());
            }
        }
        uplinks.retain(|u| !input.discovered.contains(u) || uplinks_before.contains(*u));
        let domain = |uplink: &str| FailureDomain::Uplink(uplink.to_owned());
        let uplinks = difference(&uplinks, &answering, uplinks.len(), domain);

        let mut prefixes: BTreeSet<Prefix> =
            eligible().map(|path| Prefix::of(path.remote)).collect();
        let reached: BTreeSet<Prefix> = input.answering.iter().map(|(_, prefix)| *prefix).collect();
        prefixes_before.retain(|prefix| prefixes.contains(prefix));
        prefixes_before.extend(input.named.iter().filter(|prefix| reached.contains(prefix)));
        prefixes.retain(|p| !input.named.contains(p) || prefixes_before.contains(p));
        // A provider gives a site a prefix of each family, and one lane is enough for both.
        let v4 = prefixes.iter().filter(|prefix| prefix.is_ipv4()).count();
        let wanted = v4.max(prefixes.len() - v4);
        let prefixes = difference(&prefixes, &reached, wanted, FailureDomain::Prefix);
        uplinks.chain(prefixes).collect()
    }
}

/// Returns what is expected and not there, unless so many are there as are wanted, or as a session has lanes.
fn difference<T: Ord + Copy>(
    expected: &BTreeSet<T>,
    there: &BTreeSet<T>,
    wanted: usize,
    domain: impl Fn(T) -> FailureDomain,
) -> impl Iterator<Item = (FailureDomain, usize)> {
    let enough = expected.intersection(there).count() >= wanted.min(MAX_LANES);
    // What is metered or drained carries as well.
    let others = there.len();
    let absent = expected.difference(there).filter(move |_| !enough);
    absent.map(|one| (domain(*one), others)).collect::<Vec<_>>().into_iter()
}
