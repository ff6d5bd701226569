//! The `[limits]` table: bounds that a large site raises and a small machine lowers.

use std::ops::RangeInclusive;

use super::error::ConfigError;
use super::raw::{RawLimits, SpannedText};
use super::source::{Source, located};
use crate::catalogue::Code;
use crate::proxy::connections::ConnectionLimits;
use throughline::Limits;

/// What `flows` may be. Flow ids may arrive out of order, and a session of more flows could not open
/// all of them at once.
const FLOWS: RangeInclusive<usize> = 1..=1_000_000;
/// What `sessions` may be. Less than two would refuse the session of a peer that was started anew.
const SESSIONS: RangeInclusive<usize> = 2..=1_000;
/// What `lanes` may be. A peer keeps four, and dials beside silent ones.
const LANES: RangeInclusive<usize> = 4..=256;
/// What `connections` and `dials` may be.
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;

/// Parses the table into the bounds of the node and those of its proxy.
pub(super) fn parse(
    source: &Source<'_>,
    raw: &RawLimits,
    limits: &mut Limits,
) -> Result<ConnectionLimits, ConfigError> {
    let number = |text: Option<&SpannedText>, range: RangeInclusive<usize>, default: usize| {
        let Some((text, span)) = text.map(located) else { return Ok(default) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            let message = format!("`{text}` is not a number from {least} to {most}.");
            source.error(Code::OutOfRange, span, message)
        })
    };
    limits.flows_per_session = number(raw.flows.as_ref(), FLOWS, limits.flows_per_session)?;
    limits.sessions_per_peer = number(raw.sessions.as_ref(), SESSIONS, limits.sessions_per_peer)?;
    limits.lanes_per_session = number(raw.lanes.as_ref(), LANES, limits.lanes_per_session)?;
    let defaults = ConnectionLimits::of_flows(limits.flows_per_session);
    Ok(ConnectionLimits {
        per_ingress: number(raw.connections.as_ref(), CONNECTIONS, defaults.per_ingress)?,
        datagram_flows: defaults.datagram_flows,
        dials_of_peer: number(raw.dials.as_ref(), CONNECTIONS, defaults.dials_of_peer)?,
    })
}
