//! Which connections of unknown peers may be set up at once, and how many a second.
//!
//! Whoever dials is an unknown peer until TLS has shown its key. Unknown peers share [`MAX_SETUPS`] slots:
//!
//! - Each prefix (/24, /48) has a part. At its part, and where all slots are taken, a newcomer displaces
//!   the oldest set-up of the prefix that holds most: the oldest is the one that stalls.
//! - Prefixes from which a peer was let in of late have a larger part, and slots of their own.
//! - A newcomer beyond the first [`RETRY_THRESHOLD`] must have shown that its address is its own, so that
//!   nobody takes a slot, or displaces another, in somebody else's name.
//!
//! A handshake costs a key exchange, two signatures and some memory. So their number a second is bounded,
//! for each prefix and in all, apart from what lanes cost: beyond it, first packets are dropped. The
//! dialer of an honest peer sends its first packet again after 0.3 s.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use throughline_proto::path::Prefix;
use throughline_proto::throttle::TokenBucket;

/// Unknown peers being set up at once: far more than peers dial together, and few enough that a flood holds
/// little memory.
pub(super) const MAX_SETUPS: usize = 256;

/// The part of those that prefixes take from which no peer was let in of late.
const MAX_UNKNOWN: usize = MAX_SETUPS * 3 / 4;

/// The part of one such prefix: every path of a site, dialed at once by four of its hosts.
const MAX_OF_UNKNOWN: usize = 64;

/// The part of a prefix from which a peer was let in: many of them may be behind one NAT.
const MAX_OF_KNOWN: usize = MAX_SETUPS * 3 / 4;

/// From this many set-ups on a newcomer must show that its address is its own (RFC 9000 §8.1.2, Retry).
const RETRY_THRESHOLD: usize = 64;

/// How long a prefix counts as known: a peer that was here yesterday dials again.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// Prefixes that are known at once; the one that was used least recently is forgotten.
const MAX_KNOWN: usize = 1024;

/// Handshakes of one unknown prefix: so many at once, and one in an interval. More than somebody who stalls
/// there needs to be noticed, since a peer in the same prefix shares it.
const PREFIX_BURST: u32 = 64;
const PREFIX_INTERVAL: Duration = Duration::from_millis(3);

/// Handshakes of all unknown prefixes together.
const UNKNOWN_BURST: u32 = 256;
const UNKNOWN_INTERVAL: Duration = Duration::from_millis(2);

/// Handshakes of all known prefixes together: a thousand peers are back within two seconds.
const KNOWN_BURST: u32 = 512;
const KNOWN_INTERVAL: Duration = Duration::from_millis(2);

/// Unknown prefixes whose rate is followed; in all they are bounded anyway.
const MAX_FOLLOWED: usize = 256;

/// What is to be done with a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is set up, under this number; where there was no slot, this other set-up ends.
    Accept { number: u64, displaced: Option<u64> },
    /// It is to show that its address is its own.
    Retry,
    /// Its packet is dropped; it may send another.
    Drop,
}

/// The slots. Sans-I/O.
#[derive(Debug)]
pub(super) struct Slots {
    /// By number, so that the oldest is first.
    held: BTreeMap<u64, Prefix>,
    next_number: u64,
    /// From where peers were let in, the latest last.
    known: VecDeque<(Prefix, Instant)>,
    /// The rates of unknown prefixes, the latest last.
    followed: VecDeque<(Prefix, TokenBucket)>,
    of_unknown: TokenBucket,
    of_known: TokenBucket,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            next_number: 0,
            known: VecDeque::new(),
            followed: VecDeque::new(),
            of_unknown: TokenBucket::new(UNKNOWN_BURST, UNKNOWN_INTERVAL),
            of_known: TokenBucket::new(KNOWN_BURST, KNOWN_INTERVAL),
        }
    }
}

impl Slots {
    /// Judges a newcomer from `prefix`, whose address is `validated` or not.
    pub(super) fn admit(&mut self, now: Instant, prefix: Prefix, validated: bool) -> Verdict {
        if self.held.len() >= RETRY_THRESHOLD && !validated {
            return Verdict::Retry;
        }
        let known = self.is_known(now, prefix);
        let within_rate = match known {
            true => self.of_known.take(now),
            false => self.prefix_rate(prefix).take(now) && self.of_unknown.take(now),
        };
        if !within_rate {
            return Verdict::Drop;
        }
        let displaced = self.to_displace(now, prefix, known);
        if let Some(displaced) = displaced {
            self.held.remove(&displaced);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.held.insert(number, prefix);
        Verdict::Accept { number, displaced }
    }

    /// Frees the slot of a set-up that has ended, if it has not been displaced.
    pub(super) fn release(&mut self, number: u64) {
        self.held.remove(&number);
    }

    /// Notes that a peer was let in from `prefix`.
    pub(super) fn let_in(&mut self, now: Instant, prefix: Prefix) {
        self.known.retain(|(known, _)| *known != prefix);
        if self.known.len() == MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back((prefix, now));
    }

    fn is_known(&self, now: Instant, prefix: Prefix) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < KNOWN_FOR;
        self.known.iter().any(|(known, at)| *known == prefix && recent(*at))
    }

    fn prefix_rate(&mut self, prefix: Prefix) -> &mut TokenBucket {
        let fresh = || TokenBucket::new(PREFIX_BURST, PREFIX_INTERVAL);
        let at = self.followed.iter().position(|(followed, _)| *followed == prefix);
        let entry = at.and_then(|at| self.followed.remove(at)).unwrap_or((prefix, fresh()));
        if self.followed.len() == MAX_FOLLOWED {
            self.followed.pop_front();
        }
        self.followed.push_back(entry);
        &mut self.followed.back_mut().expect("it was just added").1
    }

    /// Returns the set-up that makes room for a newcomer, where it needs that.
    fn to_displace(&self, now: Instant, prefix: Prefix, known: bool) -> Option<u64> {
        let mut of_prefix: BTreeMap<Prefix, (usize, u64)> = BTreeMap::new();
        for (number, held) in &self.held {
            of_prefix.entry(*held).or_insert((0, *number)).0 += 1;
        }
        let part = if known { MAX_OF_KNOWN } else { MAX_OF_UNKNOWN };
        if let Some((count, oldest)) = of_prefix.get(&prefix)
            && *count >= part
        {
            return Some(*oldest);
        }
        // An unknown peer displaces no one who may be a peer.
        let unknown = |prefix: &Prefix| !self.is_known(now, *prefix);
        let of_unknown = of_prefix.iter().filter(|(prefix, _)| unknown(prefix));
        let held_by_unknown: usize = of_unknown.map(|(_, (count, _))| count).sum();
        let full = self.held.len() >= MAX_SETUPS || (!known && held_by_unknown >= MAX_UNKNOWN);
        let candidates =
            of_prefix.iter().filter(|(prefix, _)| held_by_unknown == 0 || unknown(prefix));
        let largest = candidates.max_by_key(|(_, (count, oldest))| (*count, u64::MAX - oldest));
        largest.filter(|_| full).map(|(_, (_, oldest))| *oldest)
    }
}

#[cfg(test)]
mod tests;
