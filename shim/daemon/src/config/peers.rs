//! The `[peers.NAME]` tables.

use std::collections::HashMap;

use toml::Spanned;

use super::Peer;
use super::error::ConfigError;
use super::raw::{RawPeer, Tables};
use super::source::{Source, in_order, located, located_list};
use crate::catalogue::Code;
use crate::proxy::egress::acl::Acl;
use throughline::{Locator, PeerConfig, PeerId};

/// The keys of the peers by name, for lists that name peers.
pub(super) type PeerNames = HashMap<String, PeerId>;

/// Names that `via` gives another meaning.
pub(super) const RESERVED_NAMES: [&str; 2] = ["direct", "reject"];

/// Parses the peers in the order of the file.
pub(super) fn parse(
    source: &Source<'_>,
    tables: &Tables<RawPeer>,
) -> Result<Vec<Peer>, ConfigError> {
    let mut peers: Vec<Peer> = Vec::new();
    for (name, raw) in in_order(tables) {
        let peer = peer(source, name, raw)?;
        for (key, span) in peer.config.keys().zip(key_spans(name, raw)) {
            if let Some(other) = peers.iter().find(|other| other.config.keys().any(|k| k == key)) {
                let message = format!(
                    "The peer `{}` has the same key as the peer `{}`; each host has its own.",
                    name.get_ref(),
                    other.config.name
                );
                return Err(source.error(Code::GivenTwice, span, message));
            }
        }
        peers.push(peer);
    }
    Ok(peers)
}

fn peer(source: &Source<'_>, name: &Spanned<String>, raw: &RawPeer) -> Result<Peer, ConfigError> {
    let written = name.get_ref();
    if RESERVED_NAMES.contains(&written.as_str()) {
        let message =
            format!("A peer cannot be named `{written}`, which `via` gives a meaning; rename it.");
        return Err(source.error(Code::WrongValue, name.span(), message));
    }
    let key = raw.key.as_ref().map(located).ok_or_else(|| {
        let message = format!(
            "The peer `{written}` has no `key`; print it with `throughline id FILE` on that host."
        );
        source.error(Code::FieldMissing, name.span(), message)
    })?;
    let locators: Vec<Locator> = source.values(raw.locators.as_ref())?;
    let mut config = PeerConfig::new(source.value(key)?, written).locators(locators);
    for at in located_list(raw.keys.as_ref()) {
        let (key, span) = (source.value(at.clone())?, at.1);
        if config.keys().any(|known| known == key) {
            let message = format!("The peer `{written}` has this key already; remove it.");
            return Err(source.error(Code::GivenTwice, span, message));
        }
        config = config.other_key(key);
    }
    Ok(Peer { config, acl: Acl::new(source.values(raw.allow.as_ref())?) })
}

/// Returns the keys of the peers by name.
pub(super) fn by_name(peers: &[Peer]) -> PeerNames {
    peers.iter().map(|peer| (peer.config.name.clone(), peer.config.id)).collect()
}

/// Returns the error for each key of a peer in case it turns out to be this host's own.
pub(super) fn own_key_errors(
    source: &Source<'_>,
    tables: &Tables<RawPeer>,
    peers: &[Peer],
) -> HashMap<PeerId, ConfigError> {
    let errors = |((name, raw), peer): ((&Spanned<String>, &RawPeer), &Peer)| {
        let message = format!(
            "The peer `{}` has this host's own key; write the one that `throughline id FILE` \
             prints on that host.",
            name.get_ref()
        );
        let keys = peer.config.keys().zip(key_spans(name, raw));
        keys.map(|(key, span)| (key, source.error(Code::OwnKeyAsPeer, span, message.clone())))
            .collect::<Vec<_>>()
    };
    in_order(tables).zip(peers).flat_map(errors).collect()
}

/// Returns the positions of a peer's keys, in the order of the keys.
fn key_spans(
    name: &Spanned<String>,
    raw: &RawPeer,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    let first = raw.key.as_ref().map_or(name.span(), Spanned::span);
    let others = located_list(raw.keys.as_ref()).into_iter().map(|(_, span)| span);
    std::iter::once(first).chain(others.collect::<Vec<_>>())
}
