//! What a lane sensor has recorded. Pure: it takes `now`.

use std::time::{Duration, Instant};

use throughline_proto::lane::{Overtaken, PauseHistogram, Pauses, SensorSnapshot};

use super::ack_clock::AckClock;
use super::outstanding::{FULL_MARGIN_DIVISOR, Outstanding, Removal, Size};
use super::rtt::Rtt;
use super::silences::Silences;
use crate::pings::Pings;

/// The round-trip time assumed of a path that has not been measured; quinn is configured with it.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);

/// For how long after a packet that is not full was acknowledged such packets are taken to pass: longer than
/// acknowledgements of a flow of them stay away on most paths.
const PASSES_TTL: Duration = Duration::from_millis(250);

/// The acknowledgements that arrived in one packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acked {
    /// Bytes of packets sent on this path.
    pub(crate) bytes: u64,
    /// Bytes of packets sent before the last migration.
    pub(crate) old_path_bytes: u64,
    /// Send time of the newest of them that was sent on this path.
    pub(crate) newest_sent: Option<Instant>,
    /// Send time of the oldest of them that was sent on this path.
    pub(crate) oldest_sent: Option<Instant>,
    /// Send time of the newest full packet among them.
    pub(crate) newest_full: Option<Instant>,
    /// The length of the longest packet among them that is not full.
    pub(crate) longest_partial: u64,
    /// The bytes that quinn counts in flight after them.
    pub(crate) in_flight: u64,
    /// The largest packet number acknowledged so far.
    pub(crate) largest: Option<u64>,
    /// The congestion window after them.
    pub(crate) cwnd: u64,
}

