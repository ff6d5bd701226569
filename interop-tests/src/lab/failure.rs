//! What can go wrong in a lab.

mod strike;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// A failure of an ISP, at either side. What happens to "the ISP" happens to the one that carries
/// the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It drops everything, and says nothing.
    Blackhole,
    /// It drops what the site sends.
    OneWayUp,
    /// It drops what the site is sent.
    OneWayDown,
    /// The cable is pulled: both ends see it.
    Carrier,
    /// The host's address is taken away; the ISP is well.
    Address,
    /// Blackhole, and the other ISP is metered: no lane there until needed.
    Standby,
    /// The client's ISP and, of the server's, the one whose lane would have been left, at once.
    Crosswise,
    /// All of a site's ISPs are dead for so long; what counts is from when they are back.
    AllDown(Duration),
    /// It loses 10 % each way, at random.
    Loss,
    /// The same, and it takes 50 ms longer each way.
    BrownOut,
    /// It drops packets over 1,300 bytes, and says nothing.
    MtuHole,
    /// The same, and the site has no other ISP.
    MtuHoleOnly,
    /// Its NAT forgets all translations.
    Rebinding,
    /// It dies and comes back five times; each lasts so long.
    Flap(Duration),
    /// A new prefix comes, the old one is deprecated and 2 s later gone.
    Renumbering,
    /// Not a failure: the uplink is drained before planned work.
    Drain,
}

/// A failure that has happened, or is still going on.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    /// When it began.
    pub begun: Instant,
    /// From when gaps and recovery count.
    pub since: Instant,
    /// Until when effects show.
    pub until: Instant,
}

impl Failure {
    /// All of them, with usual durations.
    pub const ALL: [Self; 17] = [
        Self::Blackhole,
        Self::OneWayUp,
        Self::OneWayDown,
        Self::Carrier,
        Self::Address,
        Self::Standby,
        Self::Crosswise,
        Self::AllDown(Duration::from_secs(40)),
        Self::Loss,
        Self::BrownOut,
        Self::MtuHole,
        Self::MtuHoleOnly,
        Self::Rebinding,
        Self::Flap(Duration::from_secs(1)),
        Self::Flap(Duration::from_secs(5)),
        Self::Renumbering,
        Self::Drain,
    ];

    /// Returns whether the client's site must be behind NAT for it.
    pub fn needs_nat(self) -> bool {
        self == Self::Rebinding
    }

    /// Returns whether the client's second uplink is metered.
    pub fn needs_standby(self) -> bool {
        self == Self::Standby
    }

    /// Returns whether the site that it strikes has one ISP only.
    pub fn needs_lone_isp(self) -> bool {
        self == Self::MtuHoleOnly
    }

    /// Returns whether the ISP goes on carrying, if badly: what counts is how much.
    pub fn is_lossy(self) -> bool {
        matches!(self, Self::Loss | Self::BrownOut)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blackhole => "blackhole",
            Self::OneWayUp => "one-way-up",
            Self::OneWayDown => "one-way-down",
            Self::Carrier => "carrier",
            Self::Address => "address",
            Self::Standby => "standby",
            Self::Crosswise => "crosswise",
            Self::AllDown(length) => return write!(f, "all-down-{}", length.as_secs()),
            Self::Loss => "loss",
            Self::BrownOut => "brown-out",
            Self::MtuHole => "mtu-hole",
            Self::MtuHoleOnly => "mtu-hole-only",
            Self::Rebinding => "rebinding",
            Self::Flap(length) => return write!(f, "flap-{}", length.as_secs()),
            Self::Renumbering => "renumbering",
            Self::Drain => "drain",
        })
    }
}

impl FromStr for Failure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = |prefix: &str| {
            let seconds = text.strip_prefix(prefix)?.parse().ok()?;
            Some(Duration::from_secs(seconds))
        };
        if let Some(length) = seconds("all-down-") {
            return Ok(Self::AllDown(length));
        }
        if let Some(length) = seconds("flap-") {
            return Ok(Self::Flap(length));
        }
        Self::ALL.into_iter().find(|failure| failure.to_string() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("there is no failure `{text}`; there are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_read_as_it_is_written() {
        for failure in Failure::ALL {
            assert_eq!(failure.to_string().parse(), Ok(failure));
        }
        assert_eq!("all-down-7".parse(), Ok(Failure::AllDown(Duration::from_secs(7))));
        let error = "black-hole".parse::<Failure>().unwrap_err();
        assert!(error.contains("`black-hole`") && error.contains("blackhole,"), "{error}");
    }
}
