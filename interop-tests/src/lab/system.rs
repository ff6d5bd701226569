//! What carries the flows: Throughline, or the kernel.

use std::fmt;
use std::str::FromStr;

use throughline::Mode;

use super::Lab;
use super::daemons::{Daemons, Setup};
use super::flow::{Congestion, TcpRoute, Via};
use super::plan::Prefix;
use crate::support::Outcome;

/// What carries the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Two daemons, flows in this mode.
    Throughline(Mode),
    /// Plain TCP over the first ISPs; from the site's own prefix, where it has one by BGP.
    Tcp(Congestion),
    /// The kernel's Multipath TCP.
    Mptcp,
}

/// A system that is ready.
pub struct BroughtUp {
    /// How flows get to the server.
    pub via: Via,
    /// Its daemons, if it has any.
    pub daemons: Option<Daemons>,
}

impl System {
    /// Makes it ready: waits for lanes. Plain TCP leaves by the client's uplink number `uplink`; the
    /// client's second uplink is metered where there is `standby`.
    ///
    /// # Errors
    /// When it does not come up, or there is no such uplink.
    pub async fn bring_up(self, lab: &Lab, standby: bool, uplink: usize) -> Outcome<BroughtUp> {
        let to = lab.server.uplinks[0].prefixes[0].host;
        let kernel = |via| BroughtUp { via, daemons: None };
        Ok(match self {
            Self::Throughline(mode) => {
                let daemons = Daemons::start(lab, Setup { standby, ..Setup::of(mode) }).await?;
                BroughtUp { via: Via::Socks(daemons.socks), daemons: Some(daemons) }
            }
            Self::Tcp(congestion) => {
                let own = || Prefix::independent(lab.shape.family)[0].host;
                let from = if lab.shape.bgp.is_some() {
                    // Both are of the first family that there is.
                    Some(own())
                } else if uplink == 0 {
                    None
                } else {
                    let uplink = lab.client.uplinks.get(uplink).ok_or("no such uplink")?;
                    Some(uplink.prefixes[0].host)
                };
                kernel(Via::Tcp(TcpRoute { from, to, congestion }))
            }
            Self::Mptcp => {
                super::mptcp::configure(lab)?;
                kernel(Via::Mptcp(to))
            }
        })
    }
}

impl fmt::Display for System {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughline(mode) => write!(f, "{mode}"),
            Self::Tcp(Congestion::Usual) => f.write_str("tcp"),
            Self::Tcp(congestion) => write!(f, "tcp-{congestion}"),
            Self::Mptcp => f.write_str("mptcp"),
        }
    }
}

impl FromStr for System {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "tcp" => Ok(Self::Tcp(Congestion::Usual)),
            "mptcp" => Ok(Self::Mptcp),
            other => {
                if let Some(congestion) = other.strip_prefix("tcp-") {
                    return congestion.parse().map(Self::Tcp);
                }
                other.parse().map(Self::Throughline).map_err(|_| {
                    format!(
                        "there is no system `{name}`; there are auto, single, bond, redundant, \
                         tcp, tcp-cubic, tcp-bbr, tcp-reno and mptcp"
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_read_as_it_is_written() {
        for text in ["auto", "redundant", "tcp", "tcp-cubic", "tcp-bbr", "tcp-reno", "mptcp"] {
            assert_eq!(text.parse::<System>().unwrap().to_string(), text);
        }
        let error = "tcp-vegas".parse::<System>().unwrap_err();
        assert!(error.contains("`vegas`") && error.contains("cubic, bbr, reno"), "{error}");
    }
}
