//! What the views show: the script, the flows and the time.

use super::flow::{Clock, Flows};
use super::script::Script;

/// A run of the demo as every view reads it.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) title: String,
    pub(super) script: Script,
    pub(super) flows: Flows,
    pub(super) clock: Clock,
    /// The rate of an ISP in bit/s, drawn as a full bar.
    pub(super) rate: u64,
}
