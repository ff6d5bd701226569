//! `throughline top`: the uplinks, lanes and flows of a daemon, as they change, in a terminal.
//!
//! ```text
//! feed (asks, again and again) ─▸ board (the rows, with rates; pure) ─▸ view (what is drawn)
//!                          keys ─▸ screen (what is selected, sorted, filtered; pure) ─▸ changes of uplinks
//! ```
//!
//! Uplinks and lanes are asked for twice a second, since a failure has to show within one. Flows may be thousands:
//! they are asked for more rarely, so that they take a small part of a core however many there are.

pub(crate) mod board;
mod columns;
pub(crate) mod feed;
pub(crate) mod screen;
pub(crate) mod view;
