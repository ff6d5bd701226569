use std::time::Instant;

use super::*;
use crate::{Fate, LinkModel, Profile, Queue, Rate};

const MS: Duration = Duration::from_millis(1);
const MINUTES: Duration = Duration::from_secs(600);

/// Times without an opportunity, in milliseconds.
fn gaps(trace: &Trace) -> Vec<u64> {
    let text = trace.to_text();
    let times: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// When the first opportunity is, in milliseconds.
fn first(trace: &Trace) -> u64 {
    trace.to_text().lines().next().unwrap().parse().unwrap()
}

/// Mbit/s in each second.
fn seconds(trace: &Trace) -> Vec<f64> {
    let mut seconds = vec![0.0; trace.period().as_secs() as usize + 1];
    for line in trace.to_text().lines() {
        seconds[line.parse::<usize>().unwrap() / 1000] += 0.012;
    }
    seconds.pop();
    seconds
}

fn spread(numbers: &[f64]) -> f64 {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let squares = numbers.iter().map(|number| (number / mean - 1.0).powi(2));
    (squares.sum::<f64>() / numbers.len() as f64).sqrt()
}

#[test]
fn one_seed_makes_one_trace_and_another_seed_another() {
    for preset in Preset::ALL {
        let make = |seed| preset.weather(10_000_000).trace(seed, 60_000 * MS);
        assert_eq!(make(1), make(1), "{preset}");
        if preset != Preset::Slots {
            assert_ne!(make(1), make(2), "{preset}");
        }
        assert_eq!(preset.to_string().parse(), Ok(preset));
    }
}

#[test]
fn every_preset_has_its_mean_rate_less_its_pauses() {
    for preset in Preset::ALL {
        let rate = preset.usual_rate().min(20_000_000);
        let mean = preset.weather(rate).trace(3, MINUTES).mean_rate() as f64 / rate as f64;
        assert!((0.8..1.15).contains(&mean), "{preset}: {mean} of its rate");
    }
}

#[test]
fn pauses_are_as_long_and_as_frequent_as_they_are_said_to_be() {
    let trace = Preset::Pauses.weather(20_000_000).trace(5, MINUTES);
    let pauses: Vec<u64> = gaps(&trace).into_iter().filter(|gap| *gap >= 8).collect();
    // One in 2 s, and what a pause lasts (125 ms on average).
    assert!((240..330).contains(&pauses.len()), "{} in ten minutes", pauses.len());
    assert!(pauses.iter().all(|pause| (9..=502).contains(pause)), "{pauses:?}");
    let long = pauses.iter().filter(|pause| **pause > 70).count() as f64 / pauses.len() as f64;
    assert!((0.4..0.6).contains(&long), "half of them above the geometric mean: {long}");
}

#[test]
fn slots_deliver_every_so_often_and_keep_the_rate() {
    let trace = Preset::Slots.weather(20_000_000).trace(5, 60_000 * MS);
    assert!(gaps(&trace).iter().all(|gap| *gap == 0 || *gap == 15));
    assert!(trace.mean_rate().abs_diff(20_000_000) < 50_000);
}

#[test]
fn a_wandering_rate_wanders_as_far_as_it_is_said_to_and_does_not_pause() {
    let trace = Preset::Wander.weather(20_000_000).trace(5, MINUTES);
    assert!(trace.longest_pause() < 15 * MS, "{:?}", trace.longest_pause());
    // A factor of 2 is a standard deviation of the logarithm: 0.79 of the mean.
    let spread = spread(&seconds(&trace));
    assert!((0.5..1.1).contains(&spread), "{spread}");
    assert!(self::spread(&seconds(&Weather::steady(20_000_000).trace(5, MINUTES))) < 0.01);
}

#[test]
fn starlink_is_reconfigured_every_15_seconds() {
    let weather = Weather { wander: None, pauses: None, ..Preset::Starlink.weather(20_000_000) };
    let trace = weather.trace(5, MINUTES);
    let (mut at, mut begins) = (first(&trace), Vec::new());
    for gap in gaps(&trace) {
        if gap > 20 {
            begins.push(at);
            assert!((39..=82).contains(&gap), "a pause of {gap} ms");
        }
        at += gap;
    }
    assert_eq!(begins.len(), 39, "and one at the start");
    assert!(begins.iter().all(|at| at % 15_000 >= 14_980 || at % 15_000 <= 20), "{begins:?}");
    let seconds = seconds(&trace);
    let means: Vec<_> = seconds.chunks(15).map(|part| part[1..].iter().sum::<f64>()).collect();
    assert!((0.1..0.4).contains(&spread(&means)), "{means:?}");
}

#[test]
fn wifi_comes_in_bursts() {
    let weather = Weather { wander: None, pauses: None, ..Preset::Wifi.weather(60_000_000) };
    let trace = weather.trace(5, MINUTES);
    let waits: Vec<u64> = gaps(&trace).into_iter().filter(|gap| *gap > 1).collect();
    let mean = waits.iter().sum::<u64>() as f64 / waits.len() as f64;
    assert!((5.0..11.0).contains(&mean), "{mean} ms without the medium");
    assert!(trace.mean_rate().abs_diff(60_000_000) < 3_000_000, "{}", trace.mean_rate());
}

#[test]
fn a_link_carries_what_its_weather_gives() {
    let trace = Preset::Lte.weather(8_000_000).trace(9, 60_000 * MS);
    let capacity = trace.opportunities() as u64 * OPPORTUNITY_BYTES;
    let profile = Profile::new(0, 20 * MS).rate(Rate::Trace(trace)).queue(Queue::Bytes(300_000));
    let (mut link, t0) = (LinkModel::new(profile, 1), Instant::now());
    let offered = (0..600_000).map(|i| t0 + i * MS / 10);
    let sent = offered.filter(|at| matches!(link.transmit(*at, 1200), Fate::Arrives { .. }));
    let bytes = sent.count() as u64 * 1200;
    let most = capacity + 300_000;
    assert!((capacity..=most).contains(&bytes), "{bytes} of {capacity} bytes");
}
