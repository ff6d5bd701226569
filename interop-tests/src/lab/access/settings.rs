//! What a link does besides: the words after the first.

use throughline_link::{CoDel, GilbertElliott, Jitter, Loss, Policer, Queue};

use super::amount::{duration, percent, rate, size};

/// The smallest bucket that lets a full packet pass.
const LEAST_BURST: u64 = 1500;

/// Returns a queue: `300kB`, `50ms` or `codel`; a number alone is in milliseconds.
///
/// # Errors
/// When it is none.
pub fn queue(text: &str) -> Result<Queue, String> {
    if text == "codel" {
        return Ok(Queue::CoDel(CoDel::default()));
    }
    let found = if text.ends_with('B') {
        size(text).map(Queue::Bytes)
    } else {
        duration(text).map(Queue::Time)
    };
    found.map_err(|_| format!("`{text}` is no queue: give 300kB, 50ms or codel"))
}

/// Returns a loss: `2%` of all packets independently, or `2%:5`, in bursts of 5 on average
/// (Gilbert–Elliott).
///
/// # Errors
/// When it is none.
pub fn loss(text: &str) -> Result<Loss, String> {
    let Some((part, length)) = text.split_once(':') else {
        return percent(text).map(Loss::Random);
    };
    let length = length.parse().ok().filter(|length: &f64| (1.0..=10_000.0).contains(length));
    let length = length.ok_or_else(|| {
        format!("`{text}` is no loss in bursts: give 2%:5, with a mean length from 1")
    })?;
    Ok(Loss::Bursty(GilbertElliott::bursts(percent(part)?, length)))
}

/// Returns a jitter: `100ms` drawn for each packet, in order; `100ms:unordered`;
/// `100ms:stepped:HOLD`; `100ms:correlated:MEMORY`.
///
/// # Errors
/// When it is none.
pub fn jitter(text: &str) -> Result<Jitter, String> {
    let mut fields = text.split(':');
    let spread = duration(fields.next().unwrap_or_default())?;
    let kind = (fields.next(), fields.next().map(duration).transpose()?, fields.next());
    match kind {
        (None | Some("ordered"), None, None) => Ok(Jitter::Ordered { spread }),
        (Some("unordered"), None, None) => Ok(Jitter::Unordered { spread }),
        (Some("stepped"), Some(hold), None) => Ok(Jitter::Stepped { spread, hold }),
        (Some("correlated"), Some(memory), None) => Ok(Jitter::Correlated { spread, memory }),
        _ => Err(format!(
            "`{text}` is no jitter: give 100ms, 100ms:unordered, 100ms:stepped:100ms or \
             100ms:correlated:50ms"
        )),
    }
}

/// Returns a policer: `20,64kB`, Mbit/s and the burst that it lets pass.
///
/// # Errors
/// When it is none, or would never pass a full packet.
pub fn policer(text: &str) -> Result<Policer, String> {
    let (mbits, burst) = text
        .split_once(',')
        .ok_or_else(|| format!("`{text}` is no policer: give 20,64kB (Mbit/s, burst)"))?;
    let policer = Policer { rate: rate(mbits)?, burst: size(burst)? };
    if policer.burst < LEAST_BURST {
        return Err(format!(
            "a burst of {burst} never passes a full packet: give {LEAST_BURST}B or more"
        ));
    }
    Ok(policer)
}
