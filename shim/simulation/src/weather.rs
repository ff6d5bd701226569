//! Weather by seed: two sessions over real QUIC, on links that wander, pause, lose and fail.
//!
//! Each seed draws two or three ISPs (steady ones, or traces of every preset; loss, jitter, queues), flows
//! of every mode, and failures: an ISP loses everything, both ways or one, for a while; the others go
//! on. What must hold:
//!
//! - every byte arrives once and in order ([`Field`] compares each);
//! - a flow of bulk has something to read at least every `MAX_STALL` while some ISP has not failed for
//!   as long;
//! - after the last failure everything goes on.
//!
//! What is counted besides says how calm the lanes are: moves for which no failure was the reason, lanes
//! closed on an ISP that carried, bytes sent again.

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_link::{GilbertElliott, Jitter, Loss, Preset, Profile, Queue, Rate};
use throughline_proto::types::Mode;

use crate::field::{Application, Field, FieldFlow, Isp};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// How long a flow of bulk may be without progress while an ISP is well. A lane over an ISP that comes
/// back may have been given up: then it is dialed, and at 3 Mbit/s with 5 % of loss and pauses of half a
/// second what waited takes seconds.
const MAX_STALL: Duration = Duration::from_secs(8);

/// How long after a failure ended a move or the close of a lane still counts as its effect.
const EFFECT: Duration = Duration::from_secs(12);

/// The time between two failures of one ISP on average.
const FAILURE_EVERY: Duration = Duration::from_secs(20);

/// An ISP loses everything for a while.
#[derive(Clone, Copy, Debug)]
struct Failure {
    isp: usize,
    at: Duration,
    until: Duration,
    up: bool,
    down: bool,
}

/// What came of runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeatherReport {
    /// Simulated time.
    pub time: Duration,
    /// ISPs that failed.
    pub failures: u32,
    /// Moves of flows because a lane was suspect or gone, by the end that sends.
    pub moves: u32,
    /// Those of them without a failure, by bulk flows.
    pub false_moves: u32,
    /// Those by bulk flows after a failure of the ISP that they left.
    pub true_moves: u32,
    /// Failures that such a flow was there to see: each failure counts once a flow.
    pub seen_failures: u32,
    /// Moves by evidence, or back.
    pub other_moves: u32,
    /// Lanes that ended although their ISP had not failed.
    pub false_closes: u32,
    /// Megabytes that applications read.
    pub megabytes: f64,
    /// Megabytes that were sent again on another lane.
    pub resent: f64,
    /// The longest time without progress while an ISP was well.
    pub longest_gap: Duration,
}

impl WeatherReport {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.time += other.time;
        self.failures += other.failures;
        self.moves += other.moves;
        self.false_moves += other.false_moves;
        self.true_moves += other.true_moves;
        self.seen_failures += other.seen_failures;
        self.other_moves += other.other_moves;
        self.false_closes += other.false_closes;
        self.megabytes += other.megabytes;
        self.resent += other.resent;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}

impl fmt::Display for WeatherReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} min, {} failures of an ISP, {} moves from a suspect lane ({} of bulk after {} failures \
             by flow, {} without one), {} others, {} lanes closed without a failure, {:.0} MB, {:.2} % sent again, \
             {:.1} s without progress at most",
            self.time.as_secs_f64() / 60.0,
            self.failures,
            self.moves,
            self.true_moves,
            self.seen_failures,
            self.false_moves,
            self.other_moves,
            self.false_closes,
            self.megabytes,
            100.0 * self.resent / self.megabytes.max(1e-9),
            self.longest_gap.as_secs_f64(),
        )
    }
}

/// Plays the weather of `seed` for `time`; panics where something is wrong.
pub fn play(seed: u64, time: Duration) -> WeatherReport {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut field = Field::new(seed);
    let isps = rng.random_range(2..=3);
    for isp in 0..isps {
        let [up, down] = draw_isp(&mut rng, 4 * seed + isp, time);
        field.isp(up, down);
    }
    let flows = draw_flows(&mut rng, &mut field);
    let failures = draw_failures(&mut rng, field.isps().len(), time);
    let mut longest_gap = Duration::ZERO;
    let mut last = vec![(0, Duration::ZERO); flows.len()];
    while field.elapsed() < time {
        let now = field.elapsed();
        let isps: Vec<Isp> = field.isps().to_vec();
        for failure in &failures {
            let on = failure.at <= now && now < failure.until;
            let isp = isps[failure.isp];
            let others = |way: fn(&Failure) -> bool| {
                failures
                    .iter()
                    .any(|f| f.isp == failure.isp && way(f) && f.at <= now && now < f.until)
            };
            field.set_blackhole(isp.up, on && failure.up || others(|f| f.up));
            field.set_blackhole(isp.down, on && failure.down || others(|f| f.down));
        }
        field.run(100 * MS);
        let now = field.elapsed();
        let since = well_since(&failures, isps.len(), now);
        for ((flow, sender), (read, at)) in flows.iter().zip(&mut last) {
            let total = field.bytes_read(*flow);
            if total > *read {
                (*read, *at) = (total, now);
            } else if sender.is_some() && now > 2 * SEC {
                let gap = now - since.max(*at).min(now);
                longest_gap = longest_gap.max(gap);
                assert!(gap < MAX_STALL, "{flow:?} stands still for {gap:?} at {now:?}");
            }
        }
    }
    let mut report = WeatherReport { time, longest_gap, ..WeatherReport::default() };
    report.failures = failures.len() as u32;
    count(&field, &flows, &failures, &mut report);
    report
}

