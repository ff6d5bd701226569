//! `throughline keygen` and `throughline id`: identities and their public keys.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{fail, print};
use throughline::Identity;

/// Which identity.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The identity file; `keygen` never overwrites one
    pub file: PathBuf,
}

/// Creates an identity and prints its public key.
pub(super) fn generate(args: &KeyArgs) -> ExitCode {
    match Identity::create(&args.file) {
        Ok(identity) => print(&identity.peer_id()),
        Err(error) => fail(error),
    }
}

/// Prints the public key of an identity.
pub(super) fn print_public_key(args: &KeyArgs) -> ExitCode {
    match Identity::load(&args.file) {
        Ok(identity) => print(&identity.peer_id()),
        Err(error) => fail(error),
    }
}
