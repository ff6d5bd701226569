//! Two senders on one bottleneck, and one alone: what each gets.

use std::time::Duration;

use throughline_link::{LinkStats, Profile};

use super::congestion::Congestion;
use super::measure::percentile;
use super::traffic::{Flow, Traffic};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// How long the first sender is alone.
const HEAD_START: Duration = Duration::from_secs(5);
/// How long the second one has to find its share.
const CONVERGENCE: Duration = Duration::from_secs(5);
/// How long the shares are then measured.
const MEASURED: Duration = Duration::from_secs(20);
/// By how much later the second one comes in the contest of the next seed: a part of a second that shares no period
/// with sawteeth and probes. Without it contests on a link that draws nothing would be alike.
const SEED_STEP: Duration = Duration::from_millis(137);
/// Over which spans the steadiness of a share is judged.
const SPAN: Duration = Duration::from_secs(5);
/// Interval of echoes.
const ECHO_INTERVAL: Duration = Duration::from_millis(20);

/// Two downloads, one after the other, through one bottleneck.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The bottleneck, downwards.
    pub bottleneck: Profile,
    /// The sender that comes first, and the one that comes five seconds later.
    pub senders: [Congestion; 2],
    /// What the links draw, and at which moment of a second the second sender comes.
    pub seed: u64,
}

/// What two senders got.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Mbit/s of each, from five seconds after the second began, for 20 s.
    pub goodput: [f64; 2],
    /// The least and the greatest part of the sum that the first had in spans of five seconds.
    pub spread: [f64; 2],
    /// Median of the queue.
    pub queue: Duration,
    /// Part of the packets that the full queue or the policer dropped.
    pub loss: f64,
}

impl Contest {
    /// Plays the contest.
    pub fn run(&self) -> Shares {
        let mut traffic = Traffic::new(self.seed);
        let up = traffic.link(uplink(&self.bottleneck));
        let down = traffic.link(self.bottleneck.clone());
        let [early, late] = self.senders;
        let early = traffic.flow(Flow::download(up, down, early));
        let begins = HEAD_START + SEED_STEP * (self.seed.saturating_sub(1) % 7) as u32;
        let late = traffic.flow(Flow::download(up, down, late).begins(begins));
        let from = begins + CONVERGENCE;
        traffic.run(from + MEASURED);
        let goodput = [early, late].map(|flow| traffic.goodput(flow, from, from + MEASURED));
        let part = |span: u32| {
            let from = from + span * SPAN;
            let [a, b] = [early, late].map(|flow| traffic.goodput(flow, from, from + SPAN));
            a / (a + b).max(1e-9)
        };
        let parts = (0..4).map(part);
        let spread = parts.fold([1.0f64, 0.0f64], |[low, high], p| [low.min(p), high.max(p)]);
        let queue = percentile(traffic.queues(down, from, from + MEASURED), 0.5);
        Shares { goodput, spread, queue, loss: loss(traffic.stats(down)) }
    }
}

/// What one sender got with the link to itself.
#[derive(Clone, Copy, Debug)]
pub struct Alone {
    /// Mbit/s in the first second, in the first five, and in the rest.
    pub goodput: [f64; 3],
    /// Round trips of an echo beside it in the rest: median and 99 of 100.
    pub echo: [Duration; 2],
    /// The queue in the rest: median and longest.
    pub queue: [Duration; 2],
    /// Part of the packets that were lost.
    pub loss: f64,
}

/// Runs one download, with an echo beside it, for `time`.
pub fn alone(bottleneck: &Profile, sender: Congestion, time: Duration, seed: u64) -> Alone {
    let mut traffic = Traffic::new(seed);
    let up = traffic.link(uplink(bottleneck));
    let down = traffic.link(bottleneck.clone());
    let flow = traffic.flow(Flow::download(up, down, sender).echo(ECHO_INTERVAL));
    traffic.run(time);
    let rest = CONVERGENCE.min(time / 2);
    let echoes = traffic.echoes(flow, rest, time);
    let queues = traffic.queues(down, rest, time);
    Alone {
        goodput: [(Duration::ZERO, SECOND), (Duration::ZERO, 5 * SECOND), (rest, time)]
            .map(|(from, until)| traffic.goodput(flow, from, until)),
        echo: [0.5, 0.99].map(|part| percentile(echoes.iter().copied(), part)),
        queue: [0.5, 1.0].map(|part| percentile(queues.iter().copied(), part)),
        loss: loss(traffic.stats(down)),
    }
}

/// The way up: as long as the bottleneck, and wide.
fn uplink(bottleneck: &Profile) -> Profile {
    Profile::new(1_000_000_000, bottleneck.delay).queue(throughline_link::Queue::Time(100 * MS))
}

fn loss(stats: &LinkStats) -> f64 {
    let lost = stats.queue_full.packets + stats.policed.packets + stats.lost.packets;
    lost as f64 / ((lost + stats.delivered.packets) as f64).max(1.0)
}
