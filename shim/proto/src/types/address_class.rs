//! Who assigned an uplink's addresses.

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

impl std::fmt::Display for AddressClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ProviderAssigned => "pa",
            Self::ProviderIndependent => "pi",
        })
    }
}
