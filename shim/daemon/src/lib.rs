//! The Throughline daemon: the proxy, its configuration, the admin socket, the command line, the demo.
//!
//! ```text
//! cli ─▸ doctor, demo ─▸ run ─▸ reload ─▸ config ─▸ proxy ─▸ the library
//!                 └───▸ hook ─▸ web ─▸ admin, metrics ─▸ report ─▸ the library
//!                         └───▸ handover ─▸ proxy
//!                         └───▸ budget ─▸ report, config, proxy
//! cli ─▸ exec ─▸ proxy
//! cli ─▸ join ─▸ run, admin, the library
//! cli ─▸ top ─▸ report
//! cli ─▸ qlog ─▸ admin
//! cli ─▸ journal
//! ```

pub mod admin;
mod budget;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod demo;
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod exec;
pub mod handover;
mod hook;
mod http_listener;
pub mod init;
pub mod join;
mod journal;
mod log_filter;
pub mod metrics;
mod places;
pub mod proxy;
mod qlog;
pub mod reload;
pub mod report;
pub mod run;
mod secret;
mod sentence;
mod service;
mod shell;
mod top;
pub mod unix_socket;
pub mod web;
