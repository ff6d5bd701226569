//! Runs sessions over QUIC: everything between the public API and the sockets.
//!
//! Each layer uses only those below it:
//!
//! | layer | what it is |
//! |---|---|
//! | [`accept`], [`upkeep`] | accepts lanes; keeps a session with each peer that can be dialed |
//! | [`restart`] | tells peers that this process is in the place of another one |
//! | [`probe`] | asks a path for what a dial would meet, and dials nothing |
//! | [`sessions`] | which sessions there are; who may attach to which |
//! | [`driver`] | the task of a session: its timers, its lanes' monitors, its dialer |
//! | [`dial`] | sets up, migrates and closes lanes, as the planner decides |
//! | [`lane`] | the tasks of one QUIC connection |
//! | [`session`] | a session's state under its lock, and what is kept of each lane |
//! | [`quic`] | sockets, TLS, QUIC's settings, close codes |
//! | [`supervise`] | begins a task of the node anew when it panics |
//! | [`context`], [`peers`], [`drains`], [`allowances`], [`locators`], [`qlog`] | what the parts of a node share; knows nothing above it |

pub(crate) mod accept;
pub(crate) mod allowances;
pub(crate) mod context;
pub(crate) mod dial;
pub(crate) mod drains;
pub(crate) mod driver;
pub(crate) mod lane;
pub(crate) mod locators;
pub(crate) mod peers;
pub(crate) mod probe;
#[cfg(feature = "qlog")]
pub(crate) mod qlog;
#[cfg(not(feature = "qlog"))]
#[path = "engine/qlog_absent.rs"]
pub(crate) mod qlog;
pub(crate) mod quic;
pub(crate) mod restart;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod supervise;
pub(crate) mod totals;
pub(crate) mod upkeep;
