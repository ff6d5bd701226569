//! From what is written to what it means.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use toml::Spanned;

use super::error::ConfigError;
use super::nearest::hint;
use super::raw::{OneOrMany, RawConfig, RawPeer, RawRule, RawUplink, Tables, Word, Words};
use super::{Admin, Config, IdentitySource, Peer};
use crate::proxy::acl::Acl;
use crate::proxy::policy::{Destination, PeerDown, Policy, Rule, Via};
use throughline::node::{Limits, PeerConfig, UplinkConfig};
use throughline_proto::types::{AddressClass, Mode, PeerId};

/// Less and no flow at all could be kept going over a fast path.
const LEAST_MEMORY: u64 = 1 << 20;

/// The text, for errors that point into it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

/// The peers by name, for what refers to them.
pub(super) type PeerNames = HashMap<String, PeerId>;

/// A word of a list, and where it stands.
pub(super) type At<'a> = (&'a str, Range<usize>);

pub(super) fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let source = Source { file, text };
    let raw: RawConfig = toml::from_str(text).map_err(|error| source.shape(&error))?;
    let identity = raw.identity.as_ref().ok_or_else(|| {
        source.whole("There is no `identity`; make one with `throughline keygen FILE` and write identity = \"FILE\".")
    })?;
    let peers = source.peers(&raw.peers)?;
    let names: PeerNames =
        peers.iter().map(|peer| (peer.config.name.clone(), peer.config.id)).collect();
    let (ingresses, own) = source.ingresses(&raw.ingress, &names)?;
    let ingress_names: Vec<&str> = raw.ingress.keys().map(|name| name.get_ref().as_str()).collect();
    let rules = raw
        .rule
        .iter()
        .map(|rule| source.rule(rule, &names, &ingress_names))
        .collect::<Result<_, _>>()?;
    let mut config = Config::empty(IdentitySource::File(source.path(identity)));
    config.listen = source.listen(raw.listen.as_ref())?;
    config.limits = source.limits(&raw)?;
    config.uplinks = source.uplinks(&raw.uplinks)?;
    config.manage_routes = raw.manage_routes;
    config.peers = peers;
    config.own_key = source.own_key(&raw.peers, &names);
    config.ingresses = ingresses;
    let down = source.peer_down(raw.peer_down.as_ref())?.unwrap_or_default();
    let default = source.default(raw.default.as_ref())?;
    config.policy = Policy::new(rules, own, default).with_peer_down(down);
    config.admin = raw.admin.as_ref().map_or(Admin::Default, |path| Admin::At(source.path(path)));
    Ok(config)
}

/// The entries of named tables, in the order of the file.
pub(super) fn in_order<T>(tables: &Tables<T>) -> impl Iterator<Item = (&Spanned<String>, &T)> {
    let mut entries: Vec<_> = tables.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries.into_iter()
}

/// A word and where it stands.
pub(super) fn word(word: &Word) -> At<'_> {
    (word.get_ref().0.as_str(), word.span())
}

/// The words of a list, or the only one; none where there is no list.
pub(super) fn words(list: Option<&Words>) -> Vec<At<'_>> {
    match list.map(|list| (list.get_ref(), list.span())) {
        None => Vec::new(),
        Some((OneOrMany::One(one), span)) => vec![(one.0.as_str(), span)],
        Some((OneOrMany::Many(many), _)) => many.iter().map(word).collect(),
    }
}

