//! Reads a configuration: the structure by serde, then the meaning, table by table.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::raw::RawConfig;
use super::source::{Source, in_order, located};
use super::{Config, IdentitySource, Ingress};
use super::{general, ingresses, limits, peers, rules, structure, uplinks};
use crate::catalogue::Code;
use crate::proxy::rules::Policy;
use crate::secret;

impl Config {
    /// Reads the configuration file `path`.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is invalid.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let config = Self::parse(path, &text)?;
        let has_password = |i: &Ingress| i.kind.credentials().is_some();
        if config.ingresses.iter().any(has_password) {
            check_private(path)?;
        }
        if let Some(program) = config.on_event.first()
            && !Path::new(program).is_file()
        {
            let source = Source { file: path, text: &text };
            return Err(source.error_in_file(Code::UnknownName, format!(
                "`on-event` names {program}, and there is no such file, or this user may not see it."
            )));
        }
        Ok(config)
    }

    /// Returns the path of the admin socket that a file names, although it may be wrong otherwise.
    pub(crate) fn admin_of(path: &Path) -> Option<PathBuf> {
        let text = std::fs::read_to_string(path).ok()?;
        let table: toml::Table = toml::from_str(&text).ok()?;
        let admin = table.get("admin")?.as_str()?;
        Some(path.parent().unwrap_or(Path::new("")).join(admin))
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
            toml::from_str(text).map_err(|error| structure::error(&source, &error))?;
        let identity = raw.identity.as_ref().ok_or_else(|| {
            source.error_in_file(
                Code::FieldMissing,
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
        config.connections = limits::parse(&source, &raw.limits, &mut config.limits)?;
        config.tcp = general::tcp_timeouts(
            &source,
            raw.tcp_keepalive.as_ref(),
            raw.tcp_user_timeout.as_ref(),
        )?;
        config.uplinks = uplinks::parse(&source, &raw.uplinks)?;
        config.budgets = uplinks::budgets(&source, &raw.uplinks)?;
        config.state_directory = raw.state_directory.as_ref().map(|path| source.path(path));
        config.manage_routes = raw.manage_routes;
        let peer_down = raw.peer_down.as_ref().map(|action| source.value(located(action)));
        let default = general::default_via(&source, raw.default.as_ref())?;
        config.policy = Policy::new(rules, ingress_defaults, default)
            .with_peer_down(peer_down.transpose()?.unwrap_or_default());
        config.log = general::log(&source, raw.log.as_ref())?;
        config.on_event = general::on_event(&source, raw.on_event.as_ref())?;
        config.existing_flows = general::existing_flows(&source, raw.existing_flows.as_ref())?;
        config.metrics = raw.metrics.as_ref().map(|at| source.address(located(at))).transpose()?;
        config.web =
            general::web(&source, (raw.web.as_ref(), raw.web_token_file.as_ref()), config.metrics)?;
        config.admin = general::admin(&source, raw.admin.as_ref())?;
        Ok(config)
    }
}

/// Checks that not every user can read a file that has a password in it.
fn check_private(path: &Path) -> Result<(), ConfigError> {
    let exposed = secret::exposed_mode(path);
    let Some(mode) = exposed.map_err(|error| ConfigError::unreadable(path, &error))? else {
        return Ok(());
    };
    let source = Source { file: path, text: "" };
    let name = path.display();
    Err(source.error_in_file(
        Code::Exposed,
        format!(
            "It holds a password, and every user may read or change it (mode {mode:o}); run \
         `chmod o-rwx {name}`."
        ),
    ))
}

/// Returns the names of the ingresses in the order of the file.
fn ingress_names(raw: &RawConfig) -> Vec<&str> {
    in_order(&raw.ingress).map(|(name, _)| name.get_ref().as_str()).collect()
}
