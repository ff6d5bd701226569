//! A soak: two real daemons, applications of every kind, and failures by seed, for hours.
//!
//! ```text
//! soak      phases: trouble, then rest; what the daemons hold at each rest
//!   ├── origin     the destination: sends, takes or echoes numbered bytes
//!   ├── clients    applications that live long, come and go, or do not care
//!   ├── trouble    ISPs silent, lossy, slow, of a small MTU; drained uplinks; stopped processes
//!   └── footprint  memory, descriptors, threads and tasks of a daemon
//! ```
//!
//! Every byte is compared where it arrives. No process ends and no outage is longer than an open waits,
//! so a connection that breaks is a fault, and so is one that stands still for a minute.

mod clients;
mod content;
mod footprint;
mod origin;
mod shared;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use throughline_emulator::Profile;
use throughline_fixture::{ProgramPair, Shape, forward};

pub use self::footprint::Footprint;
pub use self::shared::{Counts, Soak};
use self::shared::{Phase, Shared};
use crate::support::Outcome;

/// What the far daemon's forward is called.
const FORWARD: &str = "origin";

/// How long what was needed in hard times may take to go. What grows for good is there afterwards, too.
const REST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked whether it has gone.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug)]
pub struct SoakReport {
    /// What the near and the far daemon held at each rest.
    pub rests: Vec<[Footprint; 2]>,
    /// Wrong bytes, broken and still connections, in words; the first fifty of them.
    pub faults: Vec<String>,
    /// What applications did.
    pub counts: Counts,
}

/// Runs a soak; `say` is told of each rest.
///
/// # Errors
/// When the daemons cannot be had, or a footprint not be read.
pub async fn run(
    soak: &Soak,
    mut say: impl FnMut(Duration, &[Footprint; 2]),
) -> Outcome<SoakReport> {
    let profile = Profile::new(soak.rate, Duration::from_millis(10));
    let shared = Arc::new(Shared::default());
    let origin = origin::serve(shared.clone()).await?;
    let shape = Shape { profile: profile.clone(), ..Shape::default() };
    let pair = ProgramPair::start(shape, &forward(FORWARD, origin.port()))?;
    let ingress = pair.near.ingress(FORWARD)?;
    let (phase, phases) = watch::channel(Phase::Rest);
    let mut clients = JoinSet::new();
    clients::start(&mut clients, soak, ingress, &shared, &phases);
    let begun = Instant::now();
    let (mut rests, mut troubled) = (Vec::new(), Duration::ZERO);
    let mut trouble = trouble::Trouble::new(soak.seed, profile);
    loop {
        sleep(soak.settle).await;
        let rest = rested(&pair, rests.first()).await?;
        say(begun.elapsed(), &rest);
        rests.push(rest);
        if troubled >= soak.time {
            break;
        }
        let _ = phase.send(Phase::Trouble);
        let now = Instant::now();
        let number = trouble.reign(&pair, soak.rest_every).await?;
        shared.count(|counts| counts.troubles += number);
        troubled += now.elapsed();
        let _ = phase.send(Phase::Rest);
    }
    clients.shutdown().await;
    let faults = std::mem::take(&mut *shared.faults.lock());
    let counts = *shared.counts.lock();
    Ok(SoakReport { rests, faults, counts })
}

/// Returns what both daemons hold once they hold little more than at the first rest, or after [`REST_TIMEOUT`]: after
/// hard times dials and the lanes that are replaced take their time, and a busy machine takes more.
async fn rested(pair: &ProgramPair, first: Option<&[Footprint; 2]>) -> Outcome<[Footprint; 2]> {
    let begun = Instant::now();
    loop {
        let rest = [footprint::of(pair, "near").await?, footprint::of(pair, "far").await?];
        let grown = |first: &[Footprint; 2]| {
            (0..2).any(|end| rest[end].beyond(&first[end]).next().is_some())
        };
        if !first.is_some_and(grown) || begun.elapsed() > REST_TIMEOUT {
            return Ok(rest);
        }
        sleep(READ_INTERVAL).await;
    }
}

impl SoakReport {
    /// Returns what grew: the last third of the rests is compared with the first third, the very first one
    /// left out where there are enough.
    pub fn growth(&self) -> Vec<String> {
        let third = (self.rests.len() / 3).max(1);
        let skipped = usize::from(self.rests.len() > 3);
        let early = &self.rests[skipped..(skipped + third).min(self.rests.len())];
        let late = &self.rests[self.rests.len() - third..];
        let mut grown = Vec::new();
        for (end, name) in ["near", "far"].into_iter().enumerate() {
            let most = |rests: &[[Footprint; 2]]| {
                let ends = rests.iter().map(|rest| rest[end]);
                ends.fold(Footprint::default(), Footprint::max)
            };
            grown.extend(most(late).beyond(&most(early)).map(|what| format!("{name}: {what}")));
        }
        grown
    }
}
