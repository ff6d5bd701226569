//! How a flow uses the lanes of its session.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How a flow uses the lanes of its session (DESIGN.md §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// A thin flow on two disjoint lanes, so that no failure is noticed; a bulk flow on one lane,
    /// hedged, which it leaves where another gives it much more.
    #[default]
    Auto,
    /// As [`Auto`](Self::Auto), but a bulk flow that fills its lane is sent over the sum of the lanes.
    AutoBond,
    /// One lane at a time, hedged.
    Single,
    /// One flow over the sum of the lanes.
    Bond,
    /// Every byte on two disjoint lanes.
    Redundant,
}

/// A text that names no [`Mode`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a mode; use auto, auto+bond, single, bond or redundant")]
pub struct ParseModeError(pub String);

impl FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "auto+bond" => Ok(Self::AutoBond),
            "single" => Ok(Self::Single),
            "bond" => Ok(Self::Bond),
            "redundant" => Ok(Self::Redundant),
            other => Err(ParseModeError(other.to_owned())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::AutoBond => "auto+bond",
            Self::Single => "single",
            Self::Bond => "bond",
            Self::Redundant => "redundant",
        })
    }
}
