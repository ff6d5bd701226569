//! Reads a configuration: the structure by serde, then the meaning, table by table.

use std::path::Path;

use super::error::ConfigError;
use super::raw::RawConfig;
use super::source::{Source, in_order, located};
use super::{Admin, Config, IdentitySource};
use super::{general, ingresses, peers, rules, uplinks};
use crate::proxy::rules::Policy;

impl Config {
    /// Reads the configuration file `path`.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is invalid.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Self::parse(path, &text)
    }

    /// Parses a configuration from `text`.
    ///
    /// Errors call the text `path`, and paths in it are relative to the directory of `path`.
    ///
    /// # Errors
    /// Something in the text is invalid.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        let source = Source { file: path.as_ref(), text };
        let raw: RawConfig =
            toml::from_str(text).map_err(|error| source.structure_error(&error))?;
        let identity = raw.identity.as_ref().ok_or_else(|| {
            source.error_in_file(
                "There is no `identity`; create one with `throughline keygen FILE` and write \
                 identity = \"FILE\".",
            )
        })?;
        let mut config = Self::empty(IdentitySource::File(source.path(identity)));
        config.peers = peers::parse(&source, &raw.peers)?;
        config.own_key = peers::own_key_errors(&source, &raw.peers, &config.peers);
        let names = peers::by_name(&config.peers);
        let (ingresses, ingress_defaults) = ingresses::parse(&source, &raw.ingress, &names)?;
        config.ingresses = ingresses;
        let rules = rules::parse(&source, &raw.rule, &names, &ingress_names(&raw))?;
        config.listen = general::listen(&source, raw.listen.as_ref())?;
        config.limits = general::limits(&source, raw.linger.as_ref(), raw.memory.as_ref())?;
        config.uplinks = uplinks::parse(&source, &raw.uplinks)?;
        config.manage_routes = raw.manage_routes;
        let peer_down = raw.peer_down.as_ref().map(|action| source.value(located(action)));
        let default = general::default_via(&source, raw.default.as_ref())?;
        config.policy = Policy::new(rules, ingress_defaults, default)
            .with_peer_down(peer_down.transpose()?.unwrap_or_default());
        config.admin =
            raw.admin.as_ref().map_or(Admin::Default, |path| Admin::At(source.path(path)));
        Ok(config)
    }
}

/// Returns the names of the ingresses in the order of the file.
fn ingress_names(raw: &RawConfig) -> Vec<&str> {
    in_order(&raw.ingress).map(|(name, _)| name.get_ref().as_str()).collect()
}