impl Source<'_> {
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file, self.text, Some(span), message.into())
    }

    fn whole(&self, message: &str) -> ConfigError {
        ConfigError::at(self.file, self.text, None, message.to_owned())
    }

    /// An error of TOML or of the shape; an unknown field gets the nearest known name.
    fn shape(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message();
        // serde names the fields between backticks, the unknown one first.
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let message = match (message.strip_prefix("unknown field "), names.split_first()) {
            (Some(_), Some((unknown, known))) => {
                format!(
                    "There is no field `{unknown}` here{}",
                    hint(unknown, known.iter().copied())
                )
            }
            _ => format!("This cannot be read: {}.", message.trim_end_matches('.')),
        };
        ConfigError::at(self.file, self.text, error.span(), message)
    }

    /// Parses a word; an error of its type becomes a sentence.
    pub(super) fn value<T>(&self, (text, span): At<'_>) -> Result<T, ConfigError>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        text.parse().map_err(|error: T::Err| self.error(span, sentence(&error.to_string())))
    }

    pub(super) fn values<T>(&self, list: Option<&Words>) -> Result<Vec<T>, ConfigError>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        words(list).into_iter().map(|at| self.value(at)).collect()
    }

    /// Relative to the directory of the file.
    fn path(&self, path: &Spanned<String>) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path.get_ref())
    }

    pub(super) fn address(&self, (text, span): At<'_>) -> Result<SocketAddr, ConfigError> {
        let wrong = format!(
            "`{text}` is no address to listen on; write an IP address and a port, like \
             127.0.0.1:1080 or [::]:5443."
        );
        text.parse().map_err(|_| self.error(span, wrong))
    }

    fn listen(&self, list: Option<&Words>) -> Result<Vec<SocketAddr>, ConfigError> {
        let mut listen = Vec::new();
        for at in words(list) {
            let address = self.address(at.clone())?;
            if address.port() != 0 && listen.contains(&address) {
                return Err(self.error(at.1, format!("{address} is listed twice; remove one.")));
            }
            listen.push(address);
        }
        Ok(listen)
    }

    fn limits(&self, raw: &RawConfig) -> Result<Limits, ConfigError> {
        let mut limits = Limits::default();
        if let Some((text, span)) = raw.linger.as_ref().map(word) {
            limits.linger = humantime::parse_duration(text).map_err(|error| {
                self.error(
                    span,
                    format!("`{text}` is no duration ({error}); write 90s, 30m or 12h."),
                )
            })?;
        }
        if let Some((text, span)) = raw.memory.as_ref().map(word) {
            limits.memory = super::size::bytes(text).ok_or_else(|| {
                self.error(span.clone(), format!("`{text}` is no amount of memory; write 256MiB."))
            })?;
            if limits.memory < LEAST_MEMORY {
                return Err(
                    self.error(span, format!("`{text}` is too little; write at least 1MiB."))
                );
            }
        }
        Ok(limits)
    }

    fn default(&self, default: Option<&Word>) -> Result<Via, ConfigError> {
        match default.map(word) {
            None | Some(("reject", _)) => Ok(Via::Reject),
            Some(("direct", _)) => Ok(Via::Direct),
            Some((text, span)) => Err(self.error(
                span,
                format!("`{text}` is no default; write \"direct\" or \"reject\". To go through a peer, write a [[rule]] without `to`."),
            )),
        }
    }

    fn uplinks(&self, tables: &Tables<RawUplink>) -> Result<Vec<UplinkConfig>, ConfigError> {
        let mut taken: HashMap<IpNet, &str> = HashMap::new();
        let mut interfaces: HashMap<&str, &str> = HashMap::new();
        in_order(tables)
            .map(|(name, raw)| {
                if raw.prefixes.is_none() && raw.interface.is_none() {
                    let message = format!(
                        "The uplink `{}` has neither `prefixes` nor `interface`; write one, so \
                         that its addresses can be told.",
                        name.get_ref()
                    );
                    return Err(self.error(name.span(), message));
                }
                let prefixes = words(raw.prefixes.as_ref())
                    .into_iter()
                    .map(|at| {
                        let prefix = self.prefix(at.clone())?;
                        match taken.insert(prefix, name.get_ref()) {
                            None => Ok(prefix),
                            Some(other) => Err(self.error(
                                at.1,
                                format!(
                                    "{prefix} belongs to the uplink `{other}` already; give each \
                                     uplink prefixes of its own."
                                ),
                            )),
                        }
                    })
                    .collect::<Result<_, _>>()?;
                if let Some(interface) = &raw.interface
                    && let Some(other) = interfaces.insert(interface.get_ref(), name.get_ref())
                {
                    let message = format!(
                        "The interface {} belongs to the uplink `{other}` already; tell the two \
                         apart by `prefixes`.",
                        interface.get_ref()
                    );
                    return Err(self.error(interface.span(), message));
                }
                let class = match raw.class.as_ref().map(word) {
                    None => AddressClass::default(),
                    Some(("pa", _)) => AddressClass::ProviderAssigned,
                    Some(("pi", _)) => AddressClass::ProviderIndependent,
                    Some((text, span)) => {
                        let message = format!(
                            "`{text}` is no class; write \"pa\" (the provider's addresses) or \
                             \"pi\" (your own)."
                        );
                        return Err(self.error(span, message));
                    }
                };
                Ok(UplinkConfig {
                    name: name.get_ref().clone(),
                    prefixes,
                    interface: raw.interface.as_ref().map(|name| name.get_ref().clone()),
                    class,
                    metered: raw.metered,
                })
            })
            .collect()
    }

    fn prefix(&self, (text, span): At<'_>) -> Result<IpNet, ConfigError> {
        let prefix = text.parse().or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()));
        prefix.map_err(|_| {
            let wrong = "is no prefix; write one like 192.0.2.0/28 or 2001:db8:a::/48.";
            self.error(span, format!("`{text}` {wrong}"))
        })
    }

    fn peers(&self, tables: &Tables<RawPeer>) -> Result<Vec<Peer>, ConfigError> {
        let mut peers: Vec<Peer> = Vec::new();
        for (name, raw) in in_order(tables) {
            let peer = self.peer(name, raw)?;
            if let Some(twin) = peers.iter().find(|twin| twin.config.id == peer.config.id) {
                let message = format!(
                    "The peer `{}` has the key of the peer `{}`; each host has its own.",
                    name.get_ref(),
                    twin.config.name
                );
                let span = raw.key.as_ref().map_or(name.span(), Spanned::span);
                return Err(self.error(span, message));
            }
            peers.push(peer);
        }
        Ok(peers)
    }

    fn peer(&self, name: &Spanned<String>, raw: &RawPeer) -> Result<Peer, ConfigError> {
        let written = name.get_ref();
        if ["direct", "reject"].contains(&written.as_str()) {
            let message =
                format!("A peer cannot be called `{written}`, a word that `via` uses; rename it.");
            return Err(self.error(name.span(), message));
        }
        let key = raw.key.as_ref().map(word).ok_or_else(|| {
            let message = format!(
                "The peer `{written}` has no `key`; print it with `throughline id FILE` there."
            );
            self.error(name.span(), message)
        })?;
        let config = PeerConfig {
            id: self.value(key)?,
            name: written.clone(),
            locators: self.values(raw.locators.as_ref())?,
        };
        Ok(Peer { config, acl: Acl::new(self.values(raw.allow.as_ref())?) })
    }

    /// What to say where the key of a peer is our own.
    fn own_key(&self, tables: &Tables<RawPeer>, peers: &PeerNames) -> HashMap<PeerId, ConfigError> {
        let wrong = |(name, raw): (&Spanned<String>, &RawPeer)| {
            let name = name.get_ref();
            let message = format!(
                "The peer `{name}` has this host's own key; write the one that `throughline id \
                 FILE` prints there."
            );
            let span = raw.key.as_ref().map(Spanned::span)?;
            Some((*peers.get(name)?, self.error(span, message)))
        };
        in_order(tables).filter_map(wrong).collect()
    }

    pub(super) fn via(
        &self,
        list: Option<&Words>,
        peers: &PeerNames,
    ) -> Result<Option<Via>, ConfigError> {
        let Some(span) = list.map(Spanned::span) else { return Ok(None) };
        let words = words(list);
        match words[..] {
            [] => Err(self
                .error(span, "`via` is empty; name at least one peer, \"direct\" or \"reject\".")),
            [("direct", _)] => Ok(Some(Via::Direct)),
            [("reject", _)] => Ok(Some(Via::Reject)),
            _ => {
                let mut via = Vec::new();
                for (name, span) in words {
                    if ["direct", "reject"].contains(&name) {
                        return Err(self.error(
                            span,
                            format!("\"{name}\" stands alone; write via = \"{name}\"."),
                        ));
                    }
                    let peer = peers.get(name).copied().ok_or_else(|| {
                        let known = peers.keys().map(String::as_str);
                        self.error(
                            span.clone(),
                            format!("There is no peer `{name}`{}", hint(name, known)),
                        )
                    })?;
                    if via.contains(&peer) {
                        return Err(self.error(
                            span,
                            format!("The peer `{name}` is listed twice; remove one."),
                        ));
                    }
                    via.push(peer);
                }
                Ok(Some(Via::Peers(via)))
            }
        }
    }

    pub(super) fn mode(&self, mode: Option<&Word>) -> Result<Option<Mode>, ConfigError> {
        mode.map(|mode| self.value(word(mode))).transpose()
    }

    pub(super) fn peer_down(&self, down: Option<&Word>) -> Result<Option<PeerDown>, ConfigError> {
        down.map(|down| self.value(word(down))).transpose()
    }

    fn rule(
        &self,
        rule: &Spanned<RawRule>,
        peers: &PeerNames,
        ingresses: &[&str],
    ) -> Result<Rule, ConfigError> {
        let raw = rule.get_ref();
        let to = words(raw.to.as_ref())
            .into_iter()
            .filter(|(text, _)| *text != "*")
            .map(|at| self.destination(at))
            .collect::<Result<_, _>>()?;
        for (name, span) in words(raw.ingress.as_ref()) {
            if !ingresses.contains(&name) {
                let message = format!(
                    "There is no ingress `{name}`{}",
                    hint(name, ingresses.iter().copied())
                );
                return Err(self.error(span, message));
            }
        }
        let via = self.via(raw.via.as_ref(), peers)?.ok_or_else(|| {
            self.error(rule.span(), "This rule has no `via`; name peers, \"direct\" or \"reject\".")
        })?;
        if let (Some(down), Via::Direct | Via::Reject) = (&raw.peer_down, &via) {
            let message = "`peer-down` is for flows that go through peers, and this rule names \
                           none in `via`; remove it.";
            return Err(self.error(down.span(), message));
        }
        Ok(Rule {
            to,
            ports: self.values(raw.ports.as_ref())?,
            ingress: words(raw.ingress.as_ref())
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            via,
            mode: self.mode(raw.mode.as_ref())?,
            down: self.peer_down(raw.peer_down.as_ref())?,
        })
    }

    fn destination(&self, (text, span): At<'_>) -> Result<Destination, ConfigError> {
        if let Ok(prefix) = self.prefix((text, span.clone())) {
            return Ok(Destination::Prefix(prefix));
        }
        let name = text.parse().map_err(|_| {
            let wrong = "is no destination; write a prefix (10.20.0.0/16), an address, a name or *.a.domain. Ports go into `ports`.";
            self.error(span, format!("`{text}` {wrong}"))
        })?;
        Ok(Destination::Name(name))
    }
}

/// A lower-case fragment as a sentence.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if fragment.ends_with(['.', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
