//! Fuzz targets: plain functions of bytes that panic where something is wrong.
//!
//! The tests run each for a moment (`THROUGHLINE_FUZZ_MS` milliseconds each, 400 unless set), with
//! inputs that a seeded generator makes out of valid ones, so that they need neither nightly nor a
//! fuzzer. For hours, on every core that is given to it:
//!
//! ```console
//! $ cargo xtask fuzz control 3600
//! ```
//!
//! What makes a target panic is written to a file, which the same command replays. Since a target
//! is a function of bytes, libFuzzer or AFL can drive it as well.

pub mod mutate;
pub mod run;
pub mod targets;
