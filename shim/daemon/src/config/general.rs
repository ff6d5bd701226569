//! The fields at the top level.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::raw::{SpannedList, SpannedText};
use super::size;
use super::source::{Source, located, located_list};
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
            return Err(source.error(at.1, format!("{address} is listed twice; remove one.")));
        }
        listen.push(address);
    }
    Ok(listen)
}

/// What `linger` may be. Less than a second would end flows in the gap between two lanes; a year is
/// longer than any outage that somebody waits for.
const LINGER: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);

/// Parses `linger` and `memory`.
pub(super) fn limits(
    source: &Source<'_>,
    linger: Option<&SpannedText>,
    memory: Option<&SpannedText>,
) -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    if let Some((text, span)) = linger.map(located) {
        limits.linger = humantime::parse_duration(text).map_err(|error| {
            source.error(
                span.clone(),
                format!("`{text}` is not a duration ({error}); write one like 90s, 30m or 12h."),
            )
        })?;
        if !LINGER.contains(&limits.linger) {
            let message = format!("`{text}` is out of range; write a duration from 1s to 365d.");
            return Err(source.error(span, message));
        }
    }
    if let Some((text, span)) = memory.map(located) {
        limits.memory = size::bytes(text).ok_or_else(|| {
            let message = format!("`{text}` is not an amount of memory; write one like 256MiB.");
            source.error(span.clone(), message)
        })?;
        if limits.memory < MIN_MEMORY {
            let message = format!("`{text}` is too little memory; write at least 1MiB.");
            return Err(source.error(span, message));
        }
    }
    Ok(limits)
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
            span,
            format!(
                "`{text}` is not a `default`; write \"direct\" or \"reject\". To go through a peer, \
                 write a [[rule]] without `to`."
            ),
        )),
    }
}
