//! The kernel's congestion control for a TCP socket.

use std::fmt;
use std::str::FromStr;

/// Which congestion control a TCP sender has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// What the machine has (`sysctl net.ipv4.tcp_congestion_control`).
    #[default]
    Usual,
    /// CUBIC (RFC 9438).
    Cubic,
    /// BBR as the kernel has it (Cardwell et al., ACM Queue 14, 2016).
    Bbr,
    /// NewReno (RFC 6582).
    Reno,
}

impl Congestion {
    /// Those that have a name.
    pub const NAMED: [Self; 3] = [Self::Cubic, Self::Bbr, Self::Reno];

    /// Returns what the kernel calls it; nothing where the machine's own is meant.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Usual => None,
            Self::Cubic => Some("cubic"),
            Self::Bbr => Some("bbr"),
            Self::Reno => Some("reno"),
        }
    }

    /// Returns whether the kernel has it; its module is loaded where that can be.
    pub fn is_available(self) -> bool {
        let Some(name) = self.name() else { return true };
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        socket.and_then(|socket| socket.set_tcp_congestion(name.as_bytes())).is_ok()
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("tcp"))
    }
}

impl FromStr for Congestion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::NAMED.into_iter().find(|known| known.name() == Some(text)).ok_or_else(|| {
            format!("there is no congestion control `{text}`; there are cubic, bbr, reno")
        })
    }
}
