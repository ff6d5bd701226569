//! The `[ingress.NAME]` tables of kind `intercept`: whose connections, and to where.

use toml::Spanned;

use super::error::ConfigError;
use super::raw::{RawIngress, SpannedList};
use super::source::{Source, located, located_list};
use super::{Clients, Ingress, IngressKind, ProxyProtocol};
use crate::catalogue::Code;
use crate::proxy::ingress::Listen;
use crate::proxy::ingress::intercept::listener::LISTEN;
use crate::proxy::ingress::intercept::policy_route::MAX_MARKS;
use crate::proxy::ingress::intercept::traffic::{Protocol, TrafficSelector};
use ipnet::IpNet;

/// Parses an ingress of this kind.
pub(super) fn parse(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawIngress,
) -> Result<Ingress, ConfigError> {
    if let (false, at) = (cfg!(target_os = "linux"), name.span()) {
        return Err(source.error(
            Code::FieldsConflict,
            at,
            "Connections are intercepted on Linux only; remove it.",
        ));
    }
    for (field, word) in [("username", &raw.username), ("password", &raw.password)] {
        reject_field(source, "intercept", field, word.as_ref())?;
    }
    reject_field(source, "intercept", "allow-from", raw.allow_from.as_ref())?;
    reject_field(source, "intercept", "accept-proxy-protocol", raw.accept_proxy_protocol.as_ref())?;
    reject_field(source, "intercept", "send-proxy-protocol", raw.send_proxy_protocol.as_ref())?;
    for (field, word) in [("mode", &raw.socket_mode), ("owner", &raw.socket_owner)] {
        let field = format!("socket-{field}");
        reject_field(source, "intercept", &field, word.as_ref())?;
    }
    if let Some(listen) = &raw.listen {
        let message = "An ingress of kind \"intercept\" has no `listen`: it listens at a port that the system \
                       chooses, to which only the kernel leads; remove it.";
        return Err(source.error(Code::FieldsConflict, listen.span(), message));
    }
    let selector = TrafficSelector {
        protocol: protocol(source, raw)?,
        users: source.values(raw.users.as_ref())?,
        cgroups: source.values(raw.cgroups.as_ref())?,
        interfaces: source.values(raw.interfaces.as_ref())?,
        to: prefixes(source, raw.to.as_ref())?,
        ports: source.values(raw.ports.as_ref())?,
        except: prefixes(source, raw.except.as_ref())?,
        dns: raw.dns.as_ref().is_some_and(|dns| *dns.get_ref()),
    };
    if selector.is_empty() {
        let message = format!(
            "The ingress `{}` does not say whose connections it intercepts; write users = \"*\" for all programs of \
             this host, `users` or `cgroups` for some, or `interfaces` for the hosts behind it.",
            name.get_ref()
        );
        return Err(source.error(Code::FieldMissing, name.span(), message));
    }
    Ok(Ingress {
        name: name.get_ref().clone(),
        listen: Listen::Ip(LISTEN),
        kind: IngressKind::Intercept(Box::new(selector)),
        proxy_protocol: ProxyProtocol::default(),
        clients: Clients::default(),
    })
}

fn protocol(source: &Source<'_>, raw: &RawIngress) -> Result<Protocol, ConfigError> {
    match raw.protocol.as_ref().map(located) {
        None | Some(("tcp", _)) => Ok(Protocol::Tcp),
        Some(("udp", _)) => Ok(Protocol::Udp),
        Some((other, span)) => {
            let message = format!(
                "`{other}` is not a protocol that is intercepted; write \"tcp\" or \"udp\", and an ingress for each."
            );
            Err(source.error(Code::WrongValue, span, message))
        }
    }
}

/// Rejects an ingress beyond the marks that there are.
pub(super) fn check_count(
    source: &Source<'_>,
    name: &Spanned<String>,
    ingresses: &[Ingress],
) -> Result<(), ConfigError> {
    let count = ingresses.iter().filter(|of| of.kind.intercepts().is_some()).count();
    match count >= MAX_MARKS {
        false => Ok(()),
        true => {
            let message = format!(
                "There are more than {MAX_MARKS} ingresses of kind \"intercept\"; write what they select into fewer."
            );
            Err(source.error(Code::WrongValue, name.span(), message))
        }
    }
}

fn prefixes(source: &Source<'_>, list: Option<&SpannedList>) -> Result<Vec<IpNet>, ConfigError> {
    located_list(list).into_iter().map(|at| source.prefix(at)).collect()
}

/// Rejects a field that a kind of ingress does not have.
pub(super) fn reject_field<T>(
    source: &Source<'_>,
    kind: &str,
    field: &str,
    word: Option<&Spanned<T>>,
) -> Result<(), ConfigError> {
    match word {
        None => Ok(()),
        Some(word) => {
            let message = format!("An ingress of kind \"{kind}\" has no `{field}`; remove it.");
            Err(source.error(Code::FieldsConflict, word.span(), message))
        }
    }
}

/// Rejects, for the other kinds, the fields of this one.
pub(super) fn reject_fields(source: &Source<'_>, raw: &RawIngress) -> Result<(), ConfigError> {
    let fields = [
        ("users", &raw.users),
        ("cgroups", &raw.cgroups),
        ("interfaces", &raw.interfaces),
        ("ports", &raw.ports),
        ("except", &raw.except),
    ];
    let list = fields.iter().find_map(|(field, list)| Some((*field, list.as_ref()?.span())));
    match list.or_else(|| Some(("dns", raw.dns.as_ref()?.span()))) {
        None => Ok(()),
        Some((field, span)) => {
            let message = format!(
                "`{field}` is for ingresses of kind \"intercept\"; remove it, or write such a kind."
            );
            Err(source.error(Code::FieldsConflict, span, message))
        }
    }
}
