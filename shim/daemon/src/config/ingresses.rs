//! The `[ingress.NAME]` tables: what each kind needs, and who may listen beyond loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::error::ConfigError;
use super::intercept::{self, reject_field};
use super::listen;
use super::nearest::nearest;
use super::peers::PeerNames;
use super::raw::{RawIngress, SpannedList, SpannedText, Tables};
use super::rules::{mode, peer_down, via};
use super::source::{Located, Source, in_order, located, located_list};
use super::{Clients, Ingress, IngressKind, ProxyProtocol};
use crate::catalogue::Code;
use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::rules::IngressDefault;
use throughline::Target;

/// The kinds of ingresses, for suggestions.
const KINDS: [&str; 5] = ["socks5", "http", "proxy", "forward", "intercept"];

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
        let same = |other: &&Ingress| {
            other.listen.is_where(&ingress.listen)
                && other.kind.takes_datagrams() == ingress.kind.takes_datagrams()
                && other.listen.is_one_place()
        };
        if let Some(other) = ingresses.iter().find(same) {
            let another = if ingress.listen.ip().is_some() { "port" } else { "path" };
            let message = format!(
                "The ingress `{}` listens on {} already; write another {another}.",
                other.name, ingress.listen
            );
            return Err(source.error(Code::GivenTwice, listen_span(name, raw), message));
        }
        let default = IngressDefault {
            via: via(source, raw.via.as_ref(), peers)?,
            mode: mode(source, raw.mode.as_ref(), raw.bulk.as_ref())?,
            peer_down: peer_down(source, raw.peer_down.as_ref())?,
        };
        if ingress.kind.intercepts().is_some() {
            intercept::check_count(source, name, &ingresses)?;
        }
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
    if located(written_kind).0 == "intercept" {
        return intercept::parse(source, name, raw);
    }
    let listen =
        raw.listen.as_ref().ok_or_else(|| missing(source, name, "listen", "\"127.0.0.1:1080\""))?;
    let listen = listen::parse(source, located(listen), raw)?;
    let kind = kind(source, name, raw, written_kind)?;
    intercept::reject_fields(source, raw)?;
    let span = listen_span(name, raw);
    listen::check_unix(source, span.clone(), (&listen, &kind), raw)?;
    let clients = clients(source, raw)?;
    if let Some(addr) = listen.ip() {
        check_exposure(source, span, addr, (&kind, &clients))?;
    }
    let proxy_protocol = proxy_protocol(source, raw, &kind)?;
    Ok(Ingress { name: name.get_ref().clone(), listen, kind, proxy_protocol, clients })
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
            reject_field(source, "socks5", "protocol", raw.protocol.as_ref())?;
            Ok(IngressKind::Socks5(credentials(source, raw)?))
        }
        (kind @ ("http" | "proxy"), _) => {
            reject_field(source, kind, "to", raw.to.as_ref())?;
            reject_field(source, kind, "protocol", raw.protocol.as_ref())?;
            check_basic_user(source, raw.username.as_ref())?;
            let credentials = credentials(source, raw)?;
            let is_http = kind == "http";
            Ok(if is_http {
                IngressKind::Http(credentials)
            } else {
                IngressKind::Proxy(credentials)
            })
        }
        ("forward", _) => {
            reject_field(source, "forward", "username", raw.username.as_ref())?;
            reject_field(source, "forward", "password", raw.password.as_ref())?;
            let to = raw.to.as_ref();
            let to = to.ok_or_else(|| missing(source, name, "to", "\"db.internal:5432\""))?;
            Ok(IngressKind::Forward(forward_target(source, to, raw.protocol.as_ref())?))
        }
        (other, span) => {
            let suggestion = nearest(other, KINDS).map(|kind| format!(" Did you mean \"{kind}\"?"));
            let message = format!(
                "\"{other}\" is not a kind of ingress; write \"socks5\", \"http\", \"proxy\", \"forward\" or \"intercept\".{}",
                suggestion.unwrap_or_default()
            );
            Err(source.error(Code::WrongValue, span, message))
        }
    }
}

/// Returns where a forward leads: a TCP target, or one of UDP if the protocol says so.
fn forward_target(
    source: &Source<'_>,
    to: &SpannedList,
    protocol: Option<&SpannedText>,
) -> Result<Target, ConfigError> {
    let [to] = &located_list(Some(to))[..] else {
        let message = "A forward has one destination in `to`; make an ingress for each.";
        return Err(source.error(Code::FieldsConflict, to.span(), message));
    };
    let target = source.value(to.clone())?;
    match (protocol.map(located), target) {
        (Some(("udp", _)), Target::Tcp { host, port }) => Ok(Target::Udp { host, port }),
        (Some(("tcp", span)), Target::Udp { .. }) => {
            let message =
                "`to` is a UDP target, and the protocol \"tcp\"; write one of them otherwise.";
            Err(source.error(Code::FieldsConflict, span, message))
        }
        (None | Some(("tcp" | "udp", _)), target) => Ok(target),
        (Some((other, span)), _) => {
            let message =
                format!("`{other}` is not a protocol of a forward; write \"tcp\" or \"udp\".");
            Err(source.error(Code::WrongValue, span, message))
        }
    }
}

