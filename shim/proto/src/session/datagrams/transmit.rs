//! Gives datagrams to lanes. On a lane the flows take turns, one datagram each, so that a flood delays another flow's
//! by one of its own.

use std::time::Instant;

use bytes::Bytes;

use crate::datagram::{OVERHEAD, Taken};
use crate::selection::{Candidate, Demand};
use crate::session::{LongDatagram, Priority, Session, Transmit, WorkClass};
use crate::types::{Datagram, FlowId, LaneId, TrafficClass};
use crate::wire::flow_datagram::FlowDatagram;
use crate::wire::long_datagram::LongDatagramHeader;

/// Why a lane was given no further datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramsPolled {
    /// None waits. The lane is woken when one does.
    All,
    /// The next has no room.
    NoRoom,
    /// As many as were asked for.
    Enough,
}

/// What a lane is given of its datagrams.
pub(in crate::session) enum NextDatagram {
    Transmit(Transmit),
    NoRoom,
    Nothing,
}

impl Session {
    /// Adds datagrams for a lane to `out`, up to `most` there, of `room` bytes in DATAGRAM frames, each counted with 64
    /// more. Where `one_may_wait` the first may be larger.
    pub fn poll_datagrams(
        &mut self,
        now: Instant,
        id: LaneId,
        (mut room, one_may_wait): (usize, bool),
        most: usize,
        out: &mut Vec<Transmit>,
    ) -> DatagramsPolled {
        if self.muted {
            return DatagramsPolled::All;
        }
        while out.len() < most {
            let is_free = one_may_wait && out.is_empty();
            match self.next_datagram(now, id, if is_free { usize::MAX } else { room }) {
                NextDatagram::Transmit(transmit) => {
                    if let Transmit::Datagram(bytes) = &transmit {
                        room = room.saturating_sub(bytes.len() + OVERHEAD);
                    }
                    out.push(transmit);
                }
                NextDatagram::NoRoom => return DatagramsPolled::NoRoom,
                NextDatagram::Nothing => {
                    if let Some(lane) = self.lanes.get_mut(&id) {
                        lane.outbox.rest(WorkClass::Datagrams);
                    }
                    return DatagramsPolled::All;
                }
            }
        }
        DatagramsPolled::Enough
    }

    /// Takes note of how long a DATAGRAM frame's content may be on a lane.
    pub fn set_max_datagram(&mut self, id: LaneId, len: usize) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.max_datagram = len;
        }
    }

    /// Returns whether datagrams may wait for a lane.
    pub fn has_datagrams(&mut self, id: LaneId) -> bool {
        let lane = self.lanes.get_mut(&id);
        lane.is_some_and(|lane| !lane.outbox.queue(WorkClass::Datagrams).flows.is_empty())
    }

    /// Chooses the lanes of a datagram flow, and puts the flow into their queues.
    pub(in crate::session) fn schedule_datagrams(&mut self, now: Instant, id: FlowId) {
        let mut candidates = self.candidates();
        candidates.retain(|c: &mut Candidate| {
            self.lanes.get(&c.id).is_some_and(|lane| lane.takes_datagrams)
        });
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let is_reset = flow.is_reset();
        let demand = Demand { mode: flow.open.mode, thin: flow.tx.is_thin(now) };
        let Some(datagrams) = flow.datagrams.as_mut().filter(|_| !is_reset) else { return };
        if !flow.tx.placement.select(now, &candidates, demand) {
            return;
        }
        let placement = flow.tx.placement;
        datagrams.tx.set_lanes([placement.primary, placement.secondary].into_iter().flatten());
        // What only a lane of before had not taken is gone.
        self.account_buffer(id);
        self.queue_datagrams(id);
    }

    /// Puts a flow into the queues of its lanes that have something to take. What a lane has of a flow says whether
    /// it is there already, also where the flow has left the lane meanwhile.
    pub(super) fn queue_datagrams(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let Some(datagrams) = &flow.datagrams else { return };
        for lane_id in datagrams.tx.waiting_lanes() {
            let Some(lane) = self.lanes.get_mut(&lane_id) else { continue };
            let carrier = flow.tx.lane(lane_id);
            if !std::mem::replace(&mut carrier.queued, true) {
                lane.outbox.queue(WorkClass::Datagrams).flows.push_back(id);
                lane.wake(WorkClass::Datagrams, &mut self.events);
            }
        }
    }

    /// Returns the next datagram for a lane, if its frame takes no more than `room` bytes.
    pub(in crate::session) fn next_datagram(
        &mut self,
        now: Instant,
        id: LaneId,
        room: usize,
    ) -> NextDatagram {
        loop {
            let Some(lane) = self.lanes.get_mut(&id) else { return NextDatagram::Nothing };
            let next = lane.outbox.queue(WorkClass::Datagrams).flows.pop_front();
            let Some(flow_id) = next else { return NextDatagram::Nothing };
            let Some(flow) = self.flows.get_mut(&flow_id) else { continue };
            let is_on = flow.tx.placement.is_on(id);
            let open = (!flow.open_acked).then(|| flow.open.clone());
            let thin = flow.tx.is_thin(now);
            flow.tx.lane(id).queued = false;
            let Some(datagrams) = flow.datagrams.as_mut().filter(|_| is_on) else { continue };
            let (class, payload) = (TrafficClass::DEFAULT, Bytes::new());
            let mut datagram = FlowDatagram { flow: flow_id, seq: 0, open, class, payload };
            let (mut len, mut is_kept) = (0, false);
            let taken = datagrams.tx.take(now, id, |seq, Datagram { payload, class }| {
                datagram.seq = seq;
                // An older peer would not know it.
                datagram.class = if lane.takes_classes { *class } else { TrafficClass::DEFAULT };
                len = datagram.header_len() + payload.len();
                is_kept = len <= lane.max_datagram && len.saturating_add(OVERHEAD) > room;
                !is_kept && (len <= lane.max_datagram || lane.long.has_room(flow_id, payload.len()))
            });
            let transmit = match taken {
                Taken::Datagram(_, taken) => {
                    datagram.payload = taken.payload;
                    Some(if len <= lane.max_datagram {
                        Transmit::Datagram(datagram.to_bytes())
                    } else {
                        lane.long.begin(flow_id, datagram.seq, datagram.payload.len());
                        datagrams.under_way.begin(datagram.seq);
                        Transmit::LongDatagram(long(datagram, thin))
                    })
                }
                Taken::NoRoom if is_kept => {
                    flow.tx.lane(id).queued = true;
                    lane.outbox.queue(WorkClass::Datagrams).flows.push_front(flow_id);
                    return NextDatagram::NoRoom;
                }
                Taken::NoRoom => {
                    // Not put into the queue again: it would come round for ever.
                    lane.long.wait(flow_id);
                    continue;
                }
                Taken::Nothing => None,
            };
            self.queue_datagrams(flow_id);
            self.account_buffer(flow_id);
            if let Some(transmit) = transmit {
                self.end_if_sent(now, flow_id);
                return NextDatagram::Transmit(transmit);
            }
        }
    }
}

/// Returns a datagram as a stream of its own. A thin flow's is little, and somebody waits for it.
fn long(datagram: FlowDatagram, thin: bool) -> LongDatagram {
    let FlowDatagram { flow, seq, open, class, payload } = datagram;
    let header = LongDatagramHeader { flow, seq, open, class }.to_bytes();
    let priority = if thin { Priority::Thin } else { Priority::Bulk };
    LongDatagram { flow, seq, data: [header, payload], priority }
}
