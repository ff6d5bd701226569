//! Tells by a burst of packets, each of which is answered, what limits the rate of a path. Pure.
//!
//! The idea is that of Flach et al., "An Internet-Wide Analysis of Traffic Policing" (SIGCOMM 2016): a policer drops
//! what is above its rate and delays nothing, a shaper or a slow link queues it first. So what counts is how much later
//! packets came that were sent beside lost ones. They look at traces of TCP; here the burst is our own, so that less is
//! needed: it has a slow part before the fast one, by which losses at random, which are as many in both, are told from a
//! policer, which passes the same rate in both.

use std::time::Duration;

/// A packet of a burst; times are since its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) sent: Duration,
    /// When its answer came, if one did.
    pub(crate) answered: Option<Duration>,
}

/// A burst: packets of one size, in the order in which they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Burst {
    /// The bytes of a packet, with its headers.
    pub(crate) size: usize,
    /// How many of them were sent slowly, before the fast ones.
    pub(crate) slow: usize,
    pub(crate) packets: Vec<Packet>,
}

/// What limits the rate of a path, in bits a second.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RateSeen {
    /// Nothing, up to this rate.
    Free { offered: f64 },
    /// What is above the rate is dropped, once so many bytes have passed.
    Policed { rate: f64, burst: f64, lost: f64 },
    /// What is above the rate waits, for so long here; some of it was lost then.
    Shaped { rate: f64, delay: Duration, lost: f64 },
    /// This part is lost, at any rate.
    Lossy { lost: f64 },
    /// It cannot be told, and why.
    Unknown(String),
}

/// Losses are explained from this part of the fast packets on, and this many.
const LOSSES: f64 = 0.02;
const MIN_LOSSES: usize = 8;

/// What comes at less than this part of the rate at which it was sent was held up.
const HELD_UP: f64 = 0.85;

/// What waits for less than this waits for nobody's queue: a policer's neighbours, and the jitter of a busy end.
const NO_QUEUE: Duration = Duration::from_millis(5);

/// A loss begins what counts as policing where so many of the packets after it are lost as well.
const ONSET: (usize, usize) = (3, 20);

/// Where fewer of the fast packets are lost, and none waits, the losses are at random: a policer of just less than the
/// rate of the burst would be a coincidence.
const POLICED: f64 = 0.1;

/// Fewer losses of slow packets than this part of what losses at random would be are none.
const CLEAN: f64 = 1.0 / 3.0;

/// Two rates are the same if none is this many times the other.
const SAME_RATE: f64 = 2.0;

/// Returns what a burst shows.
pub(crate) fn judge(burst: &Burst) -> RateSeen {
    let (slow, fast) = burst.packets.split_at(burst.slow.min(burst.packets.len()));
    let delays = burst.packets.iter().filter_map(delay);
    let Some(base) = delays.min() else {
        return RateSeen::Unknown("no packet of the burst was answered".to_owned());
    };
    let lost = fast.iter().filter(|packet| packet.answered.is_none()).count();
    let share = lost as f64 / fast.len().max(1) as f64;
    let (Some(offered), Some(arrived)) = (offered(fast, burst.size), arrived(fast, burst.size))
    else {
        return RateSeen::Unknown("too few packets of the burst were answered".to_owned());
    };
    if lost < MIN_LOSSES || share < LOSSES {
        let delay = queued(fast.iter().filter_map(delay), base);
        return match arrived < offered * HELD_UP && delay > NO_QUEUE {
            true => RateSeen::Shaped { rate: arrived, delay, lost: share },
            false => RateSeen::Free { offered },
        };
    }
    let beside = queued(beside_losses(fast), base);
    if beside > NO_QUEUE {
        return RateSeen::Shaped { rate: arrived, delay: beside, lost: share };
    }
    policed(burst, (slow, fast), share)
}

/// Tells a policer from losses at random, where packets are lost and none waits.
fn policed(burst: &Burst, (slow, fast): (&[Packet], &[Packet]), lost: f64) -> RateSeen {
    let all = &burst.packets;
    let Some(onset) = onset(all).filter(|_| lost >= POLICED) else {
        return RateSeen::Lossy { lost };
    };
    let slowly_lost = slow.iter().filter(|packet| packet.answered.is_none()).count();
    let slow_is_clean = (slowly_lost as f64) < lost * slow.len() as f64 * CLEAN;
    let [slow_rate, fast_rate] =
        [&slow[onset.min(slow.len())..], fast].map(|part| passed(part, burst.size));
    if !slow_is_clean && fast_rate > slow_rate * SAME_RATE {
        return RateSeen::Lossy { lost };
    }
    let rate = passed(&all[onset..], burst.size);
    // A policer's bucket stays full while less comes than its rate.
    let full_until = if slow_is_clean { slow.len().min(onset) } else { 0 };
    let filled = all[onset].sent.saturating_sub(all[full_until].sent).as_secs_f64() * rate / 8.0;
    let bucket = ((onset - full_until) * burst.size) as f64 - filled;
    RateSeen::Policed { rate, burst: bucket.max(0.0), lost }
}

/// How long a packet and its answer took.
fn delay(packet: &Packet) -> Option<Duration> {
    packet.answered?.checked_sub(packet.sent)
}

/// Returns how much more than `base` the middle one of these took.
fn queued(delays: impl Iterator<Item = Duration>, base: Duration) -> Duration {
    let mut delays: Vec<Duration> = delays.collect();
    delays.sort_unstable();
    delays.get(delays.len() / 2).map_or(Duration::ZERO, |middle| middle.saturating_sub(base))
}

/// Returns, for each lost packet, how long the one took that was answered last before it.
fn beside_losses(packets: &[Packet]) -> impl Iterator<Item = Duration> {
    let mut last = None;
    packets.iter().filter_map(move |packet| match delay(packet) {
        Some(took) => {
            last = Some(took);
            None
        }
        None => last,
    })
}

/// Returns the rate at which packets were sent; none of too few.
fn offered(packets: &[Packet], size: usize) -> Option<f64> {
    rate(packets.first()?.sent, packets.last()?.sent, packets.len(), size)
}

/// Returns the rate at which answers came, as if each were as large as its packet; none of too few.
fn arrived(packets: &[Packet], size: usize) -> Option<f64> {
    let times = || packets.iter().filter_map(|packet| packet.answered);
    rate(times().min()?, times().max()?, times().count(), size)
}

fn rate(from: Duration, to: Duration, count: usize, size: usize) -> Option<f64> {
    let time = to.checked_sub(from)?.as_secs_f64();
    (count >= MIN_LOSSES && time > 0.0).then(|| ((count - 1) * size * 8) as f64 / time)
}

/// Returns the rate of what passed, over the time in which it was sent.
fn passed(packets: &[Packet], size: usize) -> f64 {
    let time = match packets {
        [first, .., last] => last.sent.saturating_sub(first.sent).as_secs_f64(),
        _ => return 0.0,
    };
    let count = packets.iter().filter(|packet| packet.answered.is_some()).count();
    (count * size * 8) as f64 / time.max(0.001)
}

/// Returns from which packet on packets are lost, but for single ones before.
fn onset(packets: &[Packet]) -> Option<usize> {
    let (losses, of) = ONSET;
    let is_lost = |packet: &&Packet| packet.answered.is_none();
    (0..packets.len()).find(|at| {
        let window = packets[*at..].iter().take(of);
        is_lost(&&packets[*at]) && window.filter(is_lost).count() >= losses
    })
}

#[cfg(test)]
mod tests;
