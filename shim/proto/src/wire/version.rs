//! Which version of the protocol two ends speak: the highest that both do (docs/PROTOCOL.md §3).
//!
//! An end speaks every version from its lowest to its highest, so that peers may be updated one after the
//! other. The dialing end offers its highest; the accepting end answers with the highest of its own that is
//! not above that, or says that there is none.

use thiserror::Error;

/// The versions that an end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    lowest: u64,
    highest: u64,
}

/// The versions of this implementation.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: super::VERSION };

/// The first version that has datagram flows: kinds 5 to 8 of targets, kinds 3 and 4 of datagrams.
const FIRST_WITH_DATAGRAMS: u64 = 2;

/// The first version whose datagrams have a traffic class: kinds 6 and 7 of datagrams, flag 4 of long ones.
const FIRST_WITH_CLASSES: u64 = 3;

/// Returns whether lanes of this version may carry datagram flows. An older end would take their targets for a
/// violation.
pub const fn has_datagram_flows(version: u64) -> bool {
    version >= FIRST_WITH_DATAGRAMS
}

/// Returns whether datagrams on lanes of this version may have a traffic class. An older end would not know their kinds,
/// and take their flag for a violation.
pub const fn has_traffic_classes(version: u64) -> bool {
    version >= FIRST_WITH_CLASSES
}

/// Two ends have no version in common. Both log this text, so that it is in neither's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoCommonVersion {
    /// The dialing end is too old.
    #[error(
        "no common protocol version: version {lowest} is the lowest of the accepting end, and {offered} the \
         highest of the dialing end; update the dialing end"
    )]
    DialerTooOld {
        /// The highest version of the dialing end.
        offered: u64,
        /// The lowest version of the accepting end.
        lowest: u64,
    },
    /// The accepting end answered with a version that the dialing end does not speak.
    #[error(
        "no common protocol version: the accepting end answered with version {answered}, and the dialing end \
         speaks {lowest} to {highest}; update the older one"
    )]
    Answered {
        /// The version of the answer.
        answered: u64,
        /// The lowest version of the dialing end.
        lowest: u64,
        /// The highest version of the dialing end, which it offered.
        highest: u64,
    },
}

impl Versions {
    /// Returns the version to offer when dialing.
    pub const fn offer(self) -> u64 {
        self.highest
    }

    /// Returns the version with which to answer an offer.
    ///
    /// # Errors
    /// The dialing end speaks none of ours.
    pub fn answer(self, offered: u64) -> Result<u64, NoCommonVersion> {
        match offered.min(self.highest) {
            version if version >= self.lowest => Ok(version),
            _ => Err(NoCommonVersion::DialerTooOld { offered, lowest: self.lowest }),
        }
    }

    /// Returns the version of an answer, if it is one that was offered.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn accept(self, answered: u64) -> Result<u64, NoCommonVersion> {
        let Self { lowest, highest } = self;
        match (lowest..=highest).contains(&answered) {
            true => Ok(answered),
            false => Err(NoCommonVersion::Answered { answered, lowest, highest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a dialing end and an accepting one agree on.
    fn agree(dialing: (u64, u64), accepting: (u64, u64)) -> Result<u64, NoCommonVersion> {
        let versions = |(lowest, highest)| Versions { lowest, highest };
        let answered = versions(accepting).answer(versions(dialing).offer())?;
        versions(dialing).accept(answered)
    }

    #[test]
    fn two_ends_speak_the_highest_version_that_both_do_whoever_is_the_newer() {
        assert_eq!(agree((1, 1), (1, 1)), Ok(1));
        assert_eq!(agree((1, 1), (1, 3)), Ok(1));
        assert_eq!(agree((1, 3), (1, 1)), Ok(1));
        assert_eq!(agree((2, 3), (1, 2)), Ok(2));
        assert_eq!(agree((1, 2), (2, 3)), Ok(2));
    }

    #[test]
    fn where_there_is_no_common_version_the_older_end_is_named() {
        let refused = agree((1, 1), (2, 3)).unwrap_err();
        assert_eq!(refused, NoCommonVersion::DialerTooOld { offered: 1, lowest: 2 });
        assert!(refused.to_string().contains("version 2 is the lowest of the accepting end"));
        // The accepting end cannot know that its highest is too low: the dialing end says so.
        let refused = agree((2, 3), (1, 1)).unwrap_err();
        assert_eq!(refused, NoCommonVersion::Answered { answered: 1, lowest: 2, highest: 3 });
        assert!(refused.to_string().contains("answered with version 1"));
        // Nor is a higher one than was offered accepted.
        Versions { lowest: 1, highest: 1 }.accept(2).unwrap_err();
    }

    #[test]
    fn this_implementation_offers_the_version_of_the_document() {
        assert_eq!(VERSIONS.offer(), crate::wire::VERSION);
        assert_eq!(VERSIONS.answer(crate::wire::VERSION + 76), Ok(crate::wire::VERSION));
        VERSIONS.answer(0).unwrap_err();
    }
}
