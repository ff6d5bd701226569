//! Where a flow leads: a TCP or UDP destination behind the peer, or a service of the peer's application.
//! The target says whether the flow is a byte stream or one of datagrams.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The longest host or service name, in bytes (RFC 1035 §2.3.4 allows 255 on the wire).
pub const MAX_NAME: usize = 255;

/// A host: an address, or a name that the peer resolves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name, lower case, 1 to 255 bytes.
    Name(String),
}

/// Where a flow leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A TCP destination, dialed by the peer's egress.
    Tcp {
        /// The host, which the peer resolves if it is a name.
        host: Host,
        /// The TCP port, not 0.
        port: u16,
    },
    /// A UDP destination: the flow is one of datagrams, sent and received by the peer's egress.
    Udp {
        /// The host, which the peer resolves if it is a name.
        host: Host,
        /// The UDP port, not 0.
        port: u16,
    },
    /// A service of an application at the peer.
    Service(String),
    /// A service of an application at the peer whose flows are of datagrams. Its name has nothing to do with
    /// those of other services.
    DatagramService(String),
}

/// What follows a UDP destination in text, as in `/etc/services`.
const UDP: &str = "/udp";

/// Why a text is not a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseTargetError {
    /// The text does not end in `:PORT`.
    #[error("`{0}` has no port; write HOST:PORT")]
    NoPort(String),
    /// Where the address ends and the port begins is anybody's guess.
    #[error(
        "`{0}` can be read in two ways; write an IPv6 address in brackets before its port, like [2001:db8::5]:443"
    )]
    Unbracketed(String),
    /// The port is not a number from 1 to 65535.
    #[error("`{0}` is not a port; use a number from 1 to 65535")]
    Port(String),
    /// The host is neither an address nor a name.
    #[error("`{0}` is neither an IP address nor a host name of at most 255 characters")]
    Host(String),
}

impl FromStr for Host {
    type Err = ParseTargetError;

    /// Parses an address (IPv6 with or without brackets) or a host name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return inner
                .parse::<Ipv6Addr>()
                .map(|ip| Self::Ip(ip.into()))
                .map_err(|_| ParseTargetError::Host(text.to_owned()));
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let plausible = !text.is_empty()
            && text.len() <= MAX_NAME
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !plausible {
            return Err(ParseTargetError::Host(text.to_owned()));
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Target {
    /// Returns the service `name` of the application at the peer.
    pub fn service(name: impl Into<String>) -> Self {
        Self::Service(name.into())
    }

    /// Returns the service `name` of the application at the peer, for flows of datagrams.
    pub fn datagram_service(name: impl Into<String>) -> Self {
        Self::DatagramService(name.into())
    }

    /// Returns whether flows to it are of datagrams.
    pub fn takes_datagrams(&self) -> bool {
        matches!(self, Self::Udp { .. } | Self::DatagramService(_))
    }

    /// Returns the host and port of a destination; a service has none.
    pub fn host_and_port(&self) -> Option<(&Host, u16)> {
        match self {
            Self::Tcp { host, port } | Self::Udp { host, port } => Some((host, *port)),
            Self::Service(_) | Self::DatagramService(_) => None,
        }
    }

    /// Returns `message` without this target's name in front, for output that has named the target
    /// already: of `h:1`, `h:1: refused` becomes `refused`.
    pub fn strip_from<'a>(&self, message: &'a str) -> &'a str {
        let without = message.strip_prefix(&*self.to_string());
        let joints = [": ", " is ", " "];
        let rest =
            without.and_then(|rest| joints.iter().find_map(|joint| rest.strip_prefix(joint)));
        rest.unwrap_or(message)
    }
}

impl FromStr for Target {
    type Err = ParseTargetError;

    /// Parses `HOST:PORT`, or `HOST:PORT/udp`; an IPv6 address is written in brackets.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_udp = text.ends_with(UDP);
        let text = text.strip_suffix(UDP).unwrap_or(text);
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| ParseTargetError::NoPort(text.to_owned()))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(ParseTargetError::Unbracketed(text.to_owned()));
        }
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(ParseTargetError::Port(port.to_owned())),
            Ok(port) => port,
        };
        let host = host.parse()?;
        Ok(if is_udp { Self::Udp { host, port } } else { Self::Tcp { host, port } })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Udp { host, port } => write!(f, "{host}:{port}{UDP}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::DatagramService(name) => write!(f, "datagram service {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_survive_formatting_and_parsing() {
        for text in ["10.0.0.1:22", "[2001:db8::1]:443", "db.internal:5432", "db.internal:53/udp"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn hosts_survive_formatting_and_parsing() {
        for (text, host) in [
            ("10.0.0.1", Host::Ip([10, 0, 0, 1].into())),
            ("[::1]", Host::Ip(Ipv6Addr::LOCALHOST.into())),
            ("db.internal", Host::Name("db.internal".into())),
        ] {
            assert_eq!(text.parse(), Ok(host.clone()));
            assert_eq!(host.to_string(), text);
        }
        assert_eq!("::1".parse(), Ok(Host::Ip(Ipv6Addr::LOCALHOST.into())));
        assert_eq!("[::1".parse::<Host>(), Err(ParseTargetError::Host("[::1".into())));
    }

    #[test]
    fn a_bad_target_names_what_is_wrong() {
        assert_eq!("host".parse::<Target>(), Err(ParseTargetError::NoPort("host".into())));
        assert_eq!("host:0".parse::<Target>(), Err(ParseTargetError::Port("0".into())));
        assert_eq!("a b:1".parse::<Target>(), Err(ParseTargetError::Host("a b".into())));
        assert_eq!(":1".parse::<Target>(), Err(ParseTargetError::Host(String::new())));
    }

    #[test]
    fn the_name_of_a_target_is_not_repeated() {
        let target: Target = "h:1".parse().unwrap();
        for (text, rest) in [
            ("h:1: refused", "refused"),
            ("h:1 is not allowed", "not allowed"),
            ("h:1 did not answer", "did not answer"),
            ("h:12: refused", "h:12: refused"),
            ("no route", "no route"),
            ("h:1", "h:1"),
        ] {
            assert_eq!(target.strip_from(text), rest);
        }
    }
}
