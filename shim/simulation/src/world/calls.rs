//! Calls: datagram flows beside the others, on which both ends talk: a datagram every 20 ms, or a longer one less often.
//!
//! None may arrive twice, whatever happens to the lanes; and of one failure beside another ISP that is well a thin one
//! loses nothing.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_proto::types::{Datagram, FlowId, Mode, Target, TrafficClass};
use throughline_proto::wire::fact::Open;
use throughline_proto::wire::flow_datagram::FlowDatagram;

use super::call::{Call, LONG, VOICE};
use super::{SimEvent, World};
use crate::link::{MS, Nanos, SEC};

/// The class of a datagram: each has its own.
fn class_of(number: usize) -> TrafficClass {
    TrafficClass::from_byte(number as u8)
}

impl World {
    /// Draws the run of `seed` as [`new`](Self::new) does, with calls besides.
    pub fn with_calls(seed: u64, trace: bool) -> Self {
        let mut world = Self::new(seed, trace);
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xca11);
        let until = world.plan.heal_at;
        for _ in 0..rng.random_range(1..4) {
            let mode =
                [Mode::Auto, Mode::Single, Mode::Redundant, Mode::Bond][rng.random_range(0..4)];
            let talk = match rng.random_range(0..10) {
                0..6 => VOICE,
                6 => (1000, 20, 20 * MS),
                7 => LONG,
                8 => (8_000, 2, 40 * MS),
                _ => (65_507, 1, SEC / 2),
            };
            world.begin_call(Call::new(mode, talk, until));
        }
        world
    }

    pub(super) fn begin_call(&mut self, call: Call) {
        let index = self.calls.len();
        let interval = call.interval;
        self.calls.push(call);
        for side in 0..2 {
            let at = self.now + 300 * MS + side as Nanos * interval / 2;
            self.at(at, SimEvent::Talk { call: index, side });
        }
    }

    /// An end says something, or hangs up at the end.
    pub(super) fn talk(&mut self, index: usize, side: usize) {
        let (now, instant, era) = (self.now, self.instant(), self.era);
        let call = &mut self.calls[index];
        let session = &mut self.hosts[side].session;
        let flow = call.flow.filter(|(_, of)| *of == era).map(|(id, _)| id);
        if now >= call.until {
            call.over[side] = true;
            if let Some(id) = flow {
                session.release_datagrams(instant, id);
            }
            return;
        }
        let interval = call.interval;
        self.at(now + interval, SimEvent::Talk { call: index, side });
        match flow {
            Some(id) if side == 0 || self.calls[index].joined => {
                self.say_something(index, side, id);
            }
            None if side == 0 => self.call_again(index),
            _ => {}
        }
    }

    fn say_something(&mut self, index: usize, side: usize, id: FlowId) {
        let (now, instant) = (self.now, self.instant());
        let call = &mut self.calls[index];
        let session = &mut self.hosts[side].session;
        for _ in 0..call.burst {
            let (number, mut bytes) = (call.said[side].len(), vec![0; call.len]);
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            match session.send_datagram(instant, id, Datagram::new(bytes, class_of(number))) {
                Ok(()) => call.said[side].push((now, None)),
                // The session is over, or the other end had no room for the flow.
                Err(_) => {
                    session.release_datagrams(instant, id);
                    if side == 0 {
                        call.flow = None;
                    }
                    return;
                }
            }
        }
    }

    fn call_again(&mut self, index: usize) {
        let instant = self.instant();
        let call = &mut self.calls[index];
        let target = Target::datagram_service(format!("call-{index}"));
        let open = Open { target, mode: call.mode };
        // For want of room, or of a lane: the next time, perhaps.
        let Ok(id) = self.hosts[0].session.open(instant, open) else { return };
        call.flow = Some((id, self.era));
        call.joined = false;
        call.said = [Vec::new(), Vec::new()];
        self.say(|| format!("0 opens {id} as call {index}"));
        self.hear(0, id);
    }

    /// The other end takes a call.
    pub(super) fn call_comes(&mut self, side: usize, id: FlowId, name: &str) {
        let instant = self.instant();
        let index: usize = name.strip_prefix("call-").and_then(|n| n.parse().ok()).unwrap();
        let call = &mut self.calls[index];
        let session = &mut self.hosts[side].session;
        if call.flow != Some((id, self.era)) || call.over[side] {
            session.release_datagrams(instant, id);
            return;
        }
        assert!(!std::mem::replace(&mut call.joined, true), "{id} came in twice");
        session.accept(instant, id);
        self.hear(side, id);
    }

    /// Takes a DATAGRAM frame.
    pub(super) fn datagram(&mut self, side: usize, bytes: &Bytes) {
        let datagram = FlowDatagram::decode(bytes).expect("an honest end's").expect("of a flow");
        let taken = self.hosts[side].session.handle_datagram(self.instant(), datagram);
        taken.expect("no violation between honest ends");
    }

    /// Takes what has arrived of a call.
    pub(super) fn hear(&mut self, side: usize, id: FlowId) {
        let (now, era) = (self.now, self.era);
        let Some(call) = self.calls.iter_mut().find(|call| call.flow == Some((id, era))) else {
            return;
        };
        let session = &mut self.hosts[side].session;
        while let Ok(Some(Datagram { payload, class })) = session.receive_datagram(id) {
            assert_eq!(payload.len(), call.len, "{id}: another datagram than was sent");
            let number = u64::from_be_bytes(payload[..8].try_into().unwrap()) as usize;
            assert_eq!(class, class_of(number), "{id}: another class than was sent");
            let said = call.said[1 - side].get_mut(number);
            let (_, arrived) = said.expect("a datagram that was never sent");
            assert!(arrived.replace(now).is_none(), "{id}: datagram {number} came twice at {side}");
        }
    }

    /// The session at this end is over.
    pub(super) fn end_calls(&mut self, side: usize) {
        let (instant, era) = (self.instant(), self.era);
        for call in &self.calls {
            if let Some((id, of)) = call.flow
                && of == era
            {
                self.hosts[side].session.release_datagrams(instant, id);
            }
        }
    }
}
