//! What is asked of an examination.

use std::time::Duration;

/// What to examine.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The only peer to examine; without it every one.
    pub peer: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
}
