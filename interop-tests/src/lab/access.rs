//! What a customer's link to its ISP is like, in words.
//!
//! The first word says what it carries, those after it the rest, in any order:
//!
//! ```text
//! 100 rtt=25ms                               100 Mbit/s both ways
//! 20/0.5 queue=100kB loss=1%                 20 Mbit/s down, 0.5 up
//! trace:down.txt,up.txt rtt=40ms queue=300kB recorded delivery opportunities (mahimahi)
//! lte:8 seed=3                               generated weather of 8 Mbit/s
//! 50 jitter=100ms:stepped:100ms              every 100 ms another delay, up to 100 ms more
//! 100 loss=2%:5 police=20,64kB               loss in bursts of 5; a policer of 20 Mbit/s
//! ```
//!
//! `down.` or `up.` before a word means this direction only.

mod amount;
mod capacity;
mod settings;

use std::time::Duration;

use throughline_link::{Jitter, Loss, Policer, Profile, Queue, Rate};

use capacity::Capacity;

pub use amount::{duration, percent, rate, size};
pub use settings::{jitter, loss, policer, queue};

/// A customer's link to its ISP: a profile for each direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// From the customer.
    pub up: Profile,
    /// To it.
    pub down: Profile,
}

/// What holds where a link's words do not say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Usual {
    /// The round trip between the sites.
    pub rtt: Duration,
    /// The queue of each direction.
    pub queue: Queue,
    /// The loss of each direction.
    pub loss: Loss,
    /// The jitter of each direction.
    pub jitter: Jitter,
    /// The policer of each direction.
    pub policer: Option<Policer>,
}

impl Default for Usual {
    /// Returns 20 ms and a queue of 50 ms.
    fn default() -> Self {
        Self {
            rtt: Duration::from_millis(20),
            queue: Queue::Time(Duration::from_millis(50)),
            loss: Loss::None,
            jitter: Jitter::None,
            policer: None,
        }
    }
}

/// What a link's words have said so far.
struct Spec {
    capacity: Option<Capacity>,
    rtt: Duration,
    phase: Duration,
    seed: u64,
    up: Profile,
    down: Profile,
}

/// Directions that a word is about.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Both,
    Up,
    Down,
}

impl Access {
    /// Returns a link of a fixed rate both ways, in bit/s.
    pub fn fixed(rate: u64, rtt: Duration, queue: Queue) -> Self {
        let profile = Profile::new(rate, rtt / 2).queue(queue);
        Self { up: profile.clone(), down: profile }
    }

    /// Returns the link that `text` describes. `number` tells the links of a site apart: generated
    /// weather of another number is other weather.
    ///
    /// # Errors
    /// When a word makes no sense or a trace cannot be read; the message says what is possible.
    pub fn parse(text: &str, number: u8, usual: &Usual) -> Result<Self, String> {
        let mut profile =
            Profile::new(0, usual.rtt / 2).queue(usual.queue).loss(usual.loss).jitter(usual.jitter);
        profile.policer = usual.policer;
        let mut spec = Spec {
            capacity: None,
            rtt: usual.rtt,
            phase: Duration::ZERO,
            seed: u64::from(number) + 1,
            up: profile.clone(),
            down: profile,
        };
        for word in text.split_whitespace() {
            spec.word(word)?;
        }
        spec.finish()
    }

    /// Changes both directions.
    #[must_use]
    pub fn each(mut self, change: impl Fn(&mut Profile)) -> Self {
        change(&mut self.up);
        change(&mut self.down);
        self
    }
}

impl Spec {
    fn word(&mut self, word: &str) -> Result<(), String> {
        let Some((key, value)) = word.split_once('=') else {
            if self.capacity.is_some() {
                return Err(format!("`{word}` is one capacity too many: give one for each ISP"));
            }
            self.capacity = Some(word.parse()?);
            return Ok(());
        };
        let (of, key) = match key.split_once('.') {
            Some(("down", key)) => (Of::Down, key),
            Some(("up", key)) => (Of::Up, key),
            Some((other, _)) => {
                return Err(format!("there is no direction `{other}`; there are down, up"));
            }
            None => (Of::Both, key),
        };
        let within = |error| format!("{word}: {error}");
        match key {
            "rtt" => self.rtt = duration(value).map_err(within)?,
            "phase" => self.phase = duration(value).map_err(within)?,
            "seed" => {
                self.seed = value.parse().map_err(|_| format!("{word}: give a whole number"))?;
            }
            "queue" => {
                let queue = queue(value).map_err(within)?;
                self.each(of, |profile| profile.queue = queue);
            }
            "loss" => {
                let loss = loss(value).map_err(within)?;
                self.each(of, |profile| profile.loss = loss);
            }
            "jitter" => {
                let jitter = jitter(value).map_err(within)?;
                self.each(of, |profile| profile.jitter = jitter);
            }
            "police" => {
                let policer = policer(value).map_err(within)?;
                self.each(of, |profile| profile.policer = Some(policer));
            }
            other => {
                return Err(format!(
                    "there is no `{other}=`; there are rtt, queue, loss, jitter, police, phase, \
                     seed, and down. or up. before them"
                ));
            }
        }
        Ok(())
    }

    fn each(&mut self, of: Of, change: impl Fn(&mut Profile)) {
        if of != Of::Up {
            change(&mut self.down);
        }
        if of != Of::Down {
            change(&mut self.up);
        }
    }

    fn finish(mut self) -> Result<Access, String> {
        let capacity = self.capacity.take().ok_or(
            "what does it carry? Begin with Mbit/s (`100`, `20/0.5`), `trace:FILE` or weather (`lte`)",
        )?;
        let [down, up] = capacity.rates(self.seed, self.phase)?;
        self.each(Of::Down, |profile| profile.rate = down.clone());
        self.each(Of::Up, |profile| profile.rate = up.clone());
        let delay = self.rtt / 2;
        self.each(Of::Both, |profile| profile.delay = delay);
        Ok(Access { up: self.up, down: self.down })
    }
}

/// Returns the mean of a rate in Mbit/s; without limit there is none.
pub fn mean_mbits(rate: &Rate) -> Option<f64> {
    match rate {
        Rate::Fixed(bits) => Some(*bits as f64 / 1e6),
        Rate::Trace(trace) => Some(trace.mean_rate() as f64 / 1e6),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
