//! Flows with an application each, over a [`Network`], and what came of them.

use std::time::{Duration, Instant};

use throughline_link::{LinkStats, Profile, Way};

use super::congestion::Congestion;
use super::end::End;
use super::measure::Series;
use super::network::{Ends, LinkId, Network, Route};
use super::watch::{Finding, Watch};

/// Interval of the samples of queues.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// What a connection carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// A transfer without end: up from the client, down to it, or both.
    pub bulk: Option<Way>,
    /// Interval of small messages from the client, which the server sends back.
    pub echo: Option<Duration>,
}

/// A connection and what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The links from the client to the server.
    pub up: Route,
    /// The links from the server to the client.
    pub down: Route,
    /// The controllers of the client and of the server.
    pub congestion: [Congestion; 2],
    /// When it is dialed, from the beginning of the run.
    pub begins: Duration,
    /// What it carries.
    pub application: Application,
}

/// The number of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId(usize);

struct Running {
    flow: Flow,
    ends: Option<Ends>,
    stopped: bool,
    /// Bytes that arrived, up and down.
    arrived: [Series<u64>; 2],
    echoes: Series<Duration>,
    client: End,
    server: End,
    /// The monitors of the client and of the server.
    watches: Option<[Watch; 2]>,
}

/// A network with flows.
pub struct Traffic {
    network: Network,
    flows: Vec<Running>,
    links: Vec<LinkId>,
    queues: Vec<Series<Duration>>,
    sampled: Duration,
}

impl Flow {
    /// Returns a download with `congestion` at the sender, beginning at once.
    pub fn download(up: LinkId, down: LinkId, congestion: Congestion) -> Self {
        Self {
            up: vec![up],
            down: vec![down],
            congestion: [congestion; 2],
            begins: Duration::ZERO,
            application: Application { bulk: Some(Way::Down), echo: None },
        }
    }

    /// Returns the same beginning at `begins`.
    pub fn begins(self, begins: Duration) -> Self {
        Self { begins, ..self }
    }

    /// Returns the same with an echo each `interval` beside it.
    pub fn echo(mut self, interval: Duration) -> Self {
        self.application.echo = Some(interval);
        self
    }

    /// Returns the same with bulk in another direction, or without.
    pub fn bulk(mut self, bulk: Option<Way>) -> Self {
        self.application.bulk = bulk;
        self
    }
}

impl Traffic {
    /// Returns a network without flows; `seed` decides what its links draw.
    pub fn new(seed: u64) -> Self {
        Self {
            network: Network::new(seed),
            flows: vec![],
            links: vec![],
            queues: vec![],
            sampled: Duration::ZERO,
        }
    }

    /// Adds one direction of a link.
    pub fn link(&mut self, profile: Profile) -> LinkId {
        let link = self.network.link(profile);
        self.links.push(link);
        self.queues.push(Series::default());
        link
    }

    /// Adds a flow.
    pub fn flow(&mut self, flow: Flow) -> FlowId {
        let application = flow.application;
        let sends =
            |way: Way| matches!(application.bulk, Some(bulk) if bulk == way || bulk == Way::Both);
        self.flows.push(Running {
            ends: None,
            stopped: false,
            arrived: Default::default(),
            echoes: Series::default(),
            client: End::new(sends(Way::Up), application.echo),
            server: End::new(sends(Way::Down), None),
            watches: None,
            flow,
        });
        FlowId(self.flows.len() - 1)
    }

    /// Lets a lane's monitors watch a flow at both ends. What they find they write down; the flow goes on.
    pub fn watch(&mut self, flow: FlowId) {
        self.flows[flow.0].watches = Some([Watch::new(), Watch::new()]);
    }

    /// Returns what the monitors of the client and of the server found, and when.
    pub fn findings(&self, flow: FlowId) -> [Vec<(Duration, Finding)>; 2] {
        let watches = self.flows[flow.0].watches.as_ref();
        watches
            .map_or_else(Default::default, |watches| watches.each_ref().map(|w| w.findings.clone()))
    }

    /// Returns the network, for what flows do not do.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Ends a flow: it sends nothing more and answers nothing.
    pub fn stop(&mut self, flow: FlowId) {
        self.flows[flow.0].stopped = true;
        if let Some(ends) = self.flows[flow.0].ends {
            let now = self.network.now();
            for id in [ends.client, ends.server] {
                if let Some(connection) = self.network.host(id).connection() {
                    connection.close(now, 0u32.into(), Default::default());
                }
                self.network.transmit(id);
            }
        }
    }

    /// Runs for `time`.
    pub fn run(&mut self, time: Duration) {
        let until = self.network.now() + time;
        while self.network.now() < until {
            let sample = self.sampled.saturating_sub(self.network.elapsed());
            let stop = until.min(self.network.now() + sample);
            let begins = self.begin_flows();
            let stop = begins.map_or(stop, |begins| stop.min(begins));
            match self.network.step(stop) {
                Some(affected) => {
                    for id in affected {
                        self.drive(id);
                    }
                }
                None if self.network.elapsed() >= self.sampled => self.sample(),
                None => {}
            }
        }
    }

