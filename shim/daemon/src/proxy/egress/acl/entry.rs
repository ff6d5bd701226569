//! Entries of an ACL: `10.20.0.0/16:22`, `[2001:db8::/32]:443`, `localhost:5432`, `*:80-90`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use crate::proxy::rules::{NamePattern, ParsePortsError, Ports};
use throughline::Host;

/// Hosts and ports that a peer may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    hosts: Hosts,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    Localhost,
    Prefix(IpNet),
    Name(NamePattern),
}

/// A text is not an [`AclEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseAclEntryError {
    /// There is no `:PORTS` at the end.
    #[error("`{0}` has no ports; write HOST:PORTS, or HOST:* for every port")]
    NoPorts(String),
    /// The ports are invalid.
    #[error(transparent)]
    Ports(#[from] ParsePortsError),
    /// An IPv6 address or prefix has no brackets.
    #[error("`{0}` is IPv6 without brackets; write it like [2001:db8::/32]:443")]
    Brackets(String),
    /// The host is neither a prefix, an address, a name nor a wildcard.
    #[error(
        "`{0}` is not a host; write a prefix (10.20.0.0/16), an address, [an IPv6 prefix], \
         a name, *.a.domain, or * for everything but this host"
    )]
    Host(String),
}

impl AclEntry {
    /// Returns the ports it allows.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Returns whether it allows `ip`, another host's address that was requested as `requested`.
    pub(super) fn covers(&self, requested: &Host, ip: IpAddr) -> bool {
        match (&self.hosts, requested) {
            (Hosts::Any, _) => true,
            (Hosts::Prefix(prefix), _) => prefix.contains(&ip),
            (Hosts::Name(pattern), Host::Name(name)) => pattern.matches(name),
            (Hosts::Name(_), Host::Ip(_)) | (Hosts::Localhost, _) => false,
        }
    }

    /// Returns whether it may allow an address that `requested` resolves to.
    pub(super) fn could_cover(&self, requested: &Host) -> bool {
        match (&self.hosts, requested) {
            (Hosts::Name(pattern), Host::Name(name)) => pattern.matches(name),
            (Hosts::Name(_), Host::Ip(_)) => false,
            (Hosts::Any | Hosts::Localhost | Hosts::Prefix(_), _) => true,
        }
    }

    /// Returns whether it names `ip`, an address of this host, explicitly.
    pub(super) fn names_this_host(&self, ip: IpAddr) -> bool {
        match self.hosts {
            // `localhost` resolves to these two, whatever else is loopback (RFC 6761 §6.3).
            Hosts::Localhost => ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST,
            Hosts::Prefix(prefix) => {
                let exactly = prefix.prefix_len() == prefix.max_prefix_len();
                prefix.contains(&ip)
                    && (exactly || (prefix.network().is_loopback() && prefix.prefix_len() >= 8))
            }
            Hosts::Any | Hosts::Name(_) => false,
        }
    }
}

impl FromStr for AclEntry {
    type Err = ParseAclEntryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, ports) =
            text.rsplit_once(':').ok_or_else(|| ParseAclEntryError::NoPorts(text.to_owned()))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(ParseAclEntryError::Brackets(text.to_owned()));
        }
        let ports = ports.parse()?;
        let wrong = || ParseAclEntryError::Host(host.to_owned());
        let hosts = match bracketed {
            Some(inner) => Hosts::Prefix(prefix(inner).filter(is_v6).ok_or_else(wrong)?),
            None if host == "*" => Hosts::Any,
            None if host.eq_ignore_ascii_case("localhost") => Hosts::Localhost,
            None => match prefix(host) {
                Some(prefix) => Hosts::Prefix(prefix),
                // "10.0.0.0/33" and "10.0.0" are malformed addresses, not names.
                None if host.ends_with(|c: char| c.is_ascii_digit())
                    && !host.contains(is_letter) =>
                {
                    return Err(wrong());
                }
                None => Hosts::Name(host.parse().map_err(|_| wrong())?),
            },
        };
        Ok(Self { hosts, ports })
    }
}

fn prefix(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_v6(prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V6(_))
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
}

impl fmt::Display for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Localhost => f.write_str("localhost")?,
            Hosts::Prefix(prefix) => {
                // A prefix of one address is written as that address.
                let host = prefix.prefix_len() == prefix.max_prefix_len();
                let text = if host { prefix.addr().to_string() } else { prefix.to_string() };
                match prefix {
                    IpNet::V4(_) => f.write_str(&text)?,
                    IpNet::V6(_) => write!(f, "[{text}]")?,
                }
            }
            Hosts::Name(pattern) => write!(f, "{pattern}")?,
        }
        write!(f, ":{}", self.ports)
    }
}
