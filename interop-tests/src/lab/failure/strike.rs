//! How a failure is done to a lab.

use std::time::{Duration, Instant};

use super::{Failure, Struck};
use crate::lab::plan::Prefix;
use crate::lab::site::{Site, Uplink};
use crate::lab::wan::{Loss, Way, WireHandle};
use crate::lab::{Lab, Side, isp};
use crate::support::Outcome;

/// Effects of most failures show within this.
const AFTERMATH: Duration = Duration::from_secs(2);
/// What loses goes on losing: what counts is the goodput meanwhile, over more than a few losses.
const LOSSY_AFTERMATH: Duration = Duration::from_secs(5);
/// The loss of an ISP that loses.
const LOSS: Loss = Loss::Random(0.1);
/// How much longer a packet takes through an ISP in a brown-out, each way.
const BROWN_OUT_DELAY: Duration = Duration::from_millis(50);
/// The largest packet that an MTU hole lets pass, in bytes: above what IPv6 always takes (1,280).
const MTU_HOLE: usize = 1300;
/// How often a flapping ISP dies and comes back.
const FLAPS: usize = 5;
/// How long both prefixes are preferred during a renumbering.
const BOTH_PREFERRED: Duration = Duration::from_secs(1);
/// How long the old prefix is then deprecated before it is gone.
const OLD_DEPRECATED: Duration = Duration::from_secs(2);

impl Failure {
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
            Self::Carrier => pull_cable(lab, site, uplink)?,
            Self::Address => remove_addresses(site, uplink)?,
            Self::Crosswise => {
                let other = least_used_wire(lab.side(side.other()))?;
                wire.blackhole(Way::Both);
                other.blackhole(Way::Both);
            }
            Self::AllDown(length) => {
                all_down(site, length).await;
                let since = Instant::now();
                return Ok(Struck { begun, since, until: since + AFTERMATH });
            }
            Self::Loss => wire.change(Way::Both, |profile| profile.loss = LOSS),
            Self::BrownOut => wire.change(Way::Both, |profile| {
                profile.loss = LOSS;
                profile.delay += BROWN_OUT_DELAY;
            }),
            Self::MtuHole | Self::MtuHoleOnly => {
                wire.change(Way::Both, |profile| profile.mtu = Some(MTU_HOLE));
            }
            Self::Rebinding => lab.isp(uplink)?.rebind_nat()?,
            Self::Flap(length) => {
                flap(wire, length).await;
                return Ok(Struck { begun, since: begun, until: Instant::now() });
            }
            Self::Renumbering => renumber(lab, site, victim).await?,
            Self::Drain => drain(&uplink.device)?,
        }
        let aftermath = if self.is_lossy() { LOSSY_AFTERMATH } else { AFTERMATH };
        Ok(Struck { begun, since: begun, until: Instant::now() + aftermath })
    }
}

fn pull_cable(lab: &Lab, site: &Site, uplink: &Uplink) -> Outcome {
    // Nothing passes from now on; the two ends learn it a moment later.
    uplink.wire.blackhole(Way::Both);
    site.host.ip(&format!("link set dev {} carrier off", uplink.device))?;
    let there = format!("link set dev {} carrier off", isp::SITE);
    lab.isp(uplink)?.router.ip(&there)
}

fn remove_addresses(site: &Site, uplink: &Uplink) -> Outcome {
    uplink.prefixes.iter().try_for_each(|prefix| site.remove(uplink, prefix))
}

/// Returns the wire of a site that has carried least.
fn least_used_wire(site: &Site) -> Outcome<&WireHandle> {
    let least = site.uplinks.iter().min_by_key(|uplink| uplink.wire.stats().delivered_bytes());
    Ok(&least.ok_or("no uplink at the other side")?.wire)
}

async fn all_down(site: &Site, length: Duration) {
    let wires: Vec<&WireHandle> = site.uplinks.iter().map(|uplink| &uplink.wire).collect();
    wires.iter().for_each(|wire| wire.blackhole(Way::Both));
    tokio::time::sleep(length).await;
    wires.iter().for_each(|wire| wire.heal(Way::Both));
}

async fn flap(wire: &WireHandle, length: Duration) {
    for _ in 0..FLAPS {
        wire.blackhole(Way::Both);
        tokio::time::sleep(length).await;
        wire.heal(Way::Both);
        tokio::time::sleep(length).await;
    }
}

/// A new prefix comes, the old one is deprecated and then gone (RFC 4192).
async fn renumber(lab: &Lab, site: &Site, victim: usize) -> Outcome {
    let uplink = &site.uplinks[victim];
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
    tokio::time::sleep(BOTH_PREFERRED).await;
    uplink.prefixes.iter().try_for_each(|prefix| site.deprecate(uplink, prefix))?;
    tokio::time::sleep(OLD_DEPRECATED).await;
    remove_addresses(site, uplink)?;
    isp.filter(&both[..2])
}