    /// Returns the Mbit/s that arrived of a flow's bulk, both ways together, between two times.
    pub fn goodput(&self, flow: FlowId, from: Duration, until: Duration) -> f64 {
        let arrived = self.flows[flow.0].arrived.iter();
        let bytes: u64 = arrived.flat_map(|s| s.between(from, until)).map(|(_, n)| n).sum();
        bytes as f64 * 8e-6 / (until - from).as_secs_f64()
    }

    /// Returns the round trips of a flow's echo that were asked between two times; one that was not
    /// answered by now counts as lasting until now.
    pub fn echoes(&self, flow: FlowId, from: Duration, until: Duration) -> Vec<Duration> {
        let now = self.network.elapsed();
        let flow = &self.flows[flow.0];
        let answered = flow.echoes.iter().filter(|(at, _)| (from..until).contains(at));
        let open = flow.client.asked().map(|at| now - (now.min(at - self.network.epoch())));
        answered.map(|(_, rtt)| rtt).chain(open.filter(|_| until >= now)).collect()
    }

    /// Returns the samples of a link's queue between two times.
    pub fn queues(&self, link: LinkId, from: Duration, until: Duration) -> Vec<Duration> {
        self.queues[link.0].between(from, until).map(|(_, queue)| queue).collect()
    }

    /// Returns what became of a link's packets so far.
    pub fn stats(&self, link: LinkId) -> &LinkStats {
        self.network.stats(link)
    }

    /// Returns a flow's congestion windows at the client and the server.
    pub fn windows(&mut self, flow: FlowId) -> [u64; 2] {
        let Some(ends) = self.flows[flow.0].ends else { return [0; 2] };
        [ends.client, ends.server].map(|id| {
            let connection = self.network.host(id).connection();
            connection.map_or(0, |connection| connection.stats().path.cwnd)
        })
    }

    /// Returns the UDP payloads that a flow's packets may have at the client and the server.
    pub fn mtus(&mut self, flow: FlowId) -> [u16; 2] {
        let Some(ends) = self.flows[flow.0].ends else { return [0; 2] };
        [ends.client, ends.server].map(|id| {
            self.network.host(id).connection().map_or(0, |connection| connection.current_mtu())
        })
    }

    /// Dials the flows whose time has come; returns when the next one begins.
    fn begin_flows(&mut self) -> Option<Instant> {
        let mut next = None;
        for running in self.flows.iter_mut().filter(|running| running.ends.is_none()) {
            let begins = self.network.epoch() + running.flow.begins;
            if begins <= self.network.now() {
                let Flow { up, down, congestion, .. } = &running.flow;
                running.ends = Some(self.network.connect(up, down, *congestion));
            } else {
                next = Some(next.map_or(begins, |next: Instant| next.min(begins)));
            }
        }
        next
    }

    /// Lets a host's application act.
    fn drive(&mut self, id: super::HostId) {
        let (now, elapsed) = (self.network.now(), self.network.elapsed());
        let epoch = self.network.epoch();
        let of = |running: &&mut Running| {
            running.ends.is_some_and(|ends| ends.client == id || ends.server == id)
        };
        let Some(running) = self.flows.iter_mut().find(of) else { return };
        let is_client = running.ends.is_some_and(|ends| ends.client == id);
        let end = if is_client { &mut running.client } else { &mut running.server };
        let host = self.network.host(id);
        let sensor = host.sensor().cloned();
        let Some(connection) = host.connection() else { return };
        if !running.stopped {
            let done = end.drive(now, connection, sensor.as_deref());
            let arrived = &mut running.arrived[usize::from(is_client)];
            arrived.accumulate(elapsed, done.arrived, SAMPLE_INTERVAL);
            for asked in done.answered {
                running.echoes.push(asked - epoch, now - asked);
            }
            let mut next = end.next();
            if let (Some(watches), Some(sensor)) = (&mut running.watches, &sensor) {
                let [watch, other] = match (is_client, watches) {
                    (true, [client, server]) => [client, server],
                    (false, [client, server]) => [server, client],
                };
                watch.evaluate(now, elapsed, connection, sensor);
                if let (Some((at, suspicion)), Some(ends)) = (watch.advertises.take(), running.ends)
                {
                    other.advertise(at, suspicion);
                    self.network.wake_by(if is_client { ends.server } else { ends.client }, at);
                }
                next = [next, watch.next()].into_iter().flatten().min();
            }
            self.network.wake(id, next);
        }
        self.network.transmit(id);
    }

    fn sample(&mut self) {
        self.sampled = self.network.elapsed() + SAMPLE_INTERVAL;
        for (link, queues) in self.links.iter().zip(&mut self.queues) {
            queues.push(self.network.elapsed(), self.network.queue(*link));
        }
    }
}
