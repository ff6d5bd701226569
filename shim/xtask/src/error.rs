//! What stops a task before it has a verdict.

use std::path::PathBuf;

/// Why a task could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A source file is not Rust.
    #[error("cannot parse {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: syn::Error,
    },
    /// A `mod name;` has no file.
    #[error("{}: no file for `mod {name};`", path.display())]
    MissingModule {
        /// The file that declares the module.
        path: PathBuf,
        /// The module's name.
        name: String,
    },
    /// A program could not be started.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed:\n{stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// What the program wrote to its error output.
        stderr: String,
    },
    /// The output of `cargo metadata` or rustdoc is not JSON.
    #[error("cannot understand the output of cargo metadata or rustdoc: {0}")]
    Json(#[from] serde_json::Error),
    /// This rustdoc is not of the version that is understood.
    #[error(
        "rustdoc writes version {found} of its JSON, and public-api reads {known}: run this with \
         Rust 1.95, or update `public-api` and `FORMAT` in shim/xtask/src/api.rs"
    )]
    RustdocFormat {
        /// The version that this rustdoc writes.
        found: u64,
        /// The one that is understood.
        known: u64,
    },
    /// The output of rustdoc is not understood.
    #[error("cannot understand the output of rustdoc")]
    Rustdoc(#[from] Box<public_api::Error>),
}
