//! The configuration file of a command that needs one.

use std::path::{Path, PathBuf};

use clap::Args;

/// Where dist/throughline.service has its configuration, and root's commands.
pub(super) const OF_SERVICE: &str = "/etc/throughline";

/// The configuration file, given either way: by itself or after `-c`.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct FileArgs {
    /// The configuration file; without it /etc/throughline/throughline.toml, for others than root
    /// ~/.config/throughline/throughline.toml where that is there
    #[arg(value_name = "FILE")]
    pub positional: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl FileArgs {
    /// Returns the file: the one that is named, else the default one.
    pub fn file(&self) -> PathBuf {
        or_default(self.config.as_ref().or(self.positional.as_ref()))
    }
}

/// Returns the configuration that is named, else the default one; without a home directory that of the present one.
pub(super) fn or_default(named: Option<&PathBuf>) -> PathBuf {
    named.cloned().or_else(default_file).unwrap_or_else(|| in_directory(Path::new(".")))
}

/// Returns the configuration that is read where no command says otherwise: this user's, or where that is not there the
/// service's, as its user and a container's have none; none without a home directory.
pub(super) fn default_file() -> Option<PathBuf> {
    let (own, service) = (in_directory(&default_directory()?), in_directory(Path::new(OF_SERVICE)));
    Some(if !own.exists() && service.exists() { service } else { own })
}

/// Returns the directory of this user's configuration.
pub(super) fn default_directory() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from(OF_SERVICE));
    }
    let from =
        |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = from("XDG_CONFIG_HOME").or_else(|| Some(from("HOME")?.join(".config")))?;
    Some(base.join("throughline"))
}

/// Returns where the configuration of a directory is.
pub(super) fn in_directory(directory: &Path) -> PathBuf {
    directory.join("throughline.toml")
}
