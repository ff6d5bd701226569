//! What is skipped because it is not installed.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use interop_tests::process;

/// Whether a program is missing; says so, and how to get it.
pub(crate) fn skipped(test: &str, programs: &[&str], packages: &str) -> bool {
    let missing = programs.iter().filter(|name| process::installed(name).is_none());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return false;
    }
    say(test, &format!("{missing:?} not installed (apt-get install {packages})"));
    true
}

/// A Python that has this module; Debian's first, as Debian's modules are its own.
pub(crate) fn python(test: &str, module: &str, package: &str) -> Option<PathBuf> {
    let candidates = [Some(PathBuf::from("/usr/bin/python3")), process::installed("python3")];
    let has_it = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = candidates.into_iter().flatten().find(has_it);
    if found.is_none() {
        say(test, &format!("no Python with `{module}` (apt-get install {package})"));
    }
    found
}

/// Says that a test, or a part of one, is not run; also where the output of tests that pass is not
/// shown.
pub(crate) fn say(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}
