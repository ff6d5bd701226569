//! Handles: what a running link is like can be changed and read from any thread.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::link::Link;
use crate::profile::Profile;
use crate::stats::{DuplexStats, LinkStats};

/// A direction of a duplex link, seen from the customer's site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the site into the internet.
    Up,
    /// From the internet to the site.
    Down,
    /// Both.
    Both,
}

/// What the handles of a link and the thread that runs it share of one direction. The thread takes
/// over changed settings and leaves its counters once a round; neither holds the lock for longer.
#[derive(Debug)]
pub struct LinkControl(Mutex<Shared>);

#[derive(Debug)]
struct Shared {
    profile: Profile,
    blackhole: bool,
    /// Since the link took the settings over.
    changed: bool,
    stats: LinkStats,
}

impl LinkControl {
    fn new(profile: Profile) -> Self {
        let stats = LinkStats::default();
        Self(Mutex::new(Shared { profile, blackhole: false, changed: false, stats }))
    }

    /// Returns an idle link with the settings as they are now.
    pub fn link<T>(&self, seed: u64) -> Link<T> {
        let mut link = Link::new(self.0.lock().profile.clone(), seed);
        self.0.lock().changed = true;
        self.synchronise(&mut link);
        link
    }

    /// Gives `link` the settings if they have changed, and publishes its counters.
    pub fn synchronise<T>(&self, link: &mut Link<T>) {
        let mut shared = self.0.lock();
        if std::mem::take(&mut shared.changed) {
            link.model_mut().set_blackhole(shared.blackhole);
            link.model_mut().profile_mut().clone_from(&shared.profile);
        }
        shared.stats = *link.stats();
    }
}

/// The two directions of a link: cheap to clone, usable from any thread. A change takes effect with
/// the next round of the thread that runs the link.
#[derive(Clone, Debug)]
pub struct DuplexHandle {
    up: Arc<LinkControl>,
    down: Arc<LinkControl>,
}

impl DuplexHandle {
    /// Returns a handle of a link whose two directions both begin with `profile`.
    pub fn new(profile: Profile) -> Self {
        Self::asymmetric(profile.clone(), profile)
    }

    /// Returns a handle of a link whose directions begin with a profile each.
    pub fn asymmetric(up: Profile, down: Profile) -> Self {
        Self { up: Arc::new(LinkControl::new(up)), down: Arc::new(LinkControl::new(down)) }
    }

    /// Returns what is shared with the thread that runs the links up and down, in this order.
    pub fn controls(&self) -> [Arc<LinkControl>; 2] {
        [Arc::clone(&self.up), Arc::clone(&self.down)]
    }

    /// Drops everything in this direction, silently, from now on; what is under way too.
    pub fn blackhole(&self, way: Way) {
        self.with(way, |link| link.blackhole = true);
    }

    /// Ends a blackhole.
    pub fn heal(&self, way: Way) {
        self.with(way, |link| link.blackhole = false);
    }

    /// Returns whether this direction (with [`Way::Both`]: either) is a blackhole.
    pub fn is_blackholed(&self, way: Way) -> bool {
        self.directions(way).any(|link| link.0.lock().blackhole)
    }

    /// Changes the settings of a direction.
    pub fn change(&self, way: Way, change: impl Fn(&mut Profile)) {
        self.with(way, |link| change(&mut link.profile));
    }

    /// Returns what became of the packets so far, as of the last round.
    pub fn stats(&self) -> DuplexStats {
        DuplexStats { up: self.up.0.lock().stats, down: self.down.0.lock().stats }
    }

    fn directions(&self, way: Way) -> impl Iterator<Item = &LinkControl> {
        let up = (way != Way::Down).then_some(&*self.up);
        let down = (way != Way::Up).then_some(&*self.down);
        up.into_iter().chain(down)
    }

    fn with(&self, way: Way, change: impl Fn(&mut Shared)) {
        for link in self.directions(way) {
            let mut shared = link.0.lock();
            change(&mut shared);
            shared.changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::Admission;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_change_reaches_its_direction_with_the_next_round_and_counters_come_back() {
        let handle = DuplexHandle::new(Profile::new(0, 10 * MS));
        let [up, _down] = handle.controls();
        let mut link = up.link(7);
        let t0 = Instant::now();
        handle.blackhole(Way::Up);
        assert!(handle.is_blackholed(Way::Both) && !handle.is_blackholed(Way::Down));
        assert_eq!(link.admit(t0, 100, 1), Admission::Accepted, "not before the round");
        up.synchronise(&mut link);
        assert_ne!(link.admit(t0, 100, 2), Admission::Accepted);
        handle.heal(Way::Both);
        handle.change(Way::Down, |profile| profile.delay = MS);
        up.synchronise(&mut link);
        assert!(!link.model().is_blackhole());
        assert_eq!(link.model().profile().delay, 10 * MS);
        assert_eq!(handle.stats().up.blackholed.packets, 1);
        assert_eq!(handle.stats().down, LinkStats::default());
    }

    #[test]
    fn each_direction_has_a_rate_of_its_own() {
        // 20 Mbit/s down, 0.5 up, as DSL has it.
        let (up, down) = (Profile::new(500_000, MS), Profile::new(20_000_000, MS));
        let handle = DuplexHandle::asymmetric(up, down);
        let t0 = Instant::now();
        let arrives = |control: &LinkControl| {
            let mut link = control.link(7);
            assert_eq!(link.admit(t0, 1250, ()), Admission::Accepted);
            link.next_due().unwrap() - t0
        };
        let [up, down] = handle.controls();
        assert_eq!(arrives(&up), 21 * MS);
        assert_eq!(arrives(&down), MS + MS / 2);
    }

    #[test]
    fn a_link_made_during_a_blackhole_is_one() {
        let handle = DuplexHandle::new(Profile::new(0, MS));
        handle.blackhole(Way::Down);
        assert!(handle.controls()[1].link::<u32>(1).model().is_blackhole());
    }
}
