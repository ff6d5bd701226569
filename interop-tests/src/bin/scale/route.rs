//! What carries flows to a destination: two daemons, another tunnel, or nothing.

use std::net::SocketAddr;
use std::time::Duration;

use interop_tests::support::Outcome;

use super::pair::Pair;
use super::process::Usage;
use super::tunnels::{self, Tunnel};

/// What carries flows to the destination.
pub(crate) enum Route {
    Throughline(Pair),
    Other(Tunnel),
    /// Nothing: applications connect to it themselves.
    Tcp(SocketAddr),
}

impl Route {
    /// Starts a system; `None` where it is not installed. Of ours `uplinks` lanes are kept.
    pub(crate) async fn start(
        system: &str,
        target: SocketAddr,
        uplinks: u8,
    ) -> Outcome<Option<Self>> {
        let tunnel = match system {
            "throughline" => {
                return Ok(Some(Self::Throughline(Pair::start(target, uplinks, "")?)));
            }
            "tcp" => return Ok(Some(Self::Tcp(target))),
            "ssh" => tunnels::ssh(target).await?,
            "stunnel" => tunnels::stunnel(target).await?,
            other => return Err(format!("there is no system {other}").into()),
        };
        Ok(tunnel.map(Self::Other))
    }

    /// Returns where applications connect.
    pub(crate) fn ingress(&self) -> Outcome<SocketAddr> {
        match self {
            Self::Throughline(pair) => pair.ingress(),
            Self::Other(tunnel) => Ok(tunnel.ingress),
            Self::Tcp(target) => Ok(*target),
        }
    }

    /// Returns what the near and the far end use; of others nothing is known, their processes have children.
    pub(crate) fn usage(&self) -> Outcome<Vec<Usage>> {
        match self {
            Self::Throughline(pair) => Ok(pair.usage()?.into()),
            Self::Other(_) | Self::Tcp(_) => Ok(Vec::new()),
        }
    }

    /// Returns the CPU time of both ends.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        Ok(self.usage()?.iter().map(|usage| usage.cpu).sum())
    }
}
