//! Ranges of TCP ports, as rules and ACL entries write them: `443`, `80-90` or `*`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An inclusive range of TCP ports; port 0 is never part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// A text is not a [`Ports`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a port range; write a number from 1 to 65535, a range like 8000-8080, or *")]
pub struct ParsePortsError(pub String);

impl Ports {
    /// Every port.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// Returns the ports from `first` to `last`, or `None` if that is not a range of ports.
    pub const fn range(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last { None } else { Some(Self { first, last }) }
    }

    /// Returns the first and the last port.
    pub const fn bounds(&self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// Returns whether `port` is in the range.
    pub const fn contains(&self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl FromStr for Ports {
    type Err = ParsePortsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<u16>().ok();
        number(first)
            .zip(number(last))
            .and_then(|(first, last)| Self::range(first, last))
            .ok_or_else(|| ParsePortsError(text.to_owned()))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("*"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_parse_from_a_number_a_range_or_a_star() {
        for (text, inside, outside) in
            [("443", vec![443], vec![442, 444]), ("80-90", vec![80, 85, 90], vec![79, 91, 0])]
        {
            let ports: Ports = text.parse().unwrap();
            assert_eq!(ports.to_string(), text);
            assert!(inside.iter().all(|p| ports.contains(*p)));
            assert!(!outside.iter().any(|p| ports.contains(*p)));
        }
        assert!("*".parse::<Ports>().unwrap().contains(65535));
    }

    #[test]
    fn an_invalid_port_range_is_rejected() {
        for text in ["", "0", "90-80", "65536", "http", "1-", "-1", "0-5"] {
            assert_eq!(text.parse::<Ports>(), Err(ParsePortsError(text.to_owned())));
        }
    }
}
