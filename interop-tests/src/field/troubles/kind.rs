//! Which troubles there are.

use std::fmt;
use std::str::FromStr;

use crate::lab::Side;

/// A trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The ISP in use falls silent, while addresses and routes come and go, firewalls are loaded anew
    /// and the daemons get SIGHUP.
    Noise,
    /// The same in an outage of a minute of both ISPs.
    NoiseInOutage,
    /// The first ISP is silent for 2 s, six times, each 3 s apart.
    Flapping,
    /// The first ISP's device is switched off and on, and loses its addresses meanwhile.
    Device,
    /// The first ISP is silent from before the start.
    FirstDead,
    /// The server has a name, and no name server answers at the start.
    NamesDead,
    /// The client's first ISP gives it another prefix.
    RenumberClient,
    /// The server's first ISP does.
    RenumberServer,
    /// Both NATs of the client forget everything at once.
    Rebinding,
    /// Both daemons are killed and started anew.
    RestartBoth,
    /// IPv6 falls silent everywhere, and comes back.
    FamilyDead,
    /// Three ISPs at the client, each silent for a while in turn.
    ThreeIsps,
    /// Four at both ends.
    FourIsps,
    /// A policer at the first ISP.
    Policer,
    /// 20 Mbit/s down, 0.5 up.
    Asymmetric,
    /// 600 ms and 1 % loss, and the first one falls silent.
    Satellite,
    /// The MTU of the first ISP falls to 1,240 bytes.
    Narrow,
    /// The MTU of both is 1,200 bytes from the start.
    TooNarrow,
    /// Both ISPs drop UDP for more than a minute.
    UdpDropped,
    /// They answer it with ICMP errors.
    UdpRejected,
    /// The client's own firewall does not let it out.
    UdpLocal,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Noise,
        Self::NoiseInOutage,
        Self::Flapping,
        Self::Device,
        Self::FirstDead,
        Self::NamesDead,
        Self::RenumberClient,
        Self::RenumberServer,
        Self::Rebinding,
        Self::RestartBoth,
        Self::FamilyDead,
        Self::ThreeIsps,
        Self::FourIsps,
        Self::Policer,
        Self::Asymmetric,
        Self::Satellite,
        Self::Narrow,
        Self::TooNarrow,
        Self::UdpDropped,
        Self::UdpRejected,
        Self::UdpLocal,
    ];

    /// Returns at whose end it is.
    pub(super) fn side(self) -> Side {
        if self == Self::RenumberServer { Side::Server } else { Side::Client }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noise => "noise",
            Self::NoiseInOutage => "noise-in-outage",
            Self::Flapping => "flapping",
            Self::Device => "device",
            Self::FirstDead => "first-dead",
            Self::NamesDead => "names-dead",
            Self::RenumberClient => "renumber-client",
            Self::RenumberServer => "renumber-server",
            Self::Rebinding => "rebinding",
            Self::RestartBoth => "restart-both",
            Self::FamilyDead => "family-dead",
            Self::ThreeIsps => "three-isps",
            Self::FourIsps => "four-isps",
            Self::Policer => "policer",
            Self::Asymmetric => "asymmetric",
            Self::Satellite => "satellite",
            Self::Narrow => "narrow",
            Self::TooNarrow => "too-narrow",
            Self::UdpDropped => "udp-dropped",
            Self::UdpRejected => "udp-rejected",
            Self::UdpLocal => "udp-local",
        })
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|trouble| trouble.to_string() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("there is no trouble `{name}`; there are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_read_as_it_is_written() {
        for trouble in Trouble::ALL {
            assert_eq!(trouble.to_string().parse(), Ok(trouble));
        }
        assert!("noises".parse::<Trouble>().unwrap_err().contains("noise, noise-in-outage"));
    }
}
