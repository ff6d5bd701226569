//! Uplinks administratively drained: planned work, announced before it starts.
//!
//! A drained uplink is left at once by every flow that has another path (make before break). Its lanes
//! are advertised as draining to the peer; a drain by either end binds both. The planner dials nothing
//! more over it. Drains are kept in memory only: a daemon that restarts drains nothing.
//!
//! The lock is a leaf. A drain changes the set first and then walks the lanes, session by session
//! under its lock; a new lane looks at the set under that lock too. So none slips through.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use thiserror::Error;

use throughline_proto::path::Path;

/// The outcome of [`Node::drain_uplink`](crate::Node::drain_uplink) and
/// [`Node::resume_uplink`](crate::Node::resume_uplink).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// The uplink.
    pub uplink: String,
    /// Whether it is drained now.
    pub draining: bool,
    /// Whether that is new.
    pub changed: bool,
    /// No other uplink has an address and is not drained. The lanes of the last one stay in use:
    /// a draining lane is better than none.
    pub last: bool,
    /// The peers, by name, to which no lane over another uplink answers: their flows stay on this one, and cutting
    /// it stops them. As far as was known at that moment; [`Node::probe_lanes`](crate::Node::probe_lanes) before
    /// it makes sure.
    pub only_way_to: Vec<String>,
}

/// There is no such uplink.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[error("there is no uplink `{name}`; there {}", known_names(known))]
pub struct UnknownUplink {
    /// What was asked for.
    pub name: String,
    /// The uplinks there are.
    pub known: Vec<String>,
}

fn known_names(known: &[String]) -> String {
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "is none".to_owned(),
        [one] => format!("is only {one}"),
        more => format!("are {}", more.join(", ")),
    }
}

/// The drained uplinks by name. Clones share the set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drains {
    uplinks: Arc<Mutex<BTreeSet<String>>>,
    /// When all lanes were last asked whether they answer.
    asked_at: Arc<Mutex<Option<Instant>>>,
}

impl Drains {
    /// Returns the drained uplinks.
    pub(crate) fn names(&self) -> Vec<String> {
        self.uplinks.lock().iter().cloned().collect()
    }

    /// Drains uplinks that another process had drained, before there is any lane.
    pub(crate) fn take_over(&self, names: Vec<String>) {
        self.uplinks.lock().extend(names);
    }

    /// Returns whether the uplink is drained.
    pub(crate) fn contains(&self, uplink: &str) -> bool {
        self.uplinks.lock().contains(uplink)
    }

    /// Drains the uplink, or ends that; returns whether it is a change.
    pub(crate) fn set(&self, uplink: &str, draining: bool) -> bool {
        let mut drained = self.uplinks.lock();
        if draining { drained.insert(uplink.to_owned()) } else { drained.remove(uplink) }
    }

    /// Notes that all lanes are asked whether they answer: from now on only those do that have answered since.
    pub(crate) fn set_asked_at(&self, now: Instant) {
        *self.asked_at.lock() = Some(now);
    }

    /// Returns when all lanes were last asked whether they answer.
    pub(crate) fn asked_at(&self) -> Option<Instant> {
        *self.asked_at.lock()
    }

    /// Marks the paths over drained uplinks.
    pub(crate) fn mark(&self, paths: &mut [Path]) {
        let drained = self.uplinks.lock();
        for path in paths {
            path.draining = drained.contains(&path.uplink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_twice_changes_nothing_and_paths_follow() {
        let (drains, path) = (Drains::default(), |uplink: &str| Path {
            uplink: uplink.into(),
            order: 0,
            class: throughline_proto::types::AddressClass::default(),
            metered: false,
            draining: false,
            local: [127, 0, 0, 1].into(),
            remote: ([127, 0, 0, 2], 1).into(),
        });
        let mut paths = [path("a"), path("b")];
        assert!(drains.set("a", true) && !drains.set("a", true));
        drains.mark(&mut paths);
        assert_eq!(paths.each_ref().map(|p| p.draining), [true, false]);
        assert!(drains.set("a", false) && !drains.set("a", false));
        drains.mark(&mut paths);
        assert_eq!(paths.each_ref().map(|p| p.draining), [false, false]);
    }

    #[test]
    fn an_unknown_uplink_is_named_with_those_there_are() {
        let error = |known: &[&str]| {
            let known = known.iter().map(|&name| name.to_owned()).collect();
            UnknownUplink { name: "x".into(), known }.to_string()
        };
        assert_eq!(error(&["a", "b"]), "there is no uplink `x`; there are `a`, `b`");
        assert_eq!(error(&["a"]), "there is no uplink `x`; there is only `a`");
        assert_eq!(error(&[]), "there is no uplink `x`; there is none");
    }
}
