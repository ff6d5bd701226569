//! What is asked of an examination.

use std::time::Duration;

/// What to examine.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The only peer to examine; without it every one.
    pub peer: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// After which silences it is looked whether the peer's packets still come in; none, where that is not asked.
    pub silences: Vec<Duration>,
    /// How many bytes a burst has by which rate limits are looked for; none, where that is not asked.
    pub burst: Option<u64>,
}
