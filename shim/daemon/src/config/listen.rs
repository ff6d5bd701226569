//! Where an ingress listens: at an address, or at a Unix socket of some mode and owner.

use std::path::Path;

use nix::unistd::{Group, User};
use toml::Spanned;

use super::error::ConfigError;
use super::raw::RawIngress;
use super::source::Source;
use crate::catalogue::Code;
use crate::proxy::ingress::{IngressKind, Listen, UnixPath};
use crate::unix_socket::Access;

/// What precedes the path of a Unix socket.
const UNIX: &str = "unix:";

/// The longest path of a Unix socket, in bytes (unix(7): `sun_path`, with its final zero 108).
const MAX_PATH: usize = 107;

/// Parses the place of an ingress.
pub(super) fn parse(
    source: &Source<'_>,
    listen: (&str, std::ops::Range<usize>),
    raw: &RawIngress,
) -> Result<Listen, ConfigError> {
    let (text, span) = listen;
    let Some(path) = text.strip_prefix(UNIX) else {
        for (field, word) in [("mode", &raw.socket_mode), ("owner", &raw.socket_owner)] {
            if let Some(word) = word {
                let message = format!(
                    "`socket-{field}` is for a Unix socket, as in listen = \"unix:/run/throughline/proxy.sock\"; \
                     remove it."
                );
                return Err(source.error(Code::FieldsConflict, word.span(), message));
            }
        }
        if text.starts_with(['/', '.']) {
            let message = format!("Write listen = \"{UNIX}{text}\" for a Unix socket.");
            return Err(source.error(Code::WrongValue, span, message));
        }
        return source.address((text, span)).map(Listen::Ip);
    };
    if path.is_empty() || path.ends_with('/') {
        let message = "It names no file; write a path, as in \"unix:/run/throughline/proxy.sock\".";
        return Err(source.error(Code::WrongValue, span, message));
    }
    let path = source.file_path(Path::new(path));
    if path.as_os_str().len() > MAX_PATH {
        let message = format!(
            "{} is longer than the {MAX_PATH} bytes that a Unix socket's path may have; write a shorter one.",
            path.display()
        );
        return Err(source.error(Code::WrongValue, span, message));
    }
    let mode = raw.socket_mode.as_ref().map(|word| mode(source, word)).transpose()?;
    let owner = raw.socket_owner.as_ref().map(|word| owner(source, word)).transpose()?;
    let (user, group) = owner.unwrap_or_default();
    let mode = mode.unwrap_or(Access::OWN_USER.mode);
    Ok(Listen::Unix(UnixPath { path, access: Access { mode, user, group } }))
}

/// Rejects what needs the addresses of clients.
pub(super) fn check_unix(
    source: &Source<'_>,
    span: std::ops::Range<usize>,
    (listen, kind): (&Listen, &IngressKind),
    raw: &RawIngress,
) -> Result<(), ConfigError> {
    if listen.ip().is_some() {
        return Ok(());
    }
    if kind.takes_datagrams() {
        let message = "Datagrams are taken at an address of UDP, not at a Unix socket; write one, as in listen = \
                       \"127.0.0.1:5353\".";
        return Err(source.error(Code::FieldsConflict, span, message));
    }
    if let Some(from) = &raw.allow_from {
        let message = "`allow-from` names addresses, and the clients of a Unix socket have none: its file says who may \
                       connect (`socket-mode`, `socket-owner`); remove it.";
        return Err(source.error(Code::FieldsConflict, from.span(), message));
    }
    if let Some(from) = &raw.accept_proxy_protocol {
        let message = "`accept-proxy-protocol` names addresses of load balancers, and the clients of a Unix socket \
                       have none; remove it, or listen at an address.";
        return Err(source.error(Code::FieldsConflict, from.span(), message));
    }
    Ok(())
}

fn mode(source: &Source<'_>, word: &Spanned<String>) -> Result<u32, ConfigError> {
    let text = word.get_ref();
    let parsed = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    parsed.filter(|_| (3..=4).contains(&text.len())).ok_or_else(|| {
        let message =
            format!("`{text}` is not a mode; write it in octal, as in \"0660\": owner and group.");
        source.error(Code::WrongValue, word.span(), message)
    })
}

/// Returns the user and the group.
fn owner(
    source: &Source<'_>,
    word: &Spanned<String>,
) -> Result<(Option<u32>, Option<u32>), ConfigError> {
    let text = word.get_ref();
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let unknown = |what: &str, name: &str| {
        let message = format!(
            "There is no {what} `{name}` on this host; write \"USER\", \"USER:GROUP\" or \":GROUP\"."
        );
        source.error(Code::UnknownName, word.span(), message)
    };
    if user.is_empty() && group.is_empty() {
        return Err(unknown("user", user));
    }
    let by_user = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    let by_group =
        |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    let find = |what, name: &str, by_name: &dyn Fn(&str) -> Option<u32>| match name {
        "" => Ok(None),
        name => {
            let number = name.parse().ok().or_else(|| by_name(name));
            number.map(Some).ok_or_else(|| unknown(what, name))
        }
    };
    Ok((find("user", user, &by_user)?, find("group", group, &by_group)?))
}