/// Returns since when some ISP has been well all the time; `now` if none is.
fn well_since(failures: &[Failure], isps: usize, now: Duration) -> Duration {
    let since = |isp: usize| {
        let of = failures.iter().filter(|f| f.isp == isp && f.at <= now);
        of.map(|f| f.until.min(now)).max().unwrap_or_default()
    };
    (0..isps).map(since).min().unwrap_or(now)
}

fn count(
    field: &Field,
    flows: &[(FieldFlow, Option<usize>)],
    failures: &[Failure],
    report: &mut WeatherReport,
) {
    let failed = |isp: Option<usize>, at: Duration| {
        failures
            .iter()
            .any(|f| isp.is_none_or(|isp| isp == f.isp) && f.at <= at && at < f.until + EFFECT)
    };
    for (flow, sender) in flows {
        report.seen_failures += if sender.is_some() { failures.len() as u32 } else { 0 };
        // The other end has only facts to send.
        let moves = field.moves(*flow).iter();
        for step in moves.filter(|step| sender.is_none_or(|sender| sender == step.side)) {
            if !step.suspect {
                report.other_moves += 1;
                continue;
            }
            report.moves += 1;
            if sender.is_some() {
                let counter = match failed(step.from, step.at) {
                    true => &mut report.true_moves,
                    false => &mut report.false_moves,
                };
                *counter += 1;
            }
        }
        let megabytes = field.bytes_read(*flow) as f64 / 1e6;
        report.megabytes += megabytes;
        report.resent += megabytes * field.resent(*flow);
    }
    for isp in 0..field.isps().len() {
        let closed = field.closed_at(isp).iter();
        report.false_closes += closed.filter(|at| !failed(Some(isp), **at)).count() as u32;
    }
}

fn draw_isp(rng: &mut SmallRng, seed: u64, time: Duration) -> [Profile; 2] {
    let rate = 1_000_000 * rng.random_range(4..60);
    let delay = rng.random_range(3..60) * MS;
    let preset = Preset::ALL.get(rng.random_range(0..Preset::ALL.len() + 2)).copied();
    let queue = Queue::Time(rng.random_range(20..300) * MS);
    let loss = match rng.random_range(0..6) {
        0 => Loss::Random(0.001),
        1 => Loss::Random(0.01),
        2 => Loss::Bursty(GilbertElliott::bursts(0.01, 5.0)),
        _ => Loss::None,
    };
    let spread = rng.random_range(1..10) * MS;
    let jitter = match rng.random_range(0..5) {
        0 => Jitter::Ordered { spread },
        1 => Jitter::Correlated { spread: 4 * spread, memory: 200 * MS },
        _ => Jitter::None,
    };
    [0, 1].map(|way| {
        let profile = Profile::new(rate, delay).queue(queue).loss(loss).jitter(jitter);
        let Some(preset) = preset else { return profile };
        let trace = preset.weather(rate).trace(2 * seed + way, time.min(120 * SEC));
        profile.rate(Rate::Trace(trace))
    })
}

/// Returns flows, and of those that are bulk which end sends.
fn draw_flows(rng: &mut SmallRng, field: &mut Field) -> Vec<(FieldFlow, Option<usize>)> {
    let modes = [Mode::Auto, Mode::AutoBond, Mode::Bond, Mode::Single];
    let mut flows = Vec::new();
    for (application, sender) in [(Application::Download, 1), (Application::Upload, 0)] {
        let after = rng.random_range(100..1500) * MS;
        let flow = field.flow(modes[rng.random_range(0..modes.len())], application, after);
        flows.push((flow, Some(sender)));
    }
    let echo = [Mode::Auto, Mode::Bond, Mode::Redundant][rng.random_range(0..3)];
    flows.push((field.flow(echo, Application::Echo(20 * MS), 300 * MS), None));
    flows
}

fn draw_failures(rng: &mut SmallRng, isps: usize, time: Duration) -> Vec<Failure> {
    let mut failures = Vec::new();
    for isp in 0..isps {
        let mut at = Duration::ZERO;
        loop {
            at += FAILURE_EVERY.mul_f64(rng.random_range(0.2..2.0));
            let length = rng.random_range(200..6000) * MS;
            if at + length + 4 * SEC > time {
                break;
            }
            let (up, down) =
                [(true, true), (true, true), (true, false), (false, true)][rng.random_range(0..4)];
            failures.push(Failure { isp, at, until: at + length, up, down });
            at += length;
        }
    }
    failures
}
