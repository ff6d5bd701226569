//! One end of a lane: packets, acknowledgements, loss recovery, as QUIC does it (RFC 9002).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use throughline_proto::flow::ranges::RangeSet;
use throughline_proto::lane::SensorSnapshot;

use crate::link::{MS, Nanos, SEC};
use crate::sensor::{InFlight, Sensor};
use crate::streams::{Chunk, Inbox, Outbox};

const MTU: usize = 1200;
const OVERHEAD: usize = 40;
/// Fits beside an acknowledgement.
const PROBE: usize = 1100;
const ACK_DELAY: Nanos = 5 * MS;
/// A sample of the round-trip time counts in full up to twice this.
const MIN_SAMPLE_BOUND: Nanos = 30 * MS;
/// A connection that hears nothing for so long while it waits for something is dead. Its monitor gives it
/// up sooner, unless its host sleeps.
const IDLE: Nanos = 30 * SEC;
const KEEP_ALIVE: Nanos = 4 * SEC;

#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Stream(Chunk),
    /// Of a datagram flow (RFC 9221).
    Datagram(Bytes),
    Reset(u64),
    Stop(u64),
    Ack(Vec<Range<u64>>),
    Ping,
    /// A ping as large as a packet of bulk: a small answer would not prove that those pass.
    Probe,
    Close,
}

impl Frame {
    /// Returns whether it is sent once and no more.
    fn is_unreliable(&self) -> bool {
        matches!(self, Self::Ping | Self::Probe | Self::Datagram(_))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) number: u64,
    pub(crate) frames: Vec<Frame>,
}

impl Packet {
    pub(crate) fn size(&self) -> u64 {
        let payload = |f: &Frame| match f {
            Frame::Stream(chunk) => chunk.data.len() + 8,
            Frame::Datagram(data) => data.len() + 8,
            Frame::Probe => PROBE,
            _ => 16,
        };
        (OVERHEAD + self.frames.iter().map(payload).sum::<usize>()) as u64
    }
}

#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) at: Nanos,
    size: u64,
    frames: Vec<Frame>,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) sensor: Sensor,
    /// When the lane's monitor is to be asked again.
    pub(crate) check_at: Option<Nanos>,
    /// Packets not acknowledged, by number.
    pub(crate) sent: BTreeMap<u64, Sent>,
    pub(crate) window: u64,
    in_flight: u64,
    next_number: u64,
    sent_bytes: u64,
    lost: VecDeque<Frame>,
    /// Datagrams that leave next.
    pub(crate) datagrams: VecDeque<Bytes>,
    largest_acked: Option<u64>,
    probes: u32,
    pto_count: u32,
    last_eliciting: Nanos,
    got: RangeSet,
    unacked: u32,
    ack_at: Option<Nanos>,
    heard: Nanos,
    received: u64,
    pub(crate) srtt: Nanos,
    pub(crate) var: Nanos,
    /// When a sample was last too long to count in full.
    bounded_at: Option<Nanos>,
}

impl End {
    pub(crate) fn new(now: Nanos, window: u64, rtt: Nanos) -> Self {
        Self {
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            sensor: Sensor::new(),
            check_at: None,
            sent: BTreeMap::new(),
            window,
            in_flight: 0,
            next_number: 0,
            sent_bytes: 0,
            lost: VecDeque::new(),
            datagrams: VecDeque::new(),
            largest_acked: None,
            probes: 0,
            pto_count: 0,
            last_eliciting: now,
            got: RangeSet::new(),
            unacked: 0,
            ack_at: None,
            heard: now,
            received: 0,
            srtt: rtt,
            var: rtt / 2,
            bounded_at: None,
        }
    }

