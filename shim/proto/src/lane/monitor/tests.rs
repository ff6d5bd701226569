//! The monitor's table, cell by cell, and what holds in all of them.

mod bench;
mod given;
mod guess;
mod input;
mod invariants;
mod rules;
mod table;
