//! Starts a daemon; the only module of the demo that knows it.

use std::path::Path;

use crate::config::Config;
use crate::run::{self, Daemon};

/// Starts a daemon from a configuration text; `path` is where its file would be.
pub(super) async fn launch(path: &Path, text: &str) -> Result<Daemon, String> {
    let config = Config::parse(path, text).map_err(|error| error.to_string())?;
    run::start(config).await.map_err(|error| error.to_string())
}
