//! Which dials are no longer needed.

use std::time::Instant;

use super::super::actions::PlanActions;
use super::super::input::PlanInput;
use super::super::view::STABLE_AFTER;
use crate::path::{Path, PathKey, Prefix};

/// Abandons the dials that are not wanted beside the lanes that are up.
pub(super) fn abandon(
    now: Instant,
    input: &PlanInput<'_>,
    wanted: &[&Path],
    actions: &mut PlanActions,
) {
    // When the lanes on a path were last suspected, if all of them were recently.
    let unstable_since = |key: &PathKey| {
        let mut here = input.lanes.iter().filter(|l| l.key() == *key && l.is_up());
        let all = here.clone().all(|l| l.recently_suspected(now));
        here.find_map(|l| l.last_suspected).filter(|_| all)
    };
    for key in input.dialing {
        if wanted.iter().any(|p| same_pairing(input.paths, p, key)) {
            continue;
        }
        match unstable_since(key) {
            Some(at) => actions.wake(at + STABLE_AFTER),
            None => actions.abandon.push(*key),
        }
    }
}

/// Returns whether a dial of `key` gives the lane that is wanted on `path`.
fn same_pairing(paths: &[Path], path: &Path, key: &PathKey) -> bool {
    let same =
        |p: &Path| p.uplink == path.uplink && Prefix::of(p.remote) == Prefix::of(path.remote);
    paths.iter().any(|p| p.key() == *key && same(p))
}
