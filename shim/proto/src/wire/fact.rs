//! Facts: versioned statements of what is the case.
//!
//! A fact may be repeated on any lane at any time. A receiver that merges facts in any order, and
//! any number of times, always arrives at the same state.

mod flow_state;
mod lane;
mod locators;
mod open;

pub use flow_state::{FlowState, MAX_RANGES, ResetAt};
pub use lane::{LaneHealth, LaneUse, Suspicion};
pub use locators::{Locators, MAX_LOCATORS};
pub use open::{Open, Outcome};
