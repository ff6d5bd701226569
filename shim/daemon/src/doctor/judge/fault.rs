//! What is wrong with a path: one cause, and what to do.

use crate::catalogue::Code;

/// A fault of a path.
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) cause: String,
    pub(super) cure: String,
}

impl Fault {
    pub(super) fn new(code: Code, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { code, cause: cause.into(), cure: cure.into() }
    }
}
