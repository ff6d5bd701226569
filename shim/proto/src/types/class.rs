//! Whose addresses an uplink has.

/// Whose addresses an uplink has, and so how it fails and how it heals (DESIGN.md §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// The provider's (PA): gone with it.
    #[default]
    ProviderAssigned,
    /// The site's own (PI): BGP finds another way after a while.
    ProviderIndependent,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ProviderAssigned => "pa",
            Self::ProviderIndependent => "pi",
        })
    }
}
