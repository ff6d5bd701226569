//! From what a run saw to what a report says of it.

use std::time::{Duration, Instant};

use super::matrix::{self, Case};
use super::model::{FlowRun, Run, Situation, Stall, Trace};
use super::options::ReportPlan;
use crate::lab::flow::Kind;
use crate::lab::scenario::{FlowSeen, Seen};
use crate::measure::Sample;

/// How long before the failure a plot begins.
const BEFORE: Duration = Duration::from_secs(2);
/// What a value of a plot stands for: a few messages, or a few round trips of bulk.
const STEP: Duration = Duration::from_millis(50);
/// Messages under way at the failure count: they are sent so often.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(20);

/// What went wrong with a flow that was given up.
const STOOD_STILL: &str = "stood still to the end";

/// The times that matter.
#[derive(Clone, Copy)]
struct Times {
    /// The failure.
    begun: Instant,
    /// Stalls count from here …
    since: Instant,
    /// … when they begin before this.
    until: Instant,
    /// The flow was told to end.
    watched: Instant,
}

/// Returns what a run saw.
pub(super) async fn run(case: &Case, plan: &ReportPlan, seen: &Seen) -> Run {
    let struck = seen.struck;
    let times = Times {
        begun: struck.begun,
        since: struck.since,
        until: struck.until,
        watched: seen.watched,
    };
    let mut flows = Vec::new();
    for flow in &seen.flows {
        flows.push(observe(flow, &flow.record.samples().await, times));
    }
    let from_failure = |at: Instant| round(at.saturating_duration_since(struck.begun), 1.0);
    Run {
        victim: seen.victim.clone(),
        machine_ms: round(seen.machine, 1e3),
        believed: plan.believe.is_none_or(|limit| seen.machine <= limit),
        window_s: [from_failure(struck.since), from_failure(struck.until)],
        flows,
        ..empty(case)
    }
}

/// Returns a run that could not be made.
pub(super) fn failed(case: &Case, error: &str) -> Run {
    Run { believed: false, error: Some(error.to_owned()), ..empty(case) }
}

fn empty(case: &Case) -> Run {
    Run {
        situation: Situation {
            failure: case.failure.to_string(),
            side: matrix::side(case.side).into(),
            family: matrix::family(case.family).into(),
            flows: case.flows.0.iter().map(|kind| name(*kind).into()).collect(),
        },
        system: case.contender.label(),
        ours: case.contender.is_ours(),
        victim: String::new(),
        machine_ms: 0.0,
        believed: true,
        window_s: [0.0, 0.0],
        flows: Vec::new(),
        error: None,
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Echo => "echo",
        Kind::Download => "download",
        Kind::Upload => "upload",
    }
}

fn observe(flow: &FlowSeen, samples: &[Sample], times: Times) -> FlowRun {
    let broke = flow.end.is_err();
    let (stall, trace) = match flow.kind {
        Kind::Echo => (echo_stall(samples, times, broke), echo_trace(samples, times)),
        Kind::Download | Kind::Upload => {
            (bulk_stall(samples, times, broke), bulk_trace(samples, times))
        }
    };
    // How long it was then given to end says nothing to a reader.
    let error = flow.end.as_ref().err().cloned();
    let error = error.map(|error| if stall.at_least { STOOD_STILL.into() } else { error });
    FlowRun {
        flow: name(flow.kind).into(),
        stall,
        mbits: flow.rates.map(|(before, after)| [tenth(before), tenth(after)]),
        carried: flow.end.as_ref().ok().copied(),
        error,
        trace,
    }
}

/// Returns the longest time without a byte that began in the window.
fn bulk_stall(samples: &[Sample], times: Times, broke: bool) -> Stall {
    let Times { since, until, watched, .. } = times;
    let mut last = since;
    let mut longest = Duration::ZERO;
    for at in samples.iter().map(|sample| sample.at).filter(|at| *at >= since) {
        longest = longest.max(at - last);
        last = at;
        if last > until {
            return Stall { ms: round(longest, 1e3), at_least: false };
        }
    }
    // It never came to the window's end.
    let silent = watched.saturating_duration_since(last);
    Stall { ms: round(longest.max(silent), 1e3), at_least: broke && silent >= longest }
}

/// Returns the worst round trip of the messages sent in the window, or under way when it began.
fn echo_stall(samples: &[Sample], times: Times, broke: bool) -> Stall {
    let since = times.since - MESSAGE_INTERVAL;
    let in_window = |at: &Instant| (since..=times.until).contains(at);
    let worst = samples.iter().filter(|sample| in_window(&sent(sample)));
    let worst = worst.map(|sample| sample.value).max().unwrap_or(0);
    let worst = Duration::from_micros(worst);
    if broke {
        let unanswered =
            samples.last().map_or(since, |last| (sent(last) + MESSAGE_INTERVAL).max(since));
        let silent = times.watched.saturating_duration_since(unanswered);
        if in_window(&unanswered) && silent >= worst {
            return Stall { ms: round(silent, 1e3), at_least: true };
        }
    }
    Stall { ms: round(worst, 1e3), at_least: false }
}

