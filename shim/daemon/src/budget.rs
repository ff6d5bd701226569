//! What uplinks may carry in a month, and what they have carried.
//!
//! ```text
//! the node counts bytes ─▸ keeper (a task) ─▸ state (all budgets; pure) ─▸ account (which month it is, what is used; pure)
//!                             │    └─▸ the node allows less
//!                             └──▸ ledger (the file), in a thread of its own
//! ```
//!
//! The file is read before the node is built ([`Opened`]), and before a reload changes it ([`Budgets::prepare`]): an
//! uplink whose budget is spent is closed before the first dial.
//!
//! Months begin at midnight UTC: which clock a provider's month follows, and when it looks at its counters, nobody
//! can know, and the time zone of a host may change.

mod account;
mod keeper;
mod ledger;
mod period;
mod state;
mod unwritten;

pub(crate) use self::keeper::{Budgets, Change, Opened};
pub(crate) use self::ledger::directory;
