//! Bulk both ways over two healthy ISPs: how fast, how evenly, how much came twice, and whether
//! anything moved.
//!
//! Nothing fails here, so what comes twice is what suspecting a healthy lane costs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use throughline::FlowStatus;
use throughline::{EventKind, LaneId, Mode, Node};

use crate::measure::Bulk;
use crate::support::{Outcome, sessions};
use throughline_fixture::{NodePair, Shape};

/// Before the first second that counts, the flows find their lanes and their pace.
const WARM_UP: Duration = Duration::from_secs(3);

/// What a run has shown.
pub struct Saturated {
    /// To the node that dialed.
    pub download: Direction,
    /// From it.
    pub upload: Direction,
    /// What the two ends, the dialing one first, did with their lanes after the warm-up.
    pub unrest: [Unrest; 2],
}

/// What an end did with its lanes although nothing failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unrest {
    /// Suspicions in the lanes that are still there, however brief.
    pub suspicions: u64,
    /// Lanes that moved to another address, or ended, of the last thousand events.
    pub moves: usize,
    /// Of the bytes that it sent, those that went out on another lane than the busiest, in percent.
    pub elsewhere: f64,
}

/// The counters of a node's lanes.
struct Lanes {
    /// Bytes sent, and suspicions.
    counted: BTreeMap<LaneId, (u64, u64)>,
    events: usize,
}

impl Lanes {
    fn of(node: &Node) -> Self {
        let sessions = sessions(node);
        let lanes = || sessions.iter().flat_map(|session| &session.lanes);
        let moved = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::LaneMigrated { .. }
                    | EventKind::PeerMigrated { .. }
                    | EventKind::LaneDown { .. }
            )
        };
        Self {
            counted: lanes().map(|lane| (lane.id, (lane.sent, lane.suspicions))).collect(),
            events: node.events().recent.iter().filter(|event| moved(&event.kind)).count(),
        }
    }

    /// Returns what happened since `before`.
    fn since(&self, before: &Self) -> Unrest {
        let since = |(id, (sent, suspicions)): (&LaneId, &(u64, u64))| {
            let (sent_then, suspicions_then) = before.counted.get(id).copied().unwrap_or_default();
            (sent - sent_then, suspicions - suspicions_then)
        };
        let (sent, suspicions): (Vec<u64>, Vec<u64>) = self.counted.iter().map(since).unzip();
        let (all, most) =
            (sent.iter().sum::<u64>(), sent.iter().max().copied().unwrap_or_default());
        Unrest {
            suspicions: suspicions.iter().sum(),
            moves: self.events.saturating_sub(before.events),
            elsewhere: (all - most) as f64 / all.max(1) as f64 * 100.0,
        }
    }
}

/// One direction.
pub struct Direction {
    /// Mbit/s that the application read, second by second after the warm-up.
    pub seconds: Vec<f64>,
    /// Bytes that the application read in all, each of which was compared; or what was wrong.
    pub delivered: Result<u64, String>,
    /// The counters before the flow was told to end.
    counted: Counters,
    /// The counters at the end of the warm-up.
    warm: Counters,
}

/// What the receiver counts of the bulk flow.
#[derive(Clone, Copy, Default)]
struct Counters {
    /// Bytes that the application read.
    received: u64,
    /// Bytes that came although they were there.
    duplicate: u64,
}

impl Counters {
    /// Returns the bulk flows of `node`, and no others. A flow counts only what it receives.
    fn of(node: &Node) -> Self {
        let sessions = sessions(node);
        let bulk = |flow: &&FlowStatus| Bulk::is_target(&flow.target);
        let flows = sessions.iter().flat_map(|s| &s.flows).filter(bulk);
        flows.fold(Self::default(), |sum, flow| Self {
            received: sum.received + flow.received,
            duplicate: sum.duplicate + flow.duplicate,
        })
    }
}

impl Direction {
    /// Returns the share of `duplicate` in what the application read, in percent.
    fn share(&self) -> f64 {
        self.counted.duplicate as f64 / self.counted.received.max(1) as f64 * 100.0
    }
}

/// Saturates both directions for so many seconds.
///
/// # Errors
/// When the nodes or the flows cannot be had. Wrong bytes are no error here, but said in the
/// result.
pub async fn run(mode: Mode, seconds: u64) -> Outcome<Saturated> {
    let pair = NodePair::start(Shape::default()).await?;
    let download = Bulk::start(&pair.near, &pair.far, false, mode).await?;
    let upload = Bulk::start(&pair.near, &pair.far, true, mode).await?;
    // Each node receives one of the two flows: the near one the download, the far one the upload.
    let count = || [&pair.near, &pair.far].map(Counters::of);
    tokio::time::sleep(WARM_UP).await;
    let lanes = || [&pair.near, &pair.far].map(Lanes::of);
    let (warm, mut at) = (count(), Instant::now());
    let rested = lanes();
    let mut last = warm;
    let mut rates = [Vec::new(), Vec::new()];
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.tick().await;
    for _ in 0..seconds {
        tick.tick().await;
        let (next, now) = (count(), Instant::now());
        let passed = (now - at).as_secs_f64();
        for ((rates, next), last) in rates.iter_mut().zip(next).zip(last) {
            // A flow that broke is counted no more: that is a rate of nothing.
            let bytes = next.received.saturating_sub(last.received);
            rates.push(bytes as f64 * 8.0 / passed / 1e6);
        }
        (last, at) = (next, now);
    }
    let now = lanes();
    let unrest = [0, 1].map(|end| now[end].since(&rested[end]));
    let delivered = [download.finish().await, upload.finish().await];
    pair.shutdown().await;
    let mut ways = rates.into_iter().zip(delivered).zip(last).zip(warm).map(
        |(((seconds, delivered), counted), warm)| Direction {
            seconds,
            delivered: delivered.map_err(|error| error.to_string()),
            counted,
            warm,
        },
    );
    let (Some(download), Some(upload)) = (ways.next(), ways.next()) else {
        return Err("two ways were measured".into());
    };
    Ok(Saturated { download, upload, unrest })
}

impl Saturated {
    /// Returns whether every byte of both directions came, once and as it was sent.
    pub fn is_right(&self) -> bool {
        self.download.delivered.is_ok() && self.upload.delivered.is_ok()
    }
}

impl fmt::Display for Saturated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  download  {}", self.download)?;
        write!(f, "  upload    {}", self.upload)?;
        for (end, Unrest { suspicions, moves, elsewhere }) in
            ["dialed", "was dialed"].iter().zip(self.unrest)
        {
            write!(
                f,
                "\n  the end that {end}: {suspicions} suspicions, {moves} lanes moved or ended, "
            )?;
            write!(f, "{elsewhere:.2} % sent on another lane than the busiest")?;
        }
        Ok(())
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = self.seconds.iter().sum::<f64>() / self.seconds.len().max(1) as f64;
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        write!(f, "mean {mean:.1} Mbit/s, least second {least:.1}; ")?;
        let Counters { received, duplicate } = self.counted;
        write!(f, "{duplicate} of {received} bytes twice ({:.3} %), ", self.share())?;
        write!(f, "{} of them in the warm-up; ", self.warm.duplicate)?;
        match &self.delivered {
            Ok(bytes) => write!(f, "{bytes} bytes in all, every one right")?,
            Err(error) => write!(f, "WRONG: {error}")?,
        }
        write!(f, "\n            each second:")?;
        self.seconds.iter().try_for_each(|rate| write!(f, " {rate:.0}"))
    }
}