fn proxy_protocol(
    source: &Source<'_>,
    raw: &RawIngress,
    kind: &IngressKind,
) -> Result<ProxyProtocol, ConfigError> {
    let accept_from = located_list(raw.accept_proxy_protocol.as_ref())
        .into_iter()
        .map(|at| source.prefix(at))
        .collect::<Result<_, _>>()?;
    let send = raw.send_proxy_protocol.as_ref();
    let accept = raw.accept_proxy_protocol.as_ref().map(Spanned::span);
    if let (true, Some(span)) = (kind.takes_datagrams(), accept.or_else(|| send.map(Spanned::span)))
    {
        let message = "Datagrams have no PROXY protocol here; remove it.";
        return Err(source.error(Code::FieldsConflict, span, message));
    }
    if let (Some(send), false) = (send, matches!(kind, IngressKind::Forward(_))) {
        let message = "`send-proxy-protocol` is for the kind \"forward\", whose server may expect it; \
                       remove it.";
        return Err(source.error(Code::FieldsConflict, send.span(), message));
    }
    Ok(ProxyProtocol { accept_from, send: send.is_some_and(|send| *send.get_ref()) })
}

fn clients(source: &Source<'_>, raw: &RawIngress) -> Result<Clients, ConfigError> {
    let network = |(text, span): Located<'_>| {
        let network = source.prefix((text, span.clone()))?;
        if network.prefix_len() == 0 {
            let message = format!(
                "`{text}` is everybody; write the networks that clients are in, like 192.168.1.0/24."
            );
            return Err(source.error(Code::Exposed, span, message));
        }
        Ok(network)
    };
    let allow_from =
        located_list(raw.allow_from.as_ref()).into_iter().map(network).collect::<Result<_, _>>()?;
    Ok(Clients { allow_from })
}

fn missing(source: &Source<'_>, name: &Spanned<String>, field: &str, example: &str) -> ConfigError {
    let message =
        format!("The ingress `{}` has no `{field}`; write {field} = {example}.", name.get_ref());
    source.error(Code::FieldMissing, name.span(), message)
}

/// Rejects an ingress that anybody's host can use without authentication.
fn check_exposure(
    source: &Source<'_>,
    span: Range<usize>,
    listen: SocketAddr,
    (kind, clients): (&IngressKind, &Clients),
) -> Result<(), ConfigError> {
    if listen.ip().to_canonical().is_loopback() || !clients.allow_from.is_empty() {
        return Ok(());
    }
    let hint = match kind {
        kind if kind.credentials().is_some() => return Ok(()),
        // It cannot authenticate its clients.
        IngressKind::Forward(_) => "",
        _ => " add `username` and `password`,",
    };
    let message = format!(
        "{listen} is open to every host that can reach it;{hint} write the networks that clients are in, as in allow-from = \
         [\"192.168.1.0/24\"], or listen on 127.0.0.1."
    );
    Err(source.error(Code::Exposed, span, message))
}

/// Rejects a user name that ends early in HTTP, where a colon ends it (RFC 7617 §2).
fn check_basic_user(
    source: &Source<'_>,
    username: Option<&SpannedText>,
) -> Result<(), ConfigError> {
    match username.map(located) {
        Some((text, span)) if text.contains(':') => {
            let message = "HTTP's user names have no colon (RFC 7617); write one without.";
            Err(source.error(Code::WrongValue, span, message))
        }
        _ => Ok(()),
    }
}

fn credentials(source: &Source<'_>, raw: &RawIngress) -> Result<Option<Credentials>, ConfigError> {
    let (username, password) = match (&raw.username, &raw.password) {
        (None, None) => return Ok(None),
        (Some(username), Some(password)) => (located(username), located(password)),
        (Some(alone), None) => {
            let message = "There is a `username` but no `password`; write both.";
            return Err(source.error(Code::FieldMissing, alone.span(), message));
        }
        (None, Some(alone)) => {
            let message = "There is a `password` but no `username`; write both.";
            return Err(source.error(Code::FieldMissing, alone.span(), message));
        }
    };
    for (text, span) in [&username, &password] {
        if !CREDENTIAL_LENGTHS.contains(&text.len()) {
            let message = "User names and passwords have 1 to 255 bytes (RFC 1929).";
            return Err(source.error(Code::OutOfRange, span.clone(), message));
        }
    }
    Ok(Some(Credentials { username: username.0.to_owned(), password: password.0.to_owned() }))
}

fn listen_span(name: &Spanned<String>, raw: &RawIngress) -> Range<usize> {
    raw.listen.as_ref().map_or(name.span(), Spanned::span)
}
