//! Finds out for how long a path may be silent before the peer's packets come in no more.
//!
//! It is a matter of what the uplink's packets go through (a NAT, a firewall), so that one path of each uplink, family
//! and peer is asked. All silences of a path pass side by side, each on a connection of its own: a path takes as long as
//! the longest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::doctor::examination::Examination;
use crate::doctor::observation::PathSeen;
use throughline::probe::{LaneProbe, MappingProbe};

/// Paths to one peer at once: with four silences as many connections as a peer lets be silent (16).
const AT_ONCE: usize = 4;

/// Probes the silences that are asked for on those of the paths that reach their peer.
pub(super) async fn probe(
    lanes: Vec<(usize, LaneProbe)>,
    examination: &Examination,
    paths: &mut [PathSeen],
) {
    let silences = &examination.silences;
    let (mut asked, mut turns) = (HashSet::new(), HashMap::<String, Arc<Semaphore>>::new());
    let mut probes = JoinSet::new();
    for (index, lane) in lanes {
        let path = &paths[index];
        let mapped = (path.peer.clone(), path.uplink.clone(), path.remote().is_ipv4());
        if silences.is_empty() || !path.is_reached() || !asked.insert(mapped) {
            continue;
        }
        let turns = turns.entry(path.peer.clone());
        let turns = turns.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone();
        let silences = silences.clone();
        probes.spawn(async move {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            (index, of_path(&lane, silences).await)
        });
    }
    for (index, answers) in probes.join_all().await {
        paths[index].silences = answers;
    }
}

/// Returns what came of each silence of a path, the shortest first.
async fn of_path(
    path: &LaneProbe,
    silences: Vec<Duration>,
) -> Vec<(Duration, throughline::probe::MappingAnswer)> {
    let mut probes = JoinSet::new();
    for silence in silences {
        let probe = MappingProbe { path: path.clone(), silence };
        probes.spawn(async move { (silence, probe.run().await) });
    }
    let mut answers = probes.join_all().await;
    answers.sort_by_key(|(silence, _)| *silence);
    answers
}