fn sent(sample: &Sample) -> Instant {
    sample.at - Duration::from_micros(sample.value)
}

fn bulk_trace(samples: &[Sample], times: Times) -> Trace {
    let mut values = steps(times);
    let mut had = 0;
    for sample in samples {
        let bytes = sample.value - had;
        had = sample.value;
        if let Some(value) = step(times, sample.at).and_then(|step| values.get_mut(step)) {
            *value += bytes as f64 * 8.0 / STEP.as_secs_f64() / 1e6;
        }
    }
    trace(values.into_iter().map(|value| Some(tenth(value))).collect())
}

fn echo_trace(samples: &[Sample], times: Times) -> Trace {
    let mut values = vec![None; steps(times).len()];
    for sample in samples {
        if let Some(value) = step(times, sent(sample)).and_then(|step| values.get_mut(step)) {
            let ms = tenth(sample.value as f64 / 1e3);
            *value = Some(value.map_or(ms, |worst: f64| worst.max(ms)));
        }
    }
    trace(values)
}

/// Returns a zero for every step of a plot.
fn steps(times: Times) -> Vec<f64> {
    let length = times.watched.saturating_duration_since(times.begun) + BEFORE;
    vec![0.0; (length.as_nanos() / STEP.as_nanos()) as usize]
}

/// In which step a time is.
fn step(times: Times, at: Instant) -> Option<usize> {
    let since = (at + BEFORE).checked_duration_since(times.begun)?;
    Some((since.as_nanos() / STEP.as_nanos()) as usize)
}

fn trace(values: Vec<Option<f64>>) -> Trace {
    Trace { from_s: -BEFORE.as_secs_f64(), step_s: STEP.as_secs_f64(), values }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn round(time: Duration, unit: f64) -> f64 {
    tenth(time.as_secs_f64() * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    /// Returns a failure with effects of 2 s, watched for 10.
    fn times() -> Times {
        let begun = Instant::now() + Duration::from_secs(60);
        Times { begun, since: begun, until: begun + ms(2000), watched: begun + ms(10_000) }
    }

    /// Bulk of 1,000 bytes at each of these times, in milliseconds from the failure.
    fn bulk(times: Times, at: impl IntoIterator<Item = u64>) -> Vec<Sample> {
        at.into_iter()
            .zip(1..)
            .map(|(at, number)| Sample { at: times.begun + ms(at), value: number * 1000 })
            .collect()
    }

    #[test]
    fn a_bulk_stall_is_followed_beyond_the_window_that_it_began_in() {
        let times = times();
        let samples = bulk(times, [10, 20, 1500, 9000, 9800]);
        assert_eq!(bulk_stall(&samples, times, false), Stall { ms: 7500.0, at_least: false });
        let later = bulk(times, (0..210).map(|n| n * 10).chain([9000]));
        assert_eq!(bulk_stall(&later, times, false), Stall { ms: 10.0, at_least: false });
    }

    #[test]
    fn a_stall_that_did_not_end_is_a_bound() {
        let times = times();
        let samples = bulk(times, [10, 20]);
        assert_eq!(bulk_stall(&samples, times, true), Stall { ms: 9980.0, at_least: true });
        let echo = [Sample { at: times.begun - ms(80), value: 20_000 }];
        assert_eq!(echo_stall(&echo, times, true), Stall { ms: 10_020.0, at_least: true });
        assert_eq!(echo_stall(&[], times, true), Stall { ms: 10_020.0, at_least: true });
    }

    #[test]
    fn an_echo_counts_from_when_it_was_sent() {
        let times = times();
        let echo =
            |sent: u64, took: u64| Sample { at: times.begun + ms(sent + took), value: took * 1000 };
        let samples = [echo(0, 21), echo(20, 4000), echo(2100, 5000)];
        assert_eq!(echo_stall(&samples, times, false), Stall { ms: 4000.0, at_least: false });
        let trace = echo_trace(&samples, times);
        assert_eq!(trace.values[40], Some(4000.0), "the worst of the first 50 ms");
        assert_eq!(trace.values[41], None);
    }

    #[test]
    fn a_bulk_trace_is_the_rate_in_steps() {
        let times = times();
        let mut samples = bulk(times, [0, 10, 49, 50]);
        samples.insert(0, Sample { at: times.begun - ms(5000), value: 500 });
        let trace = bulk_trace(&samples, times);
        // 2,500 bytes more than before the plot, in 50 ms.
        assert_eq!(trace.values[40], Some(0.4));
        assert_eq!(trace.values[39], Some(0.0));
        assert_eq!(trace.values.len(), 240);
    }
}
