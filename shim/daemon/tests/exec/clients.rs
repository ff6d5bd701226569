//! Clients in Go and Java, built from source where there are compilers for them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says that what a package would mend is to be there (`.ci/run`).
const NO_SKIP: &str = "THROUGHLINE_NO_SKIP";

/// Says why these compilers are not, all the same: together they need more than a gigabyte of the disk.
const NO_COMPILERS: &str = "THROUGHLINE_NO_GO_AND_JAVA";

/// Returns whether a program is missing; says so.
///
/// # Panics
/// With `THROUGHLINE_NO_SKIP=1`, unless `THROUGHLINE_NO_GO_AND_JAVA` says why.
fn is_missing(test: &str, program: &str, argument: &str, package: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return false;
    }
    let reason = std::env::var(NO_COMPILERS).ok();
    let must = reason.is_none() && std::env::var_os(NO_SKIP).is_some_and(|value| value == "1");
    assert!(!must, "{test}: there is no {program} (apt-get install {package}), and {NO_SKIP}=1");
    let reason = reason.map(|reason| format!("; {reason}")).unwrap_or_default();
    // Not through libtest, which hides the output of tests that pass.
    let line =
        format!("SKIPPED: {test}: there is no {program} (apt-get install {package}){reason}");
    let _ = writeln!(std::io::stderr(), "{line}");
    true
}

fn build(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Builds the client in Go; returns what runs it.
pub(crate) fn go_client(test: &str, directory: &Path) -> Option<Vec<String>> {
    if is_missing(test, "go", "version", "golang-go") {
        return None;
    }
    let (source, program) = (directory.join("client.go"), directory.join("client-go"));
    std::fs::write(&source, include_str!("clients/client.go")).unwrap();
    let mut go = Command::new("go");
    go.args(["build", "-o"]).args([&program, &source]).current_dir(directory);
    // Without cgo names are resolved in Go itself.
    go.env("CGO_ENABLED", "0").env("GOCACHE", directory.join("cache")).env("GO111MODULE", "off");
    build(&mut go);
    Some(vec![program.to_str().unwrap().to_owned()])
}

/// Builds the client in Java; returns what runs it.
pub(crate) fn java_client(test: &str, directory: &Path) -> Option<Vec<String>> {
    if is_missing(test, "javac", "-version", "default-jdk-headless") {
        return None;
    }
    let source = directory.join("Client.java");
    std::fs::write(&source, include_str!("clients/Client.java")).unwrap();
    build(Command::new("javac").arg("-d").args([directory, &source]));
    let path = directory.to_str().unwrap();
    Some(["java", "-XX:TieredStopAtLevel=1", "-cp", path, "Client"].map(str::to_owned).to_vec())
}
