//! Which doubts in a lane are worth telling.
//!
//! On a busy machine acknowledgements are late by some milliseconds every now and then, and the lane
//! is in doubt until they come. That is as it should be, and nobody needs to hear of it. A doubt is
//! told once it has lasted for [`WORTH_TELLING`], or as soon as bytes were sent again because of it, or
//! when the lane ends in it. One that is withdrawn before is brief: it is counted, and the next one
//! that is told says how many there were.

use std::time::{Duration, Instant};

use crate::events::SuspectedBy;
use throughline_proto::health::Rule;

/// What is withdrawn within this was a late acknowledgement as a rule: on a busy machine such doubts
/// last 2 to 40 ms. And a person notices a wait from about this on.
pub(super) const WORTH_TELLING: Duration = Duration::from_millis(100);

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The lane is suspected. So many brief doubts were not told before.
    Suspected { by: SuspectedBy, besides: u64 },
    /// It answers again after so long.
    Healed(Duration),
    /// The same, of a doubt that was brief.
    Withdrawn(Duration),
}

/// The doubts in a lane.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    present: Option<Doubt>,
    /// Brief ones since one was told.
    brief: u64,
    /// All there were.
    count: u64,
}

/// A doubt that lasts.
#[derive(Debug)]
struct Doubt {
    since: Instant,
    ours: Side<Rule>,
    theirs: Side<()>,
    /// The longest for which nothing was acknowledged: what was under way may come late.
    silent: Duration,
    /// Bytes that had been sent again on other lanes when it began.
    resent: u64,
}

/// What one end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side<T> {
    Trusts,
    Doubts(T),
    Told,
}

impl<T: Copy> Side<T> {
    /// It doubts, and why as it is now; or it does not, or no longer.
    fn says(&mut self, why: Option<T>) {
        if let Self::Trusts | Self::Doubts(_) = self {
            *self = why.map_or(Self::Trusts, Self::Doubts);
        }
    }

    /// Why it doubts, if that was not told; it counts as told then.
    fn tell(&mut self) -> Option<T> {
        let Self::Doubts(why) = *self else { return None };
        *self = Self::Told;
        Some(why)
    }
}

impl Doubt {
    fn new(since: Instant, resent: u64) -> Self {
        let (ours, theirs) = (Side::Trusts, Side::Trusts);
        Self { since, ours, theirs, silent: Duration::ZERO, resent }
    }

    /// Who doubts now, and by our end's clock for how long nothing was acknowledged.
    fn say(&mut self, ours: Option<(Rule, Duration)>, theirs: bool) {
        self.silent = ours.map_or(self.silent, |(_, silent)| silent.max(self.silent));
        self.ours.says(ours.map(|(rule, _)| rule));
        self.theirs.says(theirs.then_some(()));
    }
}

impl Doubts {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// At `now` we doubt the lane by a rule and for so long nothing was acknowledged, or the peer
    /// does, or nobody. `resent` says how many bytes have been sent again on other lanes. Returns
    /// what is to be told, and when to ask again if nobody does before.
    pub(super) fn look(
        &mut self,
        now: Instant,
        ours: Option<(Rule, Duration)>,
        theirs: bool,
        resent: impl FnOnce() -> u64,
    ) -> (Vec<News>, Option<Instant>) {
        let over = ours.is_none() && !theirs;
        let doubt = match &mut self.present {
            None if over => return (Vec::new(), None),
            Some(doubt) => doubt,
            None => {
                self.count += 1;
                self.present.insert(Doubt::new(now, resent())).say(ours, theirs);
                return (Vec::new(), Some(now + WORTH_TELLING));
            }
        };
        if !over {
            doubt.say(ours, theirs);
        }
        let lasted = now.saturating_duration_since(doubt.since);
        let told = doubt.ours == Side::Told || doubt.theirs == Side::Told;
        let worth = told || lasted >= WORTH_TELLING || resent() > doubt.resent;
        let again = doubt.since + WORTH_TELLING;
        if !over {
            return if worth { (self.tell(), None) } else { (Vec::new(), Some(again)) };
        }
        let mut news = if worth { self.tell() } else { Vec::new() };
        news.push(if worth { News::Healed(lasted) } else { News::Withdrawn(lasted) });
        self.brief += u64::from(!worth);
        self.present = None;
        (news, None)
    }