/// The record of one lane.
#[derive(Debug)]
pub(super) struct Record {
    /// The controller whose reports count: the one that sent last.
    pub(super) active: Option<u64>,
    /// How often the path has changed.
    pub(super) epoch: u64,
    pub(super) mtu: u64,
    /// When the lane last migrated.
    pub(super) moved_at: Option<Instant>,
    /// Bytes in flight that were sent before the last migration.
    pub(super) old_path_bytes: u64,
    /// A probe was allowed since the last acknowledgement.
    pub(super) probed: bool,
    /// Bytes in flight by quinn's last report, and what was sent since.
    pub(super) in_flight: u64,
    /// The same with acknowledgements and loss probes counted in: at least what quinn counts.
    pub(super) in_flight_bound: u64,
    pub(super) cwnd: u64,
    pub(super) acked: u64,
    pub(super) lost: u64,
    pub(super) sent: u64,
    pub(super) outstanding: Outstanding,
    /// The number of the last packet that was sent.
    last_number: u64,
    pub(super) overtaken: Overtaken,
    pub(super) pings: Pings,
    pub(super) last_sent: Option<Instant>,
    last_ack: Option<Instant>,
    newest_acked_sent: Option<Instant>,
    /// When the newest acknowledged full packet was sent, and when its acknowledgement arrived.
    newest_full: Option<Instant>,
    last_full: Option<Instant>,
    /// The length of packets that pass, though they are not full, and when one did.
    partial: Option<(u64, Instant)>,
    ack_clock: AckClock,
    pauses: PauseHistogram,
    silences: Silences,
    /// Those of which it is certain that nothing was lost.
    lossless_pauses: PauseHistogram,
    rtt: Option<Rtt>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            active: None,
            epoch: 0,
            mtu: 1200,
            moved_at: None,
            old_path_bytes: 0,
            probed: false,
            in_flight: 0,
            in_flight_bound: 0,
            cwnd: 0,
            acked: 0,
            lost: 0,
            sent: 0,
            outstanding: Outstanding::default(),
            last_number: 0,
            overtaken: Overtaken::default(),
            pings: Pings::default(),
            last_sent: None,
            last_ack: None,
            newest_acked_sent: None,
            newest_full: None,
            last_full: None,
            partial: None,
            ack_clock: AckClock::new(),
            pauses: PauseHistogram::default(),
            silences: Silences::default(),
            lossless_pauses: PauseHistogram::default(),
            rtt: None,
        }
    }

    /// Begins the record of another path: nothing is outstanding, and round-trip times are unknown.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.outstanding.clear();
        self.overtaken = Overtaken::default();
        self.pings.forget();
        self.newest_acked_sent = None;
        self.newest_full = None;
        self.partial = None;
        self.ack_clock = AckClock::new();
        self.pauses = PauseHistogram::default();
        self.silences.clear();
        self.lossless_pauses = PauseHistogram::default();
        self.rtt = None;
    }

    /// Takes in acknowledgements.
    pub(super) fn on_acked(&mut self, now: Instant, acked: &Acked) {
        self.acked += acked.bytes + acked.old_path_bytes;
        self.in_flight = acked.in_flight;
        self.in_flight_bound = acked.in_flight;
        self.old_path_bytes =
            (self.old_path_bytes.saturating_sub(acked.old_path_bytes)).min(acked.in_flight);
        self.cwnd = acked.cwnd;

        let silence = self.silence(now, acked.oldest_sent);
        self.note_partial(now, acked.longest_partial);
        let (by_number, overtaken) = self.outstanding.remove_acked(Removal {
            largest: acked.largest,
            newest_sent: acked.newest_sent,
            newest_full: acked.newest_full,
            passes: self.partial.map_or(0, |(length, _)| length),
            mtu: self.mtu,
        });
        let newest = acked.newest_sent.max(by_number);
        self.newest_acked_sent = self.newest_acked_sent.max(newest);
        // While quinn validates a path it does not report the sizes of what is acknowledged.
        let unreported = acked.newest_sent.is_none() && acked.old_path_bytes == 0;
        let full = acked.newest_full.or(by_number.filter(|_| unreported));
        self.overtake(full.is_some(), overtaken);
        self.learn_pause(now, silence, newest);
        if full.is_some() {
            self.newest_full = self.newest_full.max(full);
            self.last_full = Some(now);
        }
        if let Some(sent) = acked.newest_sent {
            self.rtt = Some(Rtt::after(self.rtt, now, sent));
        }
        // Acknowledgements of acknowledgements are no sign of progress.
        if newest.is_some() || acked.old_path_bytes > 0 {
            self.last_ack = Some(now);
            self.probed = false;
            self.ack_clock.on_ack(now, self.rtt.map_or(INITIAL_RTT, |rtt| rtt.smoothed));
        }
        if acked.in_flight == 0 {
            self.outstanding.clear();
            self.ack_clock.stop();
        }
    }

    /// Takes in that packets up to `last_number`, `bytes` together, are sent; returns their size.
    pub(super) fn count_sent(&mut self, last_number: u64, bytes: u64) -> Size {
        let packets =
            last_number.saturating_sub(std::mem::replace(&mut self.last_number, last_number));
        // Datagrams of one burst are of one size but for the last.
        let full = (bytes + self.mtu / FULL_MARGIN_DIVISOR) / self.mtu.max(1);
        let saturated = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Size { bytes, packets: saturated(packets), full: saturated(full.min(packets)) }
    }

    /// Takes in that a packet of this length was acknowledged that is not full (0: none was).
    fn note_partial(&mut self, now: Instant, length: u64) {
        let known = self.partial.filter(|(_, at)| now.saturating_duration_since(*at) < PASSES_TTL);
        self.partial = match known {
            Some((longest, _)) if length < longest => known,
            _ if length > 0 => Some((length, now)),
            _ => known,
        };
    }

    /// Takes in acknowledgements, of a full packet or not, and how many full ones smaller packets overtook since.
    fn overtake(&mut self, full: bool, packets: u32) {
        if full {
            self.overtaken = Overtaken::default();
        }
        if packets > 0 {
            self.overtaken.packets = self.overtaken.packets.saturating_add(packets);
            self.overtaken.turns = self.overtaken.turns.saturating_add(1);
        }
    }

    /// Returns the silence that ends `now`, with the acknowledgement of packets of which the oldest was `sent` then:
    /// for how long it was due, as far as that packet waited. After an outage it is of a packet that was sent since,
    /// which waited for nothing.
    fn silence(&self, now: Instant, sent: Option<Instant>) -> Option<Duration> {
        let (sent, rtt, oldest) = (sent?, self.rtt?, self.outstanding.oldest()?);
        let due = (oldest + rtt.smoothed).max(self.last_ack.unwrap_or(oldest));
        let waited = now.saturating_duration_since(sent + rtt.smoothed);
        Some(now.saturating_duration_since(due).min(waited))
    }

    /// Learns from a silence. Under bulk it is proven to be a pause once the newest packet is acknowledged that was
    /// under way.
    fn learn_pause(&mut self, now: Instant, silence: Option<Duration>, newest: Option<Instant>) {
        let Some(silence) = silence else { return };
        self.pauses.record(now, silence, self.in_flight);
        if PauseHistogram::is_bulk(self.in_flight) {
            self.silences.ended(silence, self.last_sent.unwrap_or(now));
            self.lossless_pauses.record(now, Duration::ZERO, self.in_flight);
        } else {
            self.lossless_pauses.record(now, silence, self.in_flight);
        }
        while let Some(pause) = self.silences.next_pause(newest, self.overtaken.packets) {
            self.lossless_pauses.record(now, pause, self.in_flight);
        }
    }

    /// Returns what is known of the path's pauses. Flows leave a lane by what may have been pauses; when it has failed
    /// is told by those that were.
    fn known_pauses(&self) -> Pauses {
        let Pauses { fail_after, .. } = self.lossless_pauses.known(self.in_flight);
        Pauses { fail_after, ..self.pauses.known(self.in_flight) }
    }

    /// Returns what has been recorded up to now.
    pub(super) fn snapshot(&self) -> SensorSnapshot {
        let rtt = self.rtt.unwrap_or(Rtt::initial(INITIAL_RTT));
        SensorSnapshot {
            in_flight: self.in_flight.saturating_sub(self.old_path_bytes),
            cwnd: self.cwnd,
            acked_bytes: self.acked,
            lost_bytes: self.lost,
            sent_bytes: self.sent,
            last_ack: self.last_ack,
            oldest_unacked: self.outstanding.oldest(),
            overtaken: self.overtaken,
            newest_acked_sent: self.newest_acked_sent,
            newest_full_acked_sent: self.newest_full,
            last_full_ack: self.last_full,
            last_sent: self.last_sent,
            ack_interval: self.ack_clock.interval(),
            srtt: rtt.smoothed,
            rttvar: rtt.variation,
            min_rtt: rtt.min,
            pauses: self.known_pauses(),
            epoch: self.epoch,
        }
    }
}
