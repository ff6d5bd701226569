//! The channel that a generator goes through, a millisecond at a time.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::parts::{Bursts, Pauses, Reconfigurations, Wander, Weather};
use crate::jitter::normal;

/// Streams of random numbers, one for each part.
const WANDER: u64 = 1;
const PAUSES: u64 = 2;
const RECONFIGURATIONS: u64 = 3;
const BURSTS: u64 = 4;

pub(super) struct Channel {
    bytes_per_ms: f64,
    slot: Option<u32>,
    wander: Option<(Wander, Wandering)>,
    pauses: Option<(Pauses, Turns)>,
    reconfigurations: Option<(Reconfigurations, Configured)>,
    bursts: Option<(Bursts, Turns)>,
}

struct Wandering {
    rng: StdRng,
    deviate: f64,
}

/// Something that is so for a while, then not.
struct Turns {
    rng: StdRng,
    on: bool,
    /// Milliseconds until it changes.
    left: f64,
}

struct Configured {
    rng: StdRng,
    /// Milliseconds since the last one.
    since: f64,
    pause: f64,
    factor: f64,
}

impl Channel {
    pub(super) fn new(weather: &Weather, seed: u64) -> Self {
        let stream = |part: u64| StdRng::seed_from_u64(seed ^ part.rotate_right(8));
        let turns = |part| Turns { rng: stream(part), on: false, left: 0.0 };
        let wandering = || {
            let mut rng = stream(WANDER);
            let deviate = normal(&mut rng);
            Wandering { rng, deviate }
        };
        let configured = |all: &Reconfigurations| Configured {
            rng: stream(RECONFIGURATIONS),
            since: ms(all.every),
            pause: 0.0,
            factor: 1.0,
        };
        Self {
            bytes_per_ms: weather.rate as f64 / 8000.0,
            slot: weather.slot.map(|slot| (slot.as_millis() as u32).max(1)),
            wander: weather.wander.map(|part| (part, wandering())),
            pauses: weather.pauses.map(|part| (part, turns(PAUSES))),
            reconfigurations: weather.reconfigurations.map(|part| (part, configured(&part))),
            bursts: weather.bursts.map(|part| (part, turns(BURSTS))),
        }
    }

    /// Returns the bytes that the next millisecond gives.
    pub(super) fn next_millisecond(&mut self) -> f64 {
        // Every part goes on in every millisecond, whatever the others do.
        let wander = self.wander.as_mut().map_or(1.0, |(part, state)| state.next(part));
        let pauses = self.pauses.as_mut().map_or(1.0, |(part, state)| state.open(part));
        let bursts = self.bursts.as_mut().map_or(1.0, |(part, state)| state.share(part));
        let configured = self.reconfigurations.as_mut();
        let configured = configured.map_or(1.0, |(part, state)| state.next(part));
        self.bytes_per_ms * wander * pauses * bursts * configured
    }

    /// Returns whether what has accumulated is delivered at this millisecond.
    pub(super) fn serves(&self, time: u32) -> bool {
        self.slot.is_none_or(|slot| time.is_multiple_of(slot))
    }
}

impl Wandering {
    /// Returns the rate's factor: log-normal, of mean 1.
    fn next(&mut self, part: &Wander) -> f64 {
        let kept = (-1.0 / ms(part.memory).max(1.0)).exp();
        self.deviate = kept * self.deviate + (1.0 - kept * kept).sqrt() * normal(&mut self.rng);
        let deviation = part.factor.max(1.0).ln();
        (self.deviate * deviation - deviation * deviation / 2.0).exp()
    }
}

impl Turns {
    /// Returns 0 during a pause, 1 else.
    fn open(&mut self, part: &Pauses) -> f64 {
        let (least, most) = (ms(part.least).max(1.0).ln(), ms(part.most).max(1.0).ln());
        let on = self.next(
            |rng| exponential(part.every, rng),
            |rng| (least + (most - least).max(0.0) * rng.random::<f64>()).exp(),
        );
        if on { 1.0 } else { 0.0 }
    }

    /// Returns the rate's factor, of mean 1.
    fn share(&mut self, part: &Bursts) -> f64 {
        let on = self.next(|rng| exponential(part.with, rng), |rng| exponential(part.without, rng));
        if on { (ms(part.with) + ms(part.without)) / ms(part.with).max(1.0) } else { 0.0 }
    }

    fn next(&mut self, on: impl Fn(&mut StdRng) -> f64, off: impl Fn(&mut StdRng) -> f64) -> bool {
        while self.left < 1.0 {
            self.on = !self.on;
            self.left += if self.on { on(&mut self.rng) } else { off(&mut self.rng) };
        }
        self.left -= 1.0;
        self.on
    }
}

impl Configured {
    /// Returns 0 during the pause of a reconfiguration, else the rate's factor.
    fn next(&mut self, part: &Reconfigurations) -> f64 {
        if self.since >= ms(part.every) {
            self.since = 0.0;
            self.pause = ms(part.pause) * self.rng.random_range(0.5..1.0);
            let range = part.factor.max(1.0).ln();
            self.factor = (range * self.rng.random_range(-1.0..1.0)).exp();
        }
        self.since += 1.0;
        if self.since <= self.pause { 0.0 } else { self.factor }
    }
}

fn exponential(mean: Duration, rng: &mut StdRng) -> f64 {
    -ms(mean).max(1.0) * (1.0 - rng.random::<f64>()).ln()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
