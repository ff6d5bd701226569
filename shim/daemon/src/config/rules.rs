//! The `[[rule]]` tables, and the fields that rules share with ingresses.

use toml::Spanned;

use super::error::ConfigError;
use super::nearest::suggestion;
use super::peers::{PeerNames, RESERVED_NAMES};
use super::raw::{RawRule, SpannedList, SpannedText};
use super::source::{Located, Source, located, located_list};
use crate::catalogue::Code;
use crate::proxy::rules::{Destination, PeerDown, Rule, Via};
use throughline::{Mode, PeerId};

/// Parses the rules, which keep their order.
pub(super) fn parse(
    source: &Source<'_>,
    rules: &[Spanned<RawRule>],
    peers: &PeerNames,
    ingresses: &[&str],
) -> Result<Vec<Rule>, ConfigError> {
    rules.iter().map(|rule| parse_rule(source, rule, peers, ingresses)).collect()
}

fn parse_rule(
    source: &Source<'_>,
    rule: &Spanned<RawRule>,
    peers: &PeerNames,
    ingresses: &[&str],
) -> Result<Rule, ConfigError> {
    let raw = rule.get_ref();
    let to = located_list(raw.to.as_ref())
        .into_iter()
        .filter(|(text, _)| *text != "*")
        .map(|at| destination(source, at))
        .collect::<Result<_, _>>()?;
    let ingress = ingress_names(source, raw.ingress.as_ref(), ingresses)?;
    let via = via(source, raw.via.as_ref(), peers)?.ok_or_else(|| {
        let message = "This rule has no `via`; name peers, \"direct\" or \"reject\".";
        source.error(Code::FieldMissing, rule.span(), message)
    })?;
    if let (Some(action), Via::Direct | Via::Reject) = (&raw.peer_down, &via) {
        let message = "`peer-down` is for flows that go through peers, and this rule names none \
                       in `via`; remove it.";
        return Err(source.error(Code::FieldsConflict, action.span(), message));
    }
    Ok(Rule {
        to,
        ports: source.values(raw.ports.as_ref())?,
        ingress,
        via,
        mode: mode(source, raw.mode.as_ref(), raw.bulk.as_ref())?,
        peer_down: peer_down(source, raw.peer_down.as_ref())?,
    })
}

fn ingress_names(
    source: &Source<'_>,
    list: Option<&SpannedList>,
    known: &[&str],
) -> Result<Vec<String>, ConfigError> {
    let name = |(name, span): Located<'_>| match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => {
            let suggestion = suggestion(name, known.iter().copied());
            Err(source.error(
                Code::UnknownName,
                span,
                format!("There is no ingress `{name}`{suggestion}"),
            ))
        }
    };
    located_list(list).into_iter().map(name).collect()
}

fn destination(source: &Source<'_>, (text, span): Located<'_>) -> Result<Destination, ConfigError> {
    if let Ok(prefix) = source.prefix((text, span.clone())) {
        return Ok(Destination::Prefix(prefix));
    }
    let name = text.parse().map_err(|_| {
        let message = format!(
            "`{text}` is not a destination; write a prefix (10.20.0.0/16), an address, a name or \
             *.a.domain. Ports go into `ports`."
        );
        source.error(Code::WrongValue, span, message)
    })?;
    Ok(Destination::Name(name))
}

/// Parses `via`; `None` if it is absent.
pub(super) fn via(
    source: &Source<'_>,
    list: Option<&SpannedList>,
    peers: &PeerNames,
) -> Result<Option<Via>, ConfigError> {
    let Some(span) = list.map(Spanned::span) else { return Ok(None) };
    let items = located_list(list);
    match items[..] {
        [] => {
            let message = "`via` is empty; name at least one peer, \"direct\" or \"reject\".";
            Err(source.error(Code::FieldMissing, span, message))
        }
        [("direct", _)] => Ok(Some(Via::Direct)),
        [("reject", _)] => Ok(Some(Via::Reject)),
        _ => via_peers(source, items, peers).map(|via| Some(Via::Peers(via))),
    }
}

fn via_peers(
    source: &Source<'_>,
    names: Vec<Located<'_>>,
    peers: &PeerNames,
) -> Result<Vec<PeerId>, ConfigError> {
    let mut via = Vec::new();
    for (name, span) in names {
        if RESERVED_NAMES.contains(&name) {
            let message =
                format!("\"{name}\" cannot be combined with others; write via = \"{name}\".");
            return Err(source.error(Code::FieldsConflict, span, message));
        }
        let Some(&peer) = peers.get(name) else {
            let suggestion = suggestion(name, peers.keys().map(String::as_str));
            return Err(source.error(
                Code::UnknownName,
                span,
                format!("There is no peer `{name}`{suggestion}"),
            ));
        };
        if via.contains(&peer) {
            let message = format!("The peer `{name}` is listed twice; remove one.");
            return Err(source.error(Code::GivenTwice, span, message));
        }
        via.push(peer);
    }
    Ok(via)
}

/// Parses `mode` and `bulk`; `None` if both are absent.
pub(super) fn mode(
    source: &Source<'_>,
    mode: Option<&SpannedText>,
    bulk: Option<&SpannedText>,
) -> Result<Option<Mode>, ConfigError> {
    let mode: Option<Mode> = mode.map(|mode| source.value(located(mode))).transpose()?;
    let Some((bulk, span)) = bulk.map(located) else { return Ok(mode) };
    if !matches!(mode, None | Some(Mode::Auto)) {
        let message = "`bulk` says what bulk flows do in mode \"auto\"; remove it, or the mode.";
        return Err(source.error(Code::FieldsConflict, span, message));
    }
    match bulk {
        "best" => Ok(Some(Mode::Auto)),
        "bond" => Ok(Some(Mode::AutoBond)),
        other => {
            let suggestion = suggestion(other, ["best", "bond"]);
            let message = format!("`{other}` is not a value of `bulk`{suggestion}");
            Err(source.error(Code::WrongValue, span, message))
        }
    }
}

/// Parses `peer-down`; `None` if it is absent.
pub(super) fn peer_down(
    source: &Source<'_>,
    action: Option<&SpannedText>,
) -> Result<Option<PeerDown>, ConfigError> {
    action.map(|action| source.value(located(action))).transpose()
}