    /// What is untold of the present doubt: the lane ends in it.
    pub(super) fn tell(&mut self) -> Vec<News> {
        let Some(doubt) = &mut self.present else { return Vec::new() };
        let silent = doubt.silent;
        let ours = doubt.ours.tell().map(|rule| SuspectedBy::Us { rule, silent });
        let theirs = doubt.theirs.tell().map(|()| SuspectedBy::Peer);
        let suspected = |by| News::Suspected { by, besides: std::mem::take(&mut self.brief) };
        ours.into_iter().chain(theirs).map(suspected).collect()
    }

    /// The lane has another path: a doubt in the old one is moot.
    pub(super) fn forget(&mut self) {
        self.present = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ours(silent: u32) -> Option<(Rule, Duration)> {
        Some((Rule::Bulk, silent * MS))
    }

    fn suspected(silent: u32, besides: u64) -> News {
        let by = SuspectedBy::Us { rule: Rule::Bulk, silent: silent * MS };
        News::Suspected { by, besides }
    }

    #[test]
    fn a_brief_doubt_is_counted_and_told_with_the_next_that_lasts() {
        let (mut doubts, t) = (Doubts::default(), Instant::now());
        for i in 0..3 {
            let began = t + i * 200 * MS;
            let due = Some(began + WORTH_TELLING);
            assert_eq!(doubts.look(began, ours(12), false, || 5), (vec![], due));
            assert_eq!(doubts.look(began + 20 * MS, ours(32), false, || 5), (vec![], due));
            let withdrawn = (vec![News::Withdrawn(40 * MS)], None);
            assert_eq!(doubts.look(began + 40 * MS, None, false, || 5), withdrawn);
        }
        let t = t + 1000 * MS;
        doubts.look(t, ours(12), false, || 5);
        let told = doubts.look(t + WORTH_TELLING, ours(112), false, || 5);
        assert_eq!(told, (vec![suspected(112, 3)], None));
        assert_eq!(doubts.look(t + 150 * MS, ours(162), false, || 5), (vec![], None));
        let healed = (vec![News::Healed(300 * MS)], None);
        assert_eq!(doubts.look(t + 300 * MS, None, false, || 5), healed);
        assert_eq!(doubts.count(), 4);
    }

    #[test]
    fn a_doubt_because_of_which_bytes_were_sent_again_is_told_however_brief() {
        let (mut doubts, t) = (Doubts::default(), Instant::now());
        doubts.look(t, ours(12), false, || 5);
        let told = doubts.look(t + 3 * MS, ours(15), false, || 6);
        assert_eq!(told, (vec![suspected(15, 0)], None));
        doubts.look(t + 5 * MS, None, false, || 6);
        // Seen only when it was over already.
        doubts.look(t + 10 * MS, ours(12), false, || 6);
        let told = doubts.look(t + 12 * MS, None, false, || 7);
        assert_eq!(told, (vec![suspected(12, 0), News::Healed(2 * MS)], None));
    }

    #[test]
    fn a_late_acknowledgement_does_not_shorten_the_silence_that_is_told() {
        let (mut doubts, t) = (Doubts::default(), Instant::now());
        doubts.look(t, ours(12), false, || 0);
        doubts.look(t + 5 * MS, ours(0), false, || 0);
        let told = doubts.look(t + 8 * MS, ours(3), false, || 1);
        assert_eq!(told, (vec![suspected(12, 0)], None));
    }

    #[test]
    fn an_end_that_withdraws_before_it_is_told_is_not_told() {
        let (mut doubts, t) = (Doubts::default(), Instant::now());
        doubts.look(t, ours(12), true, || 0);
        doubts.look(t + 20 * MS, None, true, || 0);
        let by_peer = News::Suspected { by: SuspectedBy::Peer, besides: 0 };
        let told = doubts.look(t + WORTH_TELLING, None, true, || 0);
        assert_eq!(told, (vec![by_peer], None));
    }

    #[test]
    fn each_end_is_told_once_and_what_is_untold_when_the_lane_ends() {
        let (mut doubts, t) = (Doubts::default(), Instant::now());
        doubts.look(t, None, true, || 0);
        let by_peer = News::Suspected { by: SuspectedBy::Peer, besides: 0 };
        assert_eq!(doubts.look(t + WORTH_TELLING, None, true, || 0), (vec![by_peer], None));
        let told = doubts.look(t + 120 * MS, ours(12), true, || 0);
        assert_eq!(told, (vec![suspected(12, 0)], None));
        assert_eq!(doubts.tell(), vec![]);
        doubts.forget();
        doubts.look(t + 500 * MS, ours(12), true, || 0);
        assert_eq!(doubts.tell(), vec![suspected(12, 0), by_peer]);
        assert_eq!(doubts.tell(), vec![]);
    }
}
