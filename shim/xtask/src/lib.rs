//! The checks of this repository that a compiler does not make, as a library so that they are
//! themselves tested. CONTRIBUTING.md lists the commands; `.ci/run` and `cargo test` call them.

pub mod api;
pub mod circles;
pub mod error;
pub mod files;
pub mod layers;
pub mod links;
pub mod sizes;
pub mod words;
pub mod workspace;
