//! The interop suite: how sessions survive, measured as an application sees it.
//!
//! [`throughline_fixture`] puts two nodes, or two daemons, on an emulated internet of two ISPs;
//! [`measure`] runs a bulk flow or an interactive one between them and says how long it stood still;
//! [`saturated`] runs bulk both ways and says how fast, and how much came twice; [`soak`] is for hours; [`lab`] is an internet
//! of ISPs in network namespaces, for real daemons and programs, [`report`] compares what systems do in
//! it when an ISP fails, and [`field`] what they get on links as they are in the field; [`support`] is what every test file needs, [`process`] what those need that start
//! programs, [`skip`] what those need that may not run.

pub mod field;
pub mod lab;
pub mod measure;
pub mod report;
pub mod saturated;
pub mod skip;
pub mod soak;
pub mod support;

pub use throughline_fixture::process;
