//! Who assigned an uplink's addresses.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Who assigned an uplink's addresses, which decides how the uplink fails and recovers
/// (DESIGN.md §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Provider-assigned (PA): reachable over this provider only.
    #[default]
    ProviderAssigned,
    /// Provider-independent (PI): the site's own, for which BGP finds another route after a while.
    ProviderIndependent,
}

/// A text that names no [`AddressClass`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an address class; use pa (provider-assigned) or pi (provider-independent)")]
pub struct ParseAddressClassError(pub String);

impl FromStr for AddressClass {
    type Err = ParseAddressClassError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pa" => Ok(Self::ProviderAssigned),
            "pi" => Ok(Self::ProviderIndependent),
            other => Err(ParseAddressClassError(other.to_owned())),
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProviderAssigned => "pa",
            Self::ProviderIndependent => "pi",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_survive_formatting_and_parsing() {
        for class in [AddressClass::ProviderAssigned, AddressClass::ProviderIndependent] {
            assert_eq!(class.to_string().parse(), Ok(class));
        }
        assert_eq!("PA".parse::<AddressClass>(), Err(ParseAddressClassError("PA".into())));
    }
}