    /// Room for more bulk: a little more than the window, so that little is left on an old path.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.unsent + self.in_flight < self.window + self.window / 4
    }

    /// Room for a datagram, as a lane's pump sees it: it leaves at once, or is the only one that waits.
    pub(crate) fn takes_datagram(&self) -> bool {
        let waiting: usize = self.datagrams.iter().map(Bytes::len).sum();
        waiting == 0 || self.in_flight + (waiting + MTU) as u64 <= self.window
    }

    pub(crate) fn reset(&mut self, stream: u64) {
        if self.outbox.reset(stream) {
            self.lost.push_back(Frame::Reset(stream));
        }
    }

    pub(crate) fn stop(&mut self, stream: u64) {
        if !self.inbox.done.contains(&stream) {
            self.inbox.close(stream);
            self.lost.push_back(Frame::Stop(stream));
        }
    }

    pub(crate) fn ping(&mut self) {
        self.lost.push_back(Frame::Ping);
        self.probes += 1;
    }

    /// Asks whether the lane answers, past a full window.
    pub(crate) fn probe(&mut self) {
        self.lost.push_back(Frame::Probe);
        self.probes += 1;
    }

    /// The end is set up only now.
    pub(crate) fn begin(&mut self, now: Nanos) {
        (self.last_eliciting, self.heard) = (now, now);
    }

    /// The path is another one: what is under way on the old one is lost, and nothing is known of
    /// the new one but what a ping will tell.
    pub(crate) fn moved(&mut self, now: Nanos) {
        for (_, sent) in std::mem::take(&mut self.sent) {
            self.sensor.account(0, sent.size);
            self.lost.extend(sent.frames.into_iter().filter(|f| !f.is_unreliable()));
        }
        (self.in_flight, self.pto_count, self.last_eliciting, self.heard) = (0, 0, now, now);
        self.sensor.moved();
        self.ping();
    }

    fn pto(&self) -> Nanos {
        (self.srtt + (4 * self.var).max(MS) + 25 * MS) << self.pto_count.min(6)
    }

    fn oldest(&self) -> Option<Nanos> {
        self.sent.values().next().map(|sent| sent.at)
    }

    /// When the oldest packet was sent that is newer than all that are acknowledged.
    fn oldest_beyond_acked(&self) -> Option<Nanos> {
        let first = self.largest_acked.map_or(0, |largest| largest + 1);
        self.sent.range(first..).next().map(|(_, sent)| sent.at)
    }

    /// What the lane's sensor shows at `now`; virtual time began at `base`.
    pub(crate) fn snapshot(&self, now: Nanos, base: Instant) -> SensorSnapshot {
        let in_flight = InFlight {
            bytes: self.in_flight,
            window: self.window,
            sent_bytes: self.sent_bytes,
            oldest_unacked: self.oldest_beyond_acked(),
            srtt: self.srtt,
            rttvar: self.var,
        };
        self.sensor.snapshot(now, base, &in_flight)
    }

    /// How many packets came.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How many bytes it has sent.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// The next packet, if there is something to send and the window allows.
    pub(crate) fn build(&mut self, now: Nanos) -> Option<Packet> {
        let open = self.in_flight + MTU as u64 <= self.window || self.probes > 0;
        let ack_due = self.unacked >= 2 || self.ack_at.is_some_and(|at| at <= now);
        let has_data = !self.lost.is_empty()
            || !self.datagrams.is_empty()
            || self.outbox.has_pending()
            || self.probes > 0;
        if !(ack_due || open && has_data) {
            return None;
        }
        let mut frames = Vec::new();
        let mut room = MTU - OVERHEAD;
        if self.unacked > 0 || self.ack_at.is_some() {
            let all: Vec<_> = self.got.iter().collect();
            frames.push(Frame::Ack(all[all.len().saturating_sub(16)..].to_vec()));
            (self.unacked, self.ack_at) = (0, None);
            room -= 32;
        }
        if open {
            self.fill(&mut frames, &mut room);
            if self.probes > 0 && frames.iter().all(|f| matches!(f, Frame::Ack(_))) {
                let again = |sent: &&Sent| sent.frames.iter().any(|f| !f.is_unreliable());
                match self.sent.values().find(again) {
                    None => frames.push(Frame::Ping),
                    Some(oldest) => {
                        let kept = oldest.frames.iter().filter(|f| !f.is_unreliable());
                        frames.extend(kept.cloned());
                    }
                }
            }
        }
        let eliciting: Vec<Frame> =
            frames.iter().filter(|f| !matches!(f, Frame::Ack(_))).cloned().collect();
        if frames.is_empty() {
            return None;
        }
        let packet = Packet { number: self.next_number, frames };
        self.next_number += 1;
        self.sent_bytes += packet.size();
        if !eliciting.is_empty() {
            self.probes = self.probes.saturating_sub(1);
            self.last_eliciting = now;
            self.in_flight += packet.size();
            let sent = Sent { at: now, size: packet.size(), frames: eliciting };
            self.sent.insert(packet.number, sent);
        }
        Some(packet)
    }

    fn fill(&mut self, frames: &mut Vec<Frame>, room: &mut usize) {
        while self.datagrams.front().is_some_and(|data| data.len() + 8 <= *room)
            && let Some(datagram) = self.datagrams.pop_front()
        {
            *room -= datagram.len() + 8;
            frames.push(Frame::Datagram(datagram));
        }
        while *room > 24
            && let Some(frame) = self.lost.pop_front()
        {
            let size = match &frame {
                Frame::Stream(p) if self.outbox.reset.contains(&p.stream) => continue,
                Frame::Stream(p) => p.data.len() + 8,
                Frame::Probe => PROBE,
                _ => 16,
            };
            if size > *room {
                self.lost.push_front(frame);
                return;
            }
            *room -= size;
            frames.push(frame);
        }
        while *room > 24
            && let Some(chunk) = self.outbox.next_chunk(*room - 8)
        {
            *room -= chunk.data.len() + 8;
            frames.push(Frame::Stream(chunk));
        }
    }

    /// Whether the packet is newer than all that came.
    pub(crate) fn is_newest(&self, number: u64) -> bool {
        number != u64::MAX && self.got.iter().last().is_none_or(|range| number >= range.end)
    }

    /// A packet came; returns its frames unless it is a duplicate.
    pub(crate) fn receive(&mut self, now: Nanos, packet: Packet) -> Vec<Frame> {
        self.heard = now;
        self.received += 1;
        let Packet { number, frames } = packet;
        if self.got.contains(&(number..number + 1)) {
            self.ack_at.get_or_insert(now);
            return Vec::new();
        }
        self.got.insert(number..number + 1);
        if frames.iter().any(|f| !matches!(f, Frame::Ack(_))) {
            self.unacked += 1;
            self.ack_at.get_or_insert(now + ACK_DELAY);
        }
        frames
    }

    pub(crate) fn acked(&mut self, now: Nanos, ranges: &[Range<u64>]) {
        let oldest_unacked = self.oldest_beyond_acked();
        let (mut newest, mut full, mut oldest) = (None, None, None::<Nanos>);
        for range in ranges {
            let numbers: Vec<u64> = self.sent.range(range.clone()).map(|(n, _)| *n).collect();
            for number in numbers {
                let Some(sent) = self.sent.remove(&number) else { continue };
                self.in_flight -= sent.size;
                self.sensor.account(sent.size, 0);
                newest = newest.max(Some((number, sent.at)));
                oldest = Some(oldest.map_or(sent.at, |at| at.min(sent.at)));
                full = full.max(Sensor::is_full(sent.size).then_some(sent.at));
            }
        }
        let Some((number, at)) = newest else { return };
        if let (Some(sent), Some(unacked)) = (oldest, oldest_unacked) {
            self.sensor.learn_pause(now, sent, unacked, self.srtt, self.in_flight);
        }
        if self.largest_acked.is_none_or(|largest| largest < number) {
            // As the daemon's sensor does it: the first acknowledgement after a sleep or an outage may
            // be of a packet from before it.
            let bound = 2 * (self.srtt + 4 * self.var).max(MIN_SAMPLE_BOUND);
            let is_long = now - at > bound;
            if !is_long || self.bounded_at.is_none_or(|bounded| at > bounded) {
                let sample = (now - at).min(bound);
                self.var = (3 * self.var + self.srtt.abs_diff(sample)) / 4;
                self.srtt = (7 * self.srtt + sample) / 8;
                self.bounded_at = if is_long { Some(now) } else { self.bounded_at };
            }
            self.largest_acked = Some(number);
        }
        self.pto_count = 0;
        self.sensor.acked(now, at, full, self.srtt);
        self.detect_loss(now);
        if self.sent.is_empty() {
            self.sensor.idle();
        }
    }

    /// Packets far behind the largest acknowledged are lost (RFC 9002 §6.1).
    fn detect_loss(&mut self, now: Nanos) {
        let Some(largest) = self.largest_acked else { return };
        let patience = self.srtt + self.srtt / 8;
        let lost: Vec<u64> = self
            .sent
            .range(..largest)
            .filter(|(n, sent)| *n + 3 <= largest || sent.at + patience <= now)
            .map(|(n, _)| *n)
            .collect();
        for number in lost {
            let Some(sent) = self.sent.remove(&number) else { continue };
            self.in_flight -= sent.size;
            self.sensor.account(0, sent.size);
            self.lost.extend(sent.frames.into_iter().filter(|f| !f.is_unreliable()));
        }
    }

    /// Returns whether all of a stream that was finished has been acknowledged, or the peer stopped it.
    pub(crate) fn has_delivered(&self, stream: u64) -> bool {
        let is_of = |frame: &Frame| matches!(frame, Frame::Stream(chunk) if chunk.stream == stream);
        let is_unsent = self.outbox.streams.get(&stream).is_some_and(|s| !s.fin_sent);
        let is_in_flight = || self.sent.values().any(|sent| sent.frames.iter().any(is_of));
        !is_unsent && !self.lost.iter().any(is_of) && !is_in_flight()
    }

    /// When something is to be done here.
    pub(crate) fn next_timeout(&self) -> Nanos {
        let probe = self.sent.keys().next().map(|_| self.last_eliciting + self.pto());
        let keep_alive = self.last_eliciting + KEEP_ALIVE;
        [self.ack_at, probe, Some(keep_alive), self.check_at]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(keep_alive)
    }

    /// Does what is due; `false`: the connection is dead.
    pub(crate) fn handle_timeout(&mut self, now: Nanos) -> bool {
        if self.oldest().is_some_and(|at| at + IDLE < now) && self.heard + IDLE < now {
            return false;
        }
        if !self.sent.is_empty() && self.last_eliciting + self.pto() <= now {
            self.detect_loss(now);
            self.pto_count += 1;
            self.probes += 2;
        } else if self.last_eliciting + KEEP_ALIVE <= now {
            self.ping();
        }
        true
    }
}
