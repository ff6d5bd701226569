//! The packages of this workspace, as `cargo metadata` lists them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::Error;

/// A package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// The package's name in its `Cargo.toml`.
    pub name: String,
    /// Root files of the package's library and programs; tests, benches and examples are left out.
    pub roots: Vec<PathBuf>,
    /// Names of the packages it depends on at run time or build time, optional ones included.
    pub dependencies: Vec<String>,
    /// Names of the packages that only its tests depend on.
    pub dev_dependencies: Vec<String>,
}

/// Returns the root folder of the workspace that the current folder is in.
pub fn root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let is_root = |folder: &&Path| folder.join("Cargo.lock").is_file();
    here.ancestors().find(is_root).unwrap_or(&here).to_owned()
}

/// Runs cargo in `root` and returns what it printed.
pub fn cargo(root: &Path, arguments: &[&str]) -> Result<String, Error> {
    output(Command::new(program()).args(arguments).current_dir(root), arguments)
}

/// Runs cargo in `root` with `rustdoc` in rustdoc's place.
pub fn cargo_with_rustdoc(root: &Path, arguments: &[&str], rustdoc: &Path) -> Result<(), Error> {
    let mut cargo = Command::new(program());
    output(cargo.args(arguments).current_dir(root).env("RUSTDOC", rustdoc), arguments).map(drop)
}

fn output(cargo: &mut Command, arguments: &[&str]) -> Result<String, Error> {
    let command = format!("cargo {}", arguments.join(" "));
    let output =
        cargo.output().map_err(|source| Error::Start { command: command.clone(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Failed { command, stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs cargo in `root` with our own input and output, and returns whether it succeeded.
pub fn run_cargo(root: &Path, arguments: &[&str]) -> Result<bool, Error> {
    let status = Command::new(program()).args(arguments).current_dir(root).status();
    let command = format!("cargo {}", arguments.join(" "));
    Ok(status.map_err(|source| Error::Start { command, source })?.success())
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the packages of the workspace at `root`.
pub fn packages(root: &Path) -> Result<Vec<Package>, Error> {
    let text = cargo(root, &["metadata", "--no-deps", "--offline", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    Ok(list(&metadata["packages"]).iter().map(package).collect())
}

fn package(value: &Value) -> Package {
    let is_program = |target: &&Value| {
        let kinds = list(&target["kind"]);
        kinds.iter().any(|kind| matches!(kind.as_str(), Some("lib" | "bin" | "proc-macro")))
    };
    let roots = list(&value["targets"]).iter().filter(is_program);
    let of_kind = |dev: bool| {
        let dependencies = list(&value["dependencies"]).iter();
        let dependencies = dependencies.filter(|each| (each["kind"] == "dev") == dev);
        dependencies.map(|each| text(&each["name"])).collect()
    };
    Package {
        name: text(&value["name"]),
        roots: roots.map(|target| PathBuf::from(text(&target["src_path"]))).collect(),
        dependencies: of_kind(false),
        dev_dependencies: of_kind(true),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
