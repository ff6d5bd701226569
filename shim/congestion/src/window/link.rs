//! A small model of a path with flows both ways, in virtual time: two links; acknowledgements wait in
//! the other direction's queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use throughline_link::{Fate, LinkModel, Profile};

use super::super::super::cubic::Cubic;
use super::super::super::pings::Delay;
use super::super::Window;

const TICK: Duration = Duration::from_micros(250);
const MTU: u64 = 1200;

pub(super) enum Control {
    Window(Box<Window>),
    Cubic(Cubic),
}

pub(super) struct Flow {
    control: Control,
    link: usize,
    start: Duration,
    /// Bytes per tick that the application offers.
    offers: u64,
    /// Packets on their way: when sent, and when they arrive, if they do.
    flight: VecDeque<(Instant, Option<Instant>)>,
    /// When the acknowledgement of how many of them comes.
    acks: VecDeque<(Instant, usize)>,
    /// Packets that arrived but are not acknowledged yet, since when, and packets gone with them.
    held: (u32, Option<Instant>, usize),
    credit: u64,
    rtt: Duration,
    pinged: Option<Instant>,
    /// When pings were sent, how long they took, and when their answers come.
    pongs: VecDeque<(Delay, Instant)>,
    pub(super) delivered: u64,
}

pub(super) struct Sim {
    pub(super) now: Instant,
    start: Instant,
    /// How much the peers' clocks gain, in millionths.
    pub(super) drift: i64,
    links: [LinkModel; 2],
    pub(super) flows: Vec<Flow>,
}

impl Sim {
    /// `mbit` Mbit/s and `rtt` there and back, with 50 ms of queue.
    pub(super) fn new(mbit: u64, rtt: Duration) -> Self {
        let now = Instant::now();
        let link = LinkModel::new(Profile::new(mbit * 1_000_000, rtt / 2), 0);
        Self { now, start: now, drift: 0, links: [link.clone(), link], flows: vec![] }
    }

    /// A flow of ours over link 0 or 1 that begins after `start`.
    pub(super) fn flow(self, link: usize, start: Duration) -> Self {
        let window = Window::new(64 << 10, MTU as u16);
        self.add(Control::Window(Box::new(window)), link, start)
    }

    /// A competitor.
    pub(super) fn cubic(self, link: usize, start: Duration) -> Self {
        let cubic = Cubic::new(12_000, MTU as u16);
        self.add(Control::Cubic(cubic), link, start)
    }

    fn add(mut self, control: Control, link: usize, start: Duration) -> Self {
        self.flows.push(Flow {
            control,
            link,
            start,
            offers: u64::MAX,
            flight: VecDeque::new(),
            acks: VecDeque::new(),
            held: (0, None, 0),
            credit: 0,
            rtt: 2 * self.delay(),
            pinged: None,
            pongs: VecDeque::new(),
            delivered: 0,
        });
        self
    }

    /// Changes what both links are like.
    pub(super) fn change(&mut self, change: impl Fn(&mut Profile)) {
        self.links.iter_mut().for_each(|link| change(link.profile_mut()));
    }

    fn delay(&self) -> Duration {
        self.links[0].profile().delay
    }

    /// Runs for `time`; returns Mbit/s of each flow and the longest queue of each link.
    pub(super) fn run(&mut self, time: Duration) -> (Vec<f64>, [Duration; 2]) {
        let until = self.now + time;
        let before: Vec<_> = self.flows.iter().map(|flow| flow.delivered).collect();
        let mut longest = [Duration::ZERO; 2];
        while self.now < until {
            self.now += TICK;
            for index in 0..self.flows.len() {
                self.step(index);
            }
            for (link, longest) in longest.iter_mut().enumerate() {
                *longest = self.links[link].queueing_delay(self.now).max(*longest);
            }
        }
        let rates = self.flows.iter().zip(before);
        let rate = |bytes: u64| bytes as f64 * 8e-6 / time.as_secs_f64();
        (rates.map(|(flow, before)| rate(flow.delivered - before)).collect(), longest)
    }

