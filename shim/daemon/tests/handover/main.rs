//! The built program is handed over to its successor, under load, at either end; and nearly.

mod configured;
mod datagrams;
mod direct;
mod http;
mod many;
mod refused;
mod rounds;
mod unix;

use std::path::Path;

/// Returns the built program.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_throughline"))
}

/// Returns how many lanes a log says have gone down, but for those that the planner had too many of at the start.
fn lanes_lost(log: &str) -> usize {
    let lost =
        |line: &&str| line.contains("lane down") && !line.contains("replaced by another lane");
    log.lines().filter(lost).count()
}

/// Returns a number from the environment: how much more than in CI is wanted.
fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
