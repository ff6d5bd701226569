//! What a reload changes: the difference of two configurations, as a plan. Pure.
//!
//! A running daemon takes over every part of a configuration but for those that [`NotChangeable`] names. The
//! plan says which parts those are, in words for a person, and which ingresses go on listening.

mod change;
mod ingresses;
mod peers;
mod settings;

use thiserror::Error;

pub use self::change::Change;
pub use self::ingresses::Placement;
use crate::config::Config;
use throughline::PeerId;

/// How a daemon gets from one configuration to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What changes; nothing, where both say the same.
    pub changes: Vec<Change>,
    /// Where each ingress of the new configuration comes from.
    pub ingresses: Vec<Placement>,
}

/// A part of the configuration cannot change while the daemon runs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotChangeable {
    /// The admin socket.
    #[error(
        "`admin` cannot change while the daemon runs: whoever has the present socket would lose it; \
         write the former path, or restart the daemon"
    )]
    Admin,
    /// Where it is kept what uplinks have carried.
    #[error(
        "`state-directory` cannot change while the daemon runs: write the former directory, or restart the daemon"
    )]
    StateDirectory,
    /// The address of the metrics.
    #[error(
        "`metrics` cannot change while the daemon runs: write the former address, or restart the daemon"
    )]
    Metrics,
}

/// A configuration, and the key of the identity that it names.
#[derive(Clone, Copy)]
pub struct Resolved<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Our key in it.
    pub key: PeerId,
}

impl Transition {
    /// Compares two configurations.
    ///
    /// # Errors
    /// Something differs that cannot change while the daemon runs.
    pub fn between(old: Resolved<'_>, new: Resolved<'_>) -> Result<Self, NotChangeable> {
        if old.config.admin != new.config.admin {
            return Err(NotChangeable::Admin);
        }
        if old.config.metrics != new.config.metrics {
            return Err(NotChangeable::Metrics);
        }
        if old.config.state_directory != new.config.state_directory {
            return Err(NotChangeable::StateDirectory);
        }
        let mut changes = Vec::new();
        if old.key != new.key {
            changes.push(Change::OwnKey { from: old.key, to: new.key });
        }
        let (old, new) = (old.config, new.config);
        changes.extend(settings::changes(old, new));
        changes.extend(settings::listening(old, new));
        changes.extend(settings::uplinks(old, new));
        changes.extend(peers::changes(&old.peers, &new.peers));
        let ingresses = ingresses::placements(&old.ingresses, &new.ingresses);
        changes.extend(ingresses::changes(&old.ingresses, &new.ingresses, &ingresses));
        if old.policy.with_peers(peers::renaming(&old.peers, &new.peers)) != new.policy {
            changes.push(Change::Rules);
        }
        Ok(Self { changes, ingresses })
    }
}

#[cfg(test)]
mod tests;
