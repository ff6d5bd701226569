//! What cannot be tested here is said, and where a package would mend it CI does not take it for a
//! pass.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process;

/// Set to `1` in CI, which installs what tests need.
const NO_SKIP: &str = "THROUGHLINE_NO_SKIP";

/// How such lines begin.
pub const SKIPPED: &str = "SKIPPED: ";

/// Says that a test, or a part of one, is not run, as this machine cannot: past libtest, which
/// shows nothing of tests that pass.
pub fn cannot(test: &str, why: impl Display) {
    say(&format!("{SKIPPED}{test}: {why}"));
}

/// The same of what a package would mend.
///
/// # Panics
/// With `THROUGHLINE_NO_SKIP=1`.
pub fn not_installed(test: &str, why: impl Display) {
    let forbidden = std::env::var_os(NO_SKIP).is_some_and(|v| v == "1");
    assert!(!forbidden, "{test}: {why}, and {NO_SKIP}=1");
    cannot(test, why);
}

/// Returns whether a program is missing; says so, and how to get it.
pub fn skipped(test: &str, programs: &[&str], packages: &str) -> bool {
    let missing = programs.iter().filter(|name| process::installed(name).is_none());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return false;
    }
    not_installed(test, format!("{missing:?} not installed (apt-get install {packages})"));
    true
}

/// Returns where a program is installed that takes so much of the disk that CI may do without; says so where it is
/// not. The environment variable `unless` holds why it was not installed.
///
/// # Panics
/// With `THROUGHLINE_NO_SKIP=1`, unless that variable is set.
pub fn large(test: &str, program: &str, package: &str, unless: &str) -> Option<PathBuf> {
    let found = process::installed(program);
    if found.is_none() {
        let missing = format!("`{program}` is not installed (apt-get install {package})");
        match std::env::var(unless) {
            Ok(reason) => cannot(test, format!("{missing}; {reason}")),
            Err(_) => not_installed(test, missing),
        }
    }
    found
}

/// Returns a Python that has this module; Debian's first, as Debian's modules are its own.
pub fn python(test: &str, module: &str, package: &str) -> Option<PathBuf> {
    let candidates = [Some(PathBuf::from("/usr/bin/python3")), process::installed("python3")];
    let has_it = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = candidates.into_iter().flatten().find(has_it);
    if found.is_none() {
        not_installed(test, format!("no Python with `{module}` (apt-get install {package})"));
    }
    found
}

/// A line on stderr that libtest does not catch.
pub(crate) fn say(line: &str) {
    // Without a stderr nobody reads it.
    let _ = writeln!(std::io::stderr(), "{line}");
}
