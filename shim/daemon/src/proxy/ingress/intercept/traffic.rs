//! Whose connections an intercepting ingress takes, and to where: a traffic selector.
//!
//! Its texts become part of nftables' rules, so each has a type that admits nothing which could end a word there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use crate::proxy::rules::Ports;

/// Longest name of an interface, in bytes (`IFNAMSIZ` less its final zero).
const MAX_INTERFACE: usize = 15;

/// Longest name of a user, in bytes, as useradd(8) has it.
const MAX_USER: usize = 32;

/// What is intercepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Whose connections are intercepted, and to where. A list of whom that is empty takes nobody, an empty one of
/// where takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficSelector {
    /// What of them.
    pub protocol: Protocol,
    /// This host's own programs, by the user they run as.
    pub users: Vec<User>,
    /// This host's own programs, by their control group.
    pub cgroups: Vec<Cgroup>,
    /// Other hosts, by the interface that their packets come in by.
    pub interfaces: Vec<Interface>,
    /// The destinations.
    pub to: Vec<IpNet>,
    /// The ports of the destinations.
    pub ports: Vec<Ports>,
    /// Destinations that are left alone all the same.
    pub except: Vec<IpNet>,
    /// Whether the DNS queries of whoever is selected are answered, for rules by name.
    pub dns: bool,
}

/// A user whose programs are intercepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// Everybody but the daemon's own user; that one too if it is root, and it is about TCP.
    Every,
    /// The user of this name.
    Name(String),
    /// The user of this number.
    Id(u32),
}

/// A control group of version 2, and those below it: its path in that file system, without a slash in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(String);

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

/// A text names nobody whose connections could be intercepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseTrafficError {
    /// It is no user.
    #[error("`{0}` is not a user; write a name, a number, or \"*\" for every user")]
    User(String),
    /// It is no control group.
    #[error(
        "`{0}` is not a control group; write its path below the mount, as system.slice/backup.service"
    )]
    Cgroup(String),
    /// It is no interface.
    #[error("`{0}` is not the name of an interface; `ip link` lists them")]
    Interface(String),
}

impl TrafficSelector {
    /// Returns whether it takes nobody's connections.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.cgroups.is_empty() && self.interfaces.is_empty()
    }

    /// Returns whether connections to this address and port are taken, whoever makes them.
    pub fn leads_to(&self, ip: IpAddr, port: u16) -> bool {
        let in_any = |list: &[IpNet]| list.iter().any(|prefix| prefix.contains(&ip));
        (self.to.is_empty() || in_any(&self.to))
            && (self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(port)))
            && !in_any(&self.except)
    }
}

impl Cgroup {
    /// Returns its path below the mount.
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl Interface {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

fn is_word(text: &str, max: usize, also: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    (1..=max).contains(&text.len()) && text.chars().all(fits)
}

impl FromStr for User {
    type Err = ParseTrafficError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Every);
        }
        // The highest number stands for no user (chown(2)).
        match text.parse() {
            Ok(id) if id < u32::MAX => Ok(Self::Id(id)),
            Err(_) if is_word(text, MAX_USER, "_.-") && !text.starts_with('-') => {
                Ok(Self::Name(text.to_owned()))
            }
            _ => Err(ParseTrafficError::User(text.to_owned())),
        }
    }
}

impl FromStr for Cgroup {
    type Err = ParseTrafficError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        /// The longest name of a file.
        const MAX_PART: usize = 255;
        let path = text.trim_matches('/');
        // systemd escapes with backslashes.
        let is_part =
            |part: &str| is_word(part, MAX_PART, "_.:@-\\") && ![".", ".."].contains(&part);
        match path.split('/').all(is_part) {
            true => Ok(Self(path.to_owned())),
            false => Err(ParseTrafficError::Cgroup(text.to_owned())),
        }
    }
}

impl FromStr for Interface {
    type Err = ParseTrafficError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_word(text, MAX_INTERFACE, "_.:@-") {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseTrafficError::Interface(text.to_owned())),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every user"),
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "user {id}"),
        }
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut of: Vec<String> = Vec::new();
        of.extend(self.users.iter().map(|user| format!("programs of {user}")));
        of.extend(self.cgroups.iter().map(|group| format!("programs in {}", group.path())));
        of.extend(self.interfaces.iter().map(|link| format!("hosts behind {}", link.name())));
        write!(f, "{}", of.join(", "))?;
        let lists = [
            (" to ", self.to.iter().map(ToString::to_string).collect::<Vec<_>>()),
            (" at port ", self.ports.iter().map(ToString::to_string).collect()),
            (" except to ", self.except.iter().map(ToString::to_string).collect()),
        ];
        lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .try_for_each(|(before, list)| write!(f, "{before}{}", list.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_groups_and_interfaces_are_words_that_end_no_rule() {
        for (text, user) in [
            ("*", User::Every),
            ("1000", User::Id(1000)),
            ("www-data", User::Name("www-data".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(user));
        }
        for text in ["", "a b", "a\"", "a;b", "a\n", "-1", "4294967295", "4294967296x!", "{"] {
            assert!(text.parse::<User>().is_err(), "{text:?}");
            assert!(text.parse::<Interface>().is_err() || ["-1", "4294967295"].contains(&text));
        }
        assert_eq!("/system.slice/a@b.service".parse::<Cgroup>().unwrap().path().len(), 24);
        for text in ["", "/", "a//b", "a/../b", "a b", "a\"", "."] {
            assert!(text.parse::<Cgroup>().is_err(), "{text:?}");
        }
        assert!("sixteen-bytes-xx".parse::<Interface>().is_err());
        assert_eq!("br-lan.10".parse::<Interface>().unwrap().name(), "br-lan.10");
    }
}
