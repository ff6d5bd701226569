//! The field: what applications get on radio links, beside other people's traffic, over long and
//! lossy links and through outages; each beside plain TCP and MPTCP in the same run.
//!
//! # Model
//!
//! A [`Which`] names a table. Each is a list of cells, most of them a [`Trial`](crate::lab::trial): the
//! systems take turns on the same links, so that a machine that is slow for a while is slow for all.
//! Of several runs there are medians. Under a table stand its bars: what is wanted, and whether it was
//! met.
//!
//! A table takes some minutes and stands alone.

mod bar;
mod bonds;
mod cell;
mod long_lossy;
mod messages;
mod options;
mod outage;
mod radio;
mod shares;
mod table;
mod troubles;
mod turns_bad;

use crate::support::Outcome;

pub use options::{Options, Which};
pub use table::Table;

/// Makes the tables that are asked for, one after the other. Call
/// [`enter`](crate::lab::enter::enter) first.
///
/// # Errors
/// When an option makes no sense. A run that cannot be made is told in its row.
pub async fn make(options: &Options) -> Outcome<Vec<Table>> {
    let mut tables = Vec::new();
    for which in options.which() {
        eprintln!("{which}:");
        let table = match which {
            Which::Radio => radio::make(options).await?,
            Which::Shares => shares::make(options).await?,
            Which::LongLossy => long_lossy::make(options).await?,
            Which::Messages => messages::make(options).await?,
            Which::Bonds => bonds::make(options).await?,
            Which::TurnsBad => turns_bad::make(options).await?,
            Which::Outage => outage::make(options).await?,
            Which::Troubles => troubles::make(options).await?,
        };
        println!("{table}");
        tables.push(table);
    }
    Ok(tables)
}
