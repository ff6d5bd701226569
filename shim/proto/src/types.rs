//! Ids, addresses, modes and outcomes: the vocabulary that all other modules share.

mod address_class;
mod datagram;
mod ed25519;
mod ids;
mod locator;
mod mode;
mod name;
mod outcome;
mod target;
mod text;
mod traffic_class;

pub use address_class::{AddressClass, ParseAddressClassError};
pub use datagram::Datagram;
pub use ids::{FlowId, LaneId, ParsePeerIdError, PeerId, SessionId, Side};
pub use locator::Locator;
pub use mode::{Mode, ParseModeError};
pub use name::PeerName;
pub use outcome::{FailureCode, OpenFailure};
pub use target::{Host, MAX_NAME, ParseTargetError, Target};
pub(crate) use text::is_printable;
pub use text::printable;
pub use traffic_class::{Ecn, TrafficClass};
