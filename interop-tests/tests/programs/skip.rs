//! What is not installed.

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
    println!("SKIPPED: {test}: {missing:?} not installed (apt-get install {packages})");
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
        println!("SKIPPED: {test}: no Python with `{module}` (apt-get install {package})");
    }
    found
}
