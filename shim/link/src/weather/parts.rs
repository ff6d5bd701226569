//! What weather is made of.

use std::time::Duration;

/// What a radio link is like over time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Weather {
    /// The mean rate while nothing pauses, in bit/s.
    pub rate: u64,
    /// How the rate wanders.
    pub wander: Option<Wander>,
    /// Pauses at random times.
    pub pauses: Option<Pauses>,
    /// How often a scheduler serves this link.
    pub slot: Option<Duration>,
    /// Changes at fixed times.
    pub reconfigurations: Option<Reconfigurations>,
    /// A medium that is had in turns.
    pub bursts: Option<Bursts>,
}

/// A rate whose logarithm is an Ornstein–Uhlenbeck process, so that it stays above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wander {
    /// A standard deviation in the rate's logarithm is this factor, at least 1.
    pub factor: f64,
    /// Two rates so far apart have a correlation of 1/e.
    pub memory: Duration,
}

/// Pauses that come independently of each other (Poisson), of lengths whose logarithms are equally
/// likely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pauses {
    /// The mean time between the end of one and the begin of the next.
    pub every: Duration,
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

/// A pause, and another rate afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reconfigurations {
    /// The time between two.
    pub every: Duration,
    /// The pause at each: anything up to this, all equally likely, and at least half of it.
    pub pause: Duration,
    /// The rate until the next is between the mean divided and multiplied by this.
    pub factor: f64,
}

/// Turns on a shared medium: exponentially distributed times with and without it. While it is had, the
/// rate is as much higher as keeps the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// How long it is had on average.
    pub with: Duration,
    /// How long others have it on average.
    pub without: Duration,
}
