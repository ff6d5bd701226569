//! The `[ingress.NAME]` tables: what each kind needs, and who may listen beyond loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::error::ConfigError;
use super::nearest::nearest;
use super::peers::PeerNames;
use super::raw::{RawIngress, SpannedText, Tables};
use super::rules::{mode, peer_down, via};
use super::source::{Source, in_order, located};
use super::{Ingress, IngressKind};
use crate::proxy::ingress::socks5::Credentials;
use crate::proxy::rules::IngressDefault;

/// The kinds of ingresses, for suggestions.
const KINDS: [&str; 2] = ["socks5", "forward"];

/// The lengths of a user name and of a password, in bytes: RFC 1929 §2 writes each in one byte.
const CREDENTIAL_LENGTHS: std::ops::RangeInclusive<usize> = 1..=255;

/// The ingresses in the order of the file, and the defaults of each by name.
type Ingresses = (Vec<Ingress>, HashMap<String, IngressDefault>);

/// Parses the ingresses.
pub(super) fn parse(
    source: &Source<'_>,
    tables: &Tables<RawIngress>,
    peers: &PeerNames,
) -> Result<Ingresses, ConfigError> {
    let mut ingresses: Vec<Ingress> = Vec::new();
    let mut defaults = HashMap::new();
    for (name, raw) in in_order(tables) {
        let ingress = ingress(source, name, raw)?;
        let same = |other: &&Ingress| other.listen == ingress.listen && other.listen.port() != 0;
        if let Some(other) = ingresses.iter().find(same) {
            let message = format!(
                "The ingress `{}` listens on {} already; write another port.",
                other.name, ingress.listen
            );
            return Err(source.error(listen_span(name, raw), message));
        }
        let default = IngressDefault {
            via: via(source, raw.via.as_ref(), peers)?,
            mode: mode(source, raw.mode.as_ref())?,
            peer_down: peer_down(source, raw.peer_down.as_ref())?,
        };
        defaults.insert(ingress.name.clone(), default);
        ingresses.push(ingress);
    }
    Ok((ingresses, defaults))
}

fn ingress(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawIngress,
) -> Result<Ingress, ConfigError> {
    let written_kind =
        raw.kind.as_ref().ok_or_else(|| missing(source, name, "kind", "\"socks5\""))?;
    let listen =
        raw.listen.as_ref().ok_or_else(|| missing(source, name, "listen", "\"127.0.0.1:1080\""))?;
    let listen = source.address(located(listen))?;
    let kind = kind(source, name, raw, written_kind)?;
    check_exposure(source, listen_span(name, raw), listen, &kind)?;
    Ok(Ingress { name: name.get_ref().clone(), listen, kind })
}

fn kind(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawIngress,
    kind: &SpannedText,
) -> Result<IngressKind, ConfigError> {
    match located(kind) {
        ("socks5", _) => {
            reject_field(source, "socks5", "to", raw.to.as_ref())?;
            Ok(IngressKind::Socks5(credentials(source, raw)?))
        }
        ("forward", _) => {
            reject_field(source, "forward", "username", raw.username.as_ref())?;
            reject_field(source, "forward", "password", raw.password.as_ref())?;
            let to = raw.to.as_ref();
            let to = to.ok_or_else(|| missing(source, name, "to", "\"db.internal:5432\""))?;
            Ok(IngressKind::Forward(source.value(located(to))?))
        }
        (other, span) => {
            let suggestion = nearest(other, KINDS).map(|kind| format!(" Did you mean \"{kind}\"?"));
            let message = format!(
                "\"{other}\" is not a kind of ingress; write \"socks5\" or \"forward\".{}",
                suggestion.unwrap_or_default()
            );
            Err(source.error(span, message))
        }
    }
}

fn missing(source: &Source<'_>, name: &Spanned<String>, field: &str, example: &str) -> ConfigError {
    let message =
        format!("The ingress `{}` has no `{field}`; write {field} = {example}.", name.get_ref());
    source.error(name.span(), message)
}

fn reject_field(
    source: &Source<'_>,
    kind: &str,
    field: &str,
    word: Option<&SpannedText>,
) -> Result<(), ConfigError> {
    match word {
        None => Ok(()),
        Some(word) => {
            let message = format!("An ingress of kind \"{kind}\" has no `{field}`; remove it.");
            Err(source.error(word.span(), message))
        }
    }
}

/// Rejects an ingress that other hosts can use without authentication.
fn check_exposure(
    source: &Source<'_>,
    span: Range<usize>,
    listen: SocketAddr,
    kind: &IngressKind,
) -> Result<(), ConfigError> {
    if listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let hint = match kind {
        IngressKind::Socks5(Some(_)) => return Ok(()),
        IngressKind::Socks5(None) => "add `username` and `password`, or listen on 127.0.0.1",
        IngressKind::Forward(_) => {
            "a forwarded port cannot authenticate its clients, so listen on 127.0.0.1"
        }
    };
    let message = format!("{listen} is open to other hosts without authentication; {hint}.");
    Err(source.error(span, message))
}

fn credentials(source: &Source<'_>, raw: &RawIngress) -> Result<Option<Credentials>, ConfigError> {
    let (username, password) = match (&raw.username, &raw.password) {
        (None, None) => return Ok(None),
        (Some(username), Some(password)) => (located(username), located(password)),
        (Some(alone), None) => {
            let message = "There is a `username` but no `password`; write both.";
            return Err(source.error(alone.span(), message));
        }
        (None, Some(alone)) => {
            let message = "There is a `password` but no `username`; write both.";
            return Err(source.error(alone.span(), message));
        }
    };
    for (text, span) in [&username, &password] {
        if !CREDENTIAL_LENGTHS.contains(&text.len()) {
            let message = "SOCKS5 takes user names and passwords of 1 to 255 bytes (RFC 1929).";
            return Err(source.error(span.clone(), message));
        }
    }
    Ok(Some(Credentials { username: username.0.to_owned(), password: password.0.to_owned() }))
}

fn listen_span(name: &Spanned<String>, raw: &RawIngress) -> Range<usize> {
    raw.listen.as_ref().map_or(name.span(), Spanned::span)
}
