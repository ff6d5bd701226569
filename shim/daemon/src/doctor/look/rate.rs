//! Sends a burst over a path, packet by packet: a slow part, and a fast one.
//!
//! Each packet is a probe that every acceptor answers by some fifty bytes. No congestion controller is asked, so that the
//! burst is short and of as many bytes as were asked for; paths are tried one after the other.

use std::collections::HashSet;
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::udp;
use crate::doctor::burst::{Burst, Packet, RateSeen, judge};
use crate::doctor::examination::Examination;
use crate::doctor::observation::PathSeen;
use throughline::probe::LaneProbe;
use throughline_proto::wire::path_probe::{PATH_PROBE_SIZE, PathProbe};

/// The rates of the two parts, in bits a second. The fast one is what a peer on a small machine still answers.
const SLOW: f64 = 5e6;
pub(super) const FAST: f64 = 50e6;

/// The slow part is this part of the burst.
const SLOW_PART: f64 = 0.2;

/// How often packets are sent and answers read. At 50 Mbit/s five packets are due each time.
const STEP: Duration = Duration::from_millis(1);

/// Datagrams that are read in one step, fifty times what is answered in it: whoever sends more does not keep the burst
/// from its end.
const MOST_AT_ONCE: usize = 256;

/// The burst is over so long after the last answer, and at the latest so long after it was sent.
const QUIET: Duration = Duration::from_millis(1_500);
const LATEST: Duration = Duration::from_secs(10);

/// The bytes before the number of a packet in an answer's connection id: form, version, length, nonce.
const NUMBER_AT: usize = 10;

/// Sends a burst of as many bytes as are asked for over one path of each uplink, family and peer that is reached.
pub(super) async fn probe(
    lanes: &[(usize, LaneProbe)],
    examination: &Examination,
    paths: &mut [PathSeen],
) {
    let Some(bytes) = examination.burst else { return };
    let mut asked = HashSet::new();
    for (index, lane) in lanes {
        let path = &mut paths[*index];
        let limited = (path.peer.clone(), path.uplink.clone(), path.remote().is_ipv4());
        if !path.is_reached() || !asked.insert(limited) {
            continue;
        }
        let lane = lane.clone();
        // Its times are those of packets, for which a thread is asked rather than a runtime.
        let sent = tokio::task::spawn_blocking(move || send(&lane, bytes)).await;
        path.rate = Some(match sent {
            Ok(Ok(burst)) => judge(&burst),
            Ok(Err(error)) => RateSeen::Unknown(error.to_string()),
            Err(error) => RateSeen::Unknown(error.to_string()),
        });
    }
}

/// Sends a burst, and waits for its answers.
fn send(lane: &LaneProbe, bytes: u64) -> io::Result<Burst> {
    let socket = udp::open(lane.local, lane.device.as_deref(), lane.remote)?;
    let size = PATH_PROBE_SIZE + if lane.remote.is_ipv4() { 28 } else { 48 };
    let count = (bytes as usize / size).max(1);
    let slow = (count as f64 * SLOW_PART) as usize;
    let mut sending =
        Sending { socket, nonce: rand::random(), began: Instant::now(), packets: Vec::new() };
    let mut due = Duration::ZERO;
    for number in 0..count {
        sending.wait_until(due)?;
        sending.send(number as u32, due)?;
        due += Duration::from_secs_f64(size as f64 * 8.0 / if number < slow { SLOW } else { FAST });
    }
    sending.wait_for_answers()?;
    Ok(Burst { size, slow, packets: sending.packets })
}

/// A burst that is under way.
struct Sending {
    socket: UdpSocket,
    nonce: [u8; 4],
    began: Instant,
    packets: Vec<Packet>,
}

impl Sending {
    fn probe(&self, number: u32) -> PathProbe {
        let mut id = [0; 8];
        id[..4].copy_from_slice(&self.nonce);
        id[4..].copy_from_slice(&number.to_be_bytes());
        PathProbe::new(id, id)
    }

    /// Reads answers until a packet is due.
    fn wait_until(&mut self, due: Duration) -> io::Result<()> {
        while self.began.elapsed() < due {
            self.receive()?;
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// Sends a packet. Where the socket is full, an interface of this host is what limits the rate: the packet waits, and
    /// counts as sent when it was due.
    fn send(&mut self, number: u32, due: Duration) -> io::Result<()> {
        let probe = self.probe(number).to_bytes();
        let mut waited = false;
        loop {
            let before = self.packets.last().map_or(Duration::ZERO, |packet| packet.sent);
            let sent = if waited { due.max(before) } else { self.began.elapsed() };
            match self.socket.send(&probe) {
                Ok(_) => {
                    self.packets.push(Packet { sent, answered: None });
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.began.elapsed() > due + LATEST {
                        return Err(error);
                    }
                    waited = true;
                    self.receive()?;
                    std::thread::sleep(STEP);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Notes the answers that have come, [`MOST_AT_ONCE`] at the most; returns whether there were any.
    fn receive(&mut self) -> io::Result<bool> {
        let (mut datagram, mut any) = ([0; 256], false);
        for _ in 0..MOST_AT_ONCE {
            let length = match self.socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) => return Err(error),
            };
            let number = datagram[..length].get(NUMBER_AT..NUMBER_AT + 4);
            let number = number.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
            let Some(number) = number else { continue };
            let is_answer = self.probe(number).is_answered_by(&datagram[..length]);
            let (now, packet) = (self.began.elapsed(), self.packets.get_mut(number as usize));
            if let Some(packet) = packet.filter(|packet| is_answer && packet.answered.is_none()) {
                packet.answered = Some(now);
                any = true;
            }
        }
        Ok(any)
    }

    /// Waits until every packet is answered, or no more answers come.
    fn wait_for_answers(&mut self) -> io::Result<()> {
        let (sent, mut last) = (Instant::now(), Instant::now());
        while self.packets.iter().any(|packet| packet.answered.is_none())
            && last.elapsed() < QUIET
            && sent.elapsed() < LATEST
        {
            if self.receive()? {
                last = Instant::now();
            }
            std::thread::sleep(STEP);
        }
        Ok(())
    }
}
