//! The state of a daemon for Prometheus: `GET /metrics` in the OpenMetrics text format.
//!
//! Everything is taken from the [`Report`](crate::report::Report) when it is asked for: nothing is counted here.
//! The labels are the names of peers and uplinks, of which there are as many as are configured.

mod families;
mod server;

pub use self::server::MetricsServer;

#[cfg(test)]
mod tests;
