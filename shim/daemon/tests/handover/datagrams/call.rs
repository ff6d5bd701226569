//! A call over datagrams: each end sends numbered packets at a steady rate, and notes which it hears of the other one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use throughline_fixture::{DEADLINE, Outcome};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};

/// Between two packets of an end.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);

/// A packet of voice.
pub(super) const VOICE: usize = 168;

/// How long packets wait for a lane.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What a hand-over may cost a call, each way: what is under way when the lanes are closed, there and back, which is one
/// packet, and what a busy machine takes besides. What waits for a lane meanwhile is not lost.
const MAX_LOST: u64 = 10;

/// How long the end of a call waits for what is under way.
const FLUSH: Duration = Duration::from_millis(500);

/// One end of a call: what it has sent, and what it has heard of the other one.
#[derive(Default)]
struct End {
    sent: AtomicU64,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// How often each packet came.
    packets: BTreeMap<u64, u64>,
    /// Whom it has heard.
    from: BTreeSet<SocketAddr>,
    last_at: Option<Instant>,
    longest_pause: Duration,
}

/// A call between a client and a destination.
pub(super) struct Call {
    name: &'static str,
    ends: [Arc<End>; 2],
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    /// An association's connection.
    pub(super) tcp: Option<TcpStream>,
}

/// What the packets of an end are.
#[derive(Clone)]
struct Packets {
    /// What precedes each.
    header: Vec<u8>,
    len: usize,
}

impl Packets {
    /// Returns a packet that says which one it is, everywhere.
    fn packet(&self, number: u64) -> Vec<u8> {
        let number = number.to_be_bytes().into_iter().cycle().take(self.len);
        self.header.iter().copied().chain(number).collect()
    }

    /// Returns which one a packet is.
    fn number(&self, packet: &[u8]) -> u64 {
        let number = &packet[self.header.len()..][..8];
        let number = u64::from_be_bytes(number.try_into().expect("eight bytes"));
        assert_eq!(packet, self.packet(number), "it came otherwise than it was sent");
        number
    }
}

impl Call {
    /// Begins a call of packets of `len` bytes from `client` to `destination`, with `header` in front of each at the
    /// client's end.
    pub(super) async fn begin(
        name: &'static str,
        (client, header): (UdpSocket, Vec<u8>),
        destination: UdpSocket,
        len: usize,
    ) -> Outcome<Self> {
        let (ends, over) = (<[Arc<End>; 2]>::default(), Arc::new(AtomicBool::new(false)));
        let (client, of_client) = (Arc::new(client), Packets { header, len });
        // Until the destination knows where to answer.
        let mut first = vec![0; len];
        let first = loop {
            client.send(&of_client.packet(u64::MAX)).await?;
            let receiving = timeout(Duration::from_millis(500), destination.recv_from(&mut first));
            if let Ok(Ok((_, from))) = receiving.await {
                break from;
            }
        };
        destination.connect(first).await?;
        ends[1].heard.lock().from.insert(first);
        let of_destination = Packets { header: Vec::new(), len };
        let mut tasks = Vec::new();
        for (end, socket, packets) in
            [(&ends[0], client, of_client), (&ends[1], Arc::new(destination), of_destination)]
        {
            let talking =
                talk(Arc::clone(end), Arc::clone(&socket), packets.clone(), Arc::clone(&over));
            tasks.push(tokio::spawn(talking));
            tasks.push(tokio::spawn(hear(Arc::clone(end), socket, packets)));
        }
        Ok(Self { name, ends, over, tasks, tcp: None })
    }

    /// Waits until each end has heard of a packet that is sent from now on.
    pub(super) async fn goes_on(&self) -> Outcome {
        for (end, other) in [(0, 1), (1, 0)] {
            let from = self.ends[other].sent.load(Ordering::SeqCst);
            let heard = async {
                while self.ends[end].heard.lock().packets.range(from..).next().is_none() {
                    sleep(INTERVAL).await;
                }
            };
            timeout(DEADLINE, heard).await.map_err(|_| format!("{}: nothing comes", self.name))?;
        }
        Ok(())
    }

    /// Ends the call after `hand_overs`, and judges it: how many packets were lost, that none came twice, and that the
    /// destination has seen one source port.
    pub(super) async fn finish(self, hand_overs: u64) -> Outcome {
        self.over.store(true, Ordering::SeqCst);
        sleep(FLUSH).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        for (end, other, which) in [(0, 1, "back"), (1, 0, "there")] {
            let Heard { packets, longest_pause, .. } = &*self.ends[end].heard.lock();
            let sent = self.ends[other].sent.load(Ordering::SeqCst);
            let lost = sent - packets.len() as u64;
            let pause = longest_pause.as_millis();
            println!(
                "    {} {which}: {sent} packets, {lost} lost in {hand_overs} hand-overs, longest pause {pause} ms",
                self.name
            );
            let twice: Vec<_> = packets.iter().filter(|(_, times)| **times > 1).collect();
            assert!(twice.is_empty(), "{} {which}: twice: {twice:?}", self.name);
            // A machine may be so busy that a lane comes when the first that waited are too old.
            let too_old = longest_pause.saturating_sub(MAX_AGE).div_duration_f64(INTERVAL) as u64;
            let most = (MAX_LOST + too_old) * hand_overs;
            assert!(lost <= most, "{} {which}: {lost} of {sent} lost", self.name);
        }
        let from = self.ends[1].heard.lock().from.clone();
        assert_eq!(from.len(), 1, "{}: another source port: {from:?}", self.name);
        Ok(())
    }
}

async fn talk(end: Arc<End>, socket: Arc<UdpSocket>, packets: Packets, over: Arc<AtomicBool>) {
    let mut ticks = interval(INTERVAL);
    while !over.load(Ordering::SeqCst) {
        ticks.tick().await;
        let number = end.sent.fetch_add(1, Ordering::SeqCst);
        // Once the call is over the other end is gone.
        let _ = socket.send(&packets.packet(number)).await;
    }
}

async fn hear(end: Arc<End>, socket: Arc<UdpSocket>, packets: Packets) {
    let mut packet = vec![0; 65_535];
    while let Ok((len, from)) = socket.recv_from(&mut packet).await {
        let number = packets.number(&packet[..len]);
        if number != u64::MAX {
            let (heard, now) = (&mut *end.heard.lock(), Instant::now());
            *heard.packets.entry(number).or_default() += 1;
            heard.from.insert(from);
            let pause = heard.last_at.replace(now).map_or(Duration::ZERO, |last| now - last);
            heard.longest_pause = heard.longest_pause.max(pause);
        }
    }
}
