//! How far a failure domain is trusted.

/// How far a failure domain is trusted, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldState {
    /// Fully.
    #[default]
    Normal,
    /// Its hold has passed: new and thin flows use it again, bulk flows wait as long again
    /// (RFC 4427 §4.5).
    WaitToRestore,
    /// It is down, or was until recently: no flow uses it that has another lane.
    HeldDown,
}
