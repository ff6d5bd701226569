//! Import circles between the files of a crate.
//!
//! The compiler forbids circles between crates, and allows them between the modules of one. This
//! check forbids those too: files that import one another can only be understood together.
//!
//! * File A imports file B where A names, in a `use` or by an inline path, something that B defines.
//! * Declaring a module (`mod child;`) is no import, and neither is a re-export (`pub use`): whoever
//!   names a re-exported item imports the file that defines it. A file that also uses by itself what
//!   it re-exports does import it.
//! * A glob imports the file it reads from.
//! * Methods are not seen: `impl Session` may be spread over files that all import the type.
//! * Code under `#[cfg(test)]` is left out, as are integration tests.

mod graph;
mod modules;
mod paths;
mod resolve;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::error::Error;
pub use graph::{Circle, Imports};
use modules::Crate;

/// Returns the circles of the crate whose root file is `root`, with file names relative to `base`.
pub fn of_crate(base: &Path, root: &Path) -> Result<Vec<Circle>, Error> {
    let read = Crate::read(root)?;
    let shorten = |file: &Path| file.strip_prefix(base).unwrap_or(file).to_owned();
    let mut imports = Imports::new();
    for (from, to, name) in resolve::imports(&read) {
        imports.entry((shorten(&from), shorten(&to))).or_default().insert(name);
    }
    Ok(graph::circles(&imports))
}
