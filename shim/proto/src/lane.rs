//! What happens to a lane that falls silent, from the first late acknowledgement to its end.
//!
//! [`LaneMonitor`] is the state machine; its documentation holds the model. One monitor runs for
//! each lane at each end, in the daemon and in the simulation alike. The other modules are its
//! parts: each decides one question and knows nothing of the others.
//!
//! | question | module |
//! |---|---|
//! | Are acknowledgements overdue? | [`SuspicionDetector`] |
//! | How does this path pause? | [`PauseHistogram`] |
//! | How late do we run ourselves? | `scheduling` |
//! | Is only our direction dead? | `one_way` |
//! | Does the lane lose too much for bulk? | `loss` |
//! | Does its path lose packets now and then? | `random_loss` |
//! | Was a suspicion a false alarm? | `spurious` |
//! | When is the next probe due? | `probe` |
//! | What is worth an operator's attention? | `report` |

mod action;
mod condition;
mod episode;
mod loss;
mod monitor;
mod narrow;
mod observation;
mod one_way;
mod pauses;
mod probe;
mod random_loss;
mod report;
mod rules;
mod scheduling;
mod spurious;
mod suspicion;

pub use action::{Action, CloseReason, LaneAction};
pub use condition::{Condition, LaneState};
pub use monitor::{ADVERTISEMENT_TTL, LaneMonitor};
pub use observation::{AddressListing, Observation, Overtaken, SensorSnapshot};
pub use pauses::{PauseHistogram, Pauses};
pub use report::{FailedDirection, Report, SuspectedBy};
pub use suspicion::{Health, SuspicionDetector, SuspicionRule, Verdict};

/// How long the peer may delay an acknowledgement. It is asked for that with ACK_FREQUENCY
/// (draft-ietf-quic-ack-frequency); without it a peer may take 25 ms (RFC 9000 §18.2).
pub const MAX_ACK_DELAY: std::time::Duration = std::time::Duration::from_millis(5);
