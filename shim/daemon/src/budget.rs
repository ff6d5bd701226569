//! What uplinks may carry in a month, and what they have carried.
//!
//! ```text
//! the node counts bytes ─▸ keeper (a task) ─▸ account (which month it is, what is used; pure) ─▸ the node allows less
//!                                     └──▸ ledger (the file)
//! ```
//!
//! Months begin at midnight UTC: which clock a provider's month follows, and when it looks at its counters, nobody
//! can know, and the time zone of a host may change.

mod account;
mod keeper;
mod ledger;
mod period;

pub(crate) use self::keeper::Budgets;
pub(crate) use self::ledger::directory;
