//! What can go wrong, and how it is done to a lab.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::plan::Prefix;
use super::wan::{Loss, Way, WireHandle};
use super::{Lab, Side, isp};
use crate::support::Outcome;

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

/// Effects of most failures show within this.
const AFTERMATH: Duration = Duration::from_secs(2);
/// What loses goes on losing: what counts is the goodput meanwhile, over more than a few losses.
const LOSSES: Duration = Duration::from_secs(5);
/// An ISP that loses: the probability.
const LOSS: f64 = 0.1;
/// The largest packet that an MTU hole lets pass, in bytes: above what IPv6 always takes (1,280).
const HOLE: usize = 1300;

impl Failure {
    /// All of them, with the durations that are usual.
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

    /// Whether the client's site must be behind NAT for it.
    pub fn needs_nat(self) -> bool {
        self == Self::Rebinding
    }

    /// Whether the client's second uplink is metered.
    pub fn needs_standby(self) -> bool {
        self == Self::Standby
    }

    /// Whether the site that it strikes has one ISP only.
    pub fn needs_lone_isp(self) -> bool {
        self == Self::MtuHoleOnly
    }

    /// Whether the ISP goes on carrying, if badly: what counts is how much.
    pub fn is_lossy(self) -> bool {
        matches!(self, Self::Loss | Self::BrownOut)
    }

    /// Does it to the ISP of `side`'s uplink number `victim`. Returns when all of it has been done;
    /// effects show until [`Struck::until`].
    ///
    /// # Errors
    /// When the lab or the daemon refuses.
    pub async fn strike(
        self,
        lab: &Lab,
        side: Side,
        victim: usize,
        drain: impl FnOnce(&str) -> Outcome,
    ) -> Outcome<Struck> {
        let site = lab.side(side);
        let uplink = site.uplinks.get(victim).ok_or("no such uplink")?;
        let (wire, begun) = (&uplink.wire, Instant::now());
        match self {
            Self::Blackhole | Self::Standby => wire.blackhole(Way::Both),
            Self::OneWayUp => wire.blackhole(Way::Up),
            Self::OneWayDown => wire.blackhole(Way::Down),
            Self::Carrier => {
                // Nothing passes from now on; the two ends learn it a moment later.
                wire.blackhole(Way::Both);
                site.host.ip(&format!("link set dev {} carrier off", uplink.device))?;
                let there = format!("link set dev {} carrier off", isp::SITE);
                lab.isp(uplink)?.router.ip(&there)?;
            }
            Self::Address => {
                for prefix in &uplink.prefixes {
                    site.remove(uplink, prefix)?;
                }
            }
            Self::Crosswise => {
                let other = lab.side(side.other());
                let lone = other.uplinks.iter().min_by_key(|u| u.wire.stats().delivered_bytes());
                let lone = lone.ok_or("no uplink at the other side")?;
                wire.blackhole(Way::Both);
                lone.wire.blackhole(Way::Both);
            }
            Self::AllDown(length) => {
                let wires: Vec<&WireHandle> = site.uplinks.iter().map(|u| &u.wire).collect();
                wires.iter().for_each(|wire| wire.blackhole(Way::Both));
                tokio::time::sleep(length).await;
                wires.iter().for_each(|wire| wire.heal(Way::Both));
                let since = Instant::now();
                return Ok(Struck { begun, since, until: since + AFTERMATH });
            }
            Self::Loss => wire.change(Way::Both, |profile| profile.loss = Loss::Random(LOSS)),
            Self::BrownOut => wire.change(Way::Both, |profile| {
                profile.loss = Loss::Random(LOSS);
                profile.delay += Duration::from_millis(50);
            }),
            Self::MtuHole | Self::MtuHoleOnly => {
                wire.change(Way::Both, |profile| profile.mtu = Some(HOLE));
            }
            Self::Rebinding => lab.isp(uplink)?.rebind_nat()?,
            Self::Flap(length) => {
                for _ in 0..5 {
                    wire.blackhole(Way::Both);
                    tokio::time::sleep(length).await;
                    wire.heal(Way::Both);
                    tokio::time::sleep(length).await;
                }
                return Ok(Struck { begun, since: begun, until: Instant::now() });
            }
            Self::Renumbering => {
                let isp = lab.isp(uplink)?;
                let is_ours = |prefix: &Prefix| site.family.has(prefix.host);
                isp.serve(&Prefix::renumbered(uplink.isp), &lab.core)?;
                let old = Prefix::of_isp(uplink.isp).map(|prefix| prefix.cidr());
                let new = Prefix::renumbered(uplink.isp);
                let both: Vec<_> = new.iter().map(Prefix::cidr).chain(old).collect();
                isp.filter(&both)?;
                for prefix in new.iter().filter(|prefix| is_ours(prefix)) {
                    site.add(uplink, prefix, victim)?;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                for prefix in &uplink.prefixes {
                    site.deprecate(uplink, prefix)?;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
                for prefix in &uplink.prefixes {
                    site.remove(uplink, prefix)?;
                }
                isp.filter(&both[..2])?;
            }
            Self::Drain => drain(&uplink.device)?,
        }
        let aftermath = if self.is_lossy() { LOSSES } else { AFTERMATH };
        Ok(Struck { begun, since: begun, until: Instant::now() + aftermath })
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
