//! Weather: traces like those of radio links, made from a seed.
//!
//! A [`Weather`] is made of parts, each of which can be had alone: a rate that **wanders**, **pauses**
//! in which nothing is delivered and nothing is made up for, **slots** (a scheduler that serves this
//! link every so often and then delivers what has accumulated), **reconfigurations** (a pause and
//! another rate at fixed times), **bursts** (a shared medium that is had for a while, then not).
//! [`Preset`] names combinations with the figures they stand for.
//!
//! The generator goes through time millisecond by millisecond, adds what the rate gives, and writes
//! down an opportunity for each 1,500 bytes. Each part draws from a stream of its own, so that a part
//! more does not change the others.

mod channel;
mod parts;
mod preset;

use std::time::Duration;

use crate::trace::{MAX_OPPORTUNITIES, OPPORTUNITY_BYTES, Trace};

use channel::Channel;

pub use parts::Weather;
pub use preset::Preset;

/// The longest trace that is made: an hour, after which it repeats.
const MAX_LENGTH: Duration = Duration::from_secs(60 * 60);

impl Weather {
    /// Returns weather that delivers at `rate` bit/s, evenly: parts are added to it.
    pub fn steady(rate: u64) -> Self {
        Self { rate, wander: None, pauses: None, slot: None, reconfigurations: None, bursts: None }
    }

    /// Returns a trace of this weather, the same for the same seed. It is so long, or as long as
    /// [`MAX_OPPORTUNITIES`] reach, but at most an hour, and has an opportunity at its end.
    pub fn trace(&self, seed: u64, length: Duration) -> Trace {
        let milliseconds = (length.min(MAX_LENGTH).as_millis() as u32).max(1);
        let mut channel = Channel::new(self, seed);
        let (mut opportunities, mut credit) = (Vec::new(), 0.0);
        for time in 0..milliseconds {
            credit += channel.next_millisecond();
            if !channel.serves(time) {
                continue;
            }
            let whole = (credit / OPPORTUNITY_BYTES as f64) as usize;
            credit -= (whole as u64 * OPPORTUNITY_BYTES) as f64;
            let left = MAX_OPPORTUNITIES - 1 - opportunities.len();
            opportunities.extend(std::iter::repeat_n(time, whole.min(left)));
        }
        opportunities.push(milliseconds);
        Trace::new(opportunities).expect("the last opportunity is after 0 ms")
    }
}

#[cfg(test)]
mod tests;