    fn step(&mut self, index: usize) {
        let (now, delay) = (self.now, self.delay());
        let reverse = self.links[1 - self.flows[index].link].queueing_delay(now);
        let flow = &mut self.flows[index];
        if now < self.start + flow.start {
            return;
        }
        flow.receive(now, delay + reverse);
        flow.acknowledge(now);
        let takes = delay + self.links[flow.link].queueing_delay(now);
        let drift = (now - self.start).as_micros() as i64 * self.drift / 1_000_000;
        flow.ping(now, takes, delay + reverse, drift);
        // Paced as quinn does: a quarter faster than the window needs, ten packets at once.
        let pace = flow.window() as f64 * 1.25 * TICK.as_secs_f64() / flow.rtt.as_secs_f64();
        flow.credit = (flow.credit + pace as u64).min(10 * MTU + pace as u64).min(flow.offers);
        while flow.credit >= MTU && (flow.flight.len() as u64 + 1) * MTU <= flow.window() {
            flow.credit -= MTU;
            let arrives = match self.links[flow.link].transmit(now, MTU as usize) {
                Fate::Arrives { at, .. } => Some(at),
                Fate::Dropped(_) => None,
            };
            flow.flight.push_back((now, arrives));
        }
    }
}

impl Flow {
    /// Returns the window of a flow of ours.
    pub(super) fn ours(&self) -> &Window {
        match &self.control {
            Control::Window(window) => window,
            Control::Cubic(_) => panic!("a competitor's"),
        }
    }

    pub(super) fn window(&self) -> u64 {
        match &self.control {
            Control::Window(window) => window.bytes(),
            Control::Cubic(cubic) => cubic.window(),
        }
    }

    /// Times the path every 4 ms, as the pump does; the peer's clock is off by a lot.
    fn ping(&mut self, now: Instant, takes: Duration, back: Duration, drift: i64) {
        let Control::Window(window) = &mut self.control else { return };
        while self.pongs.front().is_some_and(|(_, at)| *at <= now) {
            let (delay, _) = self.pongs.pop_front().unwrap();
            window.on_delay(now, delay);
        }
        if self.pinged.is_none_or(|at| now >= at + Duration::from_millis(4)) {
            self.pinged = Some(now);
            let micros = takes.as_micros() as i64 - 1_000_000_000 + drift;
            self.pongs.push_back((Delay { sent: now, micros }, now + takes + back));
        }
    }

    /// The far end: acknowledges every eighth packet, or after 5 ms.
    fn receive(&mut self, now: Instant, back: Duration) {
        let mut begin = self.acks.iter().map(|(_, count)| count).sum::<usize>() + self.held.2;
        while let Some((_, arrives)) = self.flight.get(begin) {
            match arrives {
                Some(at) if *at <= now => {
                    self.held = (self.held.0 + 1, self.held.1.or(Some(*at)), self.held.2 + 1);
                }
                // Gone; nobody knows until the next one arrives.
                None if self
                    .flight
                    .iter()
                    .skip(begin)
                    .any(|(_, a)| a.is_some_and(|a| a <= now)) =>
                {
                    self.held.2 += 1;
                }
                _ => break,
            }
            begin += 1;
            if self.held.0 >= 8 {
                self.acks.push_back((now + back, self.held.2));
                self.held = (0, None, 0);
            }
        }
        if self.held.1.is_some_and(|since| now >= since + Duration::from_millis(5)) {
            self.acks.push_back((now + back, self.held.2));
            self.held = (0, None, 0);
        }
    }

    fn acknowledge(&mut self, now: Instant) {
        while self.acks.front().is_some_and(|(at, _)| *at <= now) {
            let (_, count) = self.acks.pop_front().unwrap();
            let limited =
                self.offers != u64::MAX && (self.flight.len() as u64) * MTU * 2 < self.window();
            let (mut lost, mut lost_bytes) = (None, 0);
            for (sent, arrived) in self.flight.drain(..count) {
                if arrived.is_none() {
                    lost = Some(sent);
                    lost_bytes += MTU;
                    continue;
                }
                self.delivered += MTU;
                let sample = now - sent;
                self.rtt = (7 * self.rtt + sample) / 8;
                match &mut self.control {
                    Control::Window(window) => window.on_ack(now, sent, MTU, limited, self.rtt),
                    Control::Cubic(cubic) => cubic.on_ack(now, sent, MTU, limited, self.rtt),
                }
            }
            if let Some(sent) = lost {
                match &mut self.control {
                    Control::Window(window) => window.on_congestion(now, sent, false, lost_bytes),
                    Control::Cubic(cubic) => cubic.on_congestion(now, sent),
                }
            }
        }
    }
}
