//! The fields at the top level.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::error::ConfigError;
use super::raw::{SpannedList, SpannedText};
use super::size;
use super::source::{Located, Source, located, located_list};
use super::{Admin, ExistingFlows, Web};
use crate::catalogue::Code;
use crate::log_filter;
use crate::proxy::connections::TcpTimeouts;
use crate::proxy::rules::Via;
use throughline::Limits;

/// The least memory bound, in bytes: with less, a fast path could not be kept busy by even one flow.
const MIN_MEMORY: u64 = 1 << 20;

/// Parses `listen`.
pub(super) fn listen(
    source: &Source<'_>,
    list: Option<&SpannedList>,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut listen = Vec::new();
    for at in located_list(list) {
        let address = source.address(at.clone())?;
        if address.port() != 0 && listen.contains(&address) {
            return Err(source.error(
                Code::GivenTwice,
                at.1,
                format!("{address} is listed twice; remove one."),
            ));
        }
        listen.push(address);
    }
    Ok(listen)
}

/// Parses `admin`: the path of a socket, or `false`.
pub(super) fn admin(
    source: &Source<'_>,
    admin: Option<&Spanned<toml::Value>>,
) -> Result<Admin, ConfigError> {
    let Some(admin) = admin else { return Ok(Admin::Default) };
    match admin.get_ref() {
        toml::Value::String(path) => Ok(Admin::At(source.file_path(Path::new(path)))),
        toml::Value::Boolean(false) => Ok(Admin::Off),
        other => {
            let message = format!(
                "`admin` is the path of a socket, as in \"/run/throughline.sock\", or false for none; this is {other}."
            );
            Err(source.error(Code::WrongValue, admin.span(), message))
        }
    }
}

/// What `linger` may be. Less than a second would end flows in the gap between two lanes; a year is
/// longer than any outage that somebody waits for.
const LINGER: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);

/// What `tcp-keepalive` and `tcp-user-timeout` may be: less than 10 s would take a moment's silence for
/// the end, and Linux counts an idle time of at most 32767 s.
const TCP_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(12 * 3600);

/// Parses `tcp-keepalive` and `tcp-user-timeout`.
pub(super) fn tcp_timeouts(
    source: &Source<'_>,
    keepalive: Option<&SpannedText>,
    user_timeout: Option<&SpannedText>,
) -> Result<TcpTimeouts, ConfigError> {
    let parse = |(text, span): Located<'_>| {
        if text == "off" {
            return Ok(None);
        }
        let value = source.duration((text, span.clone()), "2m, or \"off\"")?;
        if !TCP_TIMEOUT.contains(&value) {
            let message = format!("`{text}` is out of range; write a duration from 10s to 12h.");
            return Err(source.error(Code::OutOfRange, span, message));
        }
        Ok(Some(value))
    };
    let mut timeouts = TcpTimeouts::default();
    if let Some(text) = keepalive {
        timeouts.keepalive = parse(located(text))?;
    }
    if let Some(text) = user_timeout {
        timeouts.user_timeout = parse(located(text))?;
    }
    Ok(timeouts)
}

/// Parses `linger` and `memory`.
pub(super) fn limits(
    source: &Source<'_>,
    linger: Option<&SpannedText>,
    memory: Option<&SpannedText>,
) -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    if let Some((text, span)) = linger.map(located) {
        limits.linger = source.duration((text, span.clone()), "90s, 30m or 12h")?;
        if !LINGER.contains(&limits.linger) {
            let message = format!("`{text}` is out of range; write a duration from 1s to 365d.");
            return Err(source.error(Code::OutOfRange, span, message));
        }
    }
    if let Some((text, span)) = memory.map(located) {
        limits.memory = size::bytes(text).ok_or_else(|| {
            let message = format!("`{text}` is not an amount of memory; write one like 256MiB.");
            source.error(Code::WrongValue, span.clone(), message)
        })?;
        if limits.memory < MIN_MEMORY {
            let message = format!("`{text}` is too little memory; write at least 1MiB.");
            return Err(source.error(Code::OutOfRange, span, message));
        }
    }
    Ok(limits)
}

/// Parses `log`.
pub(super) fn log(
    source: &Source<'_>,
    log: Option<&SpannedText>,
) -> Result<Option<String>, ConfigError> {
    let Some((text, span)) = log.map(located) else { return Ok(None) };
    match log_filter::parse(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(error) => Err(source.error(
            Code::WrongValue,
            span,
            format!(
                "`{text}` is not a log filter ({error}); write one like info, or \
                 throughline=debug."
            ),
        )),
    }
}

/// Parses `on-event`.
pub(super) fn on_event(
    source: &Source<'_>,
    list: Option<&SpannedList>,
) -> Result<Vec<String>, ConfigError> {
    let command = located_list(list);
    // A service has another search path than the shell in which the command was tried.
    if let Some((program, span)) = command.first()
        && !Path::new(program).is_absolute()
    {
        let message = format!(
            "`{program}` is not the whole path of a program; write one like \"/usr/local/sbin/on-event\", and its \
             arguments after it."
        );
        return Err(source.error(Code::WrongValue, span.clone(), message));
    }
    Ok(command.into_iter().map(|(text, _)| text.to_owned()).collect())
}

/// Parses `web` and `web-token-file`, beside the address of the metrics.
pub(super) fn web(
    source: &Source<'_>,
    (listen, token_file): (Option<&SpannedText>, Option<&Spanned<String>>),
    metrics: Option<SocketAddr>,
) -> Result<Option<Web>, ConfigError> {
    let Some((text, span)) = listen.map(located) else {
        let Some(token_file) = token_file else { return Ok(None) };
        let message = "`web-token-file` is for the status page, and there is none; write web = \"127.0.0.1:9481\" as \
                       well, or remove it.";
        return Err(source.error(Code::FieldsConflict, token_file.span(), message));
    };
    let listen = source.address((text, span.clone()))?;
    if listen.port() != 0 && metrics == Some(listen) {
        let message = format!("`metrics` has {listen} already; write another port.");
        return Err(source.error(Code::GivenTwice, span, message));
    }
    let token_file = token_file.map(|path| source.path(path));
    if token_file.is_none() && !listen.ip().is_loopback() {
        let message = format!(
            "Others can connect to {listen} and would read the names of peers, targets and uplinks; add \
             `web-token-file`, or listen on 127.0.0.1 and come by `ssh -L`."
        );
        return Err(source.error(Code::Exposed, span, message));
    }
    Ok(Some(Web { listen, token_file }))
}

/// Parses `existing-flows`.
pub(super) fn existing_flows(
    source: &Source<'_>,
    text: Option<&SpannedText>,
) -> Result<ExistingFlows, ConfigError> {
    match text.map(located) {
        None | Some(("end", _)) => Ok(ExistingFlows::End),
        Some(("keep", _)) => Ok(ExistingFlows::Keep),
        Some((text, span)) => {
            let message =
                format!("`{text}` is not an `existing-flows`; write \"end\" or \"keep\".");
            Err(source.error(Code::WrongValue, span, message))
        }
    }
}

/// Parses `default`.
pub(super) fn default_via(
    source: &Source<'_>,
    default: Option<&SpannedText>,
) -> Result<Via, ConfigError> {
    match default.map(located) {
        None | Some(("reject", _)) => Ok(Via::Reject),
        Some(("direct", _)) => Ok(Via::Direct),
        Some((text, span)) => Err(source.error(
            Code::WrongValue,
            span,
            format!(
                "`{text}` is not a `default`; write \"direct\" or \"reject\". To go through a peer, \
                 write a [[rule]] without `to`."
            ),
        )),
    }
}
