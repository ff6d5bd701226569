//! A relay of datagrams that can be closed: a path that falls silent.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Relays datagrams from whoever sends them to `at`, and the answers back, while it is open.
pub(crate) struct Relay {
    /// Where it is reached.
    pub(crate) at: SocketAddr,
    is_open: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::slow(server, Duration::ZERO)
    }

    /// A relay that delays each datagram, in either direction.
    pub(crate) fn slow(server: SocketAddr, delay: Duration) -> Self {
        let front = UdpSocket::bind("127.0.14.9:0").unwrap();
        let at = front.local_addr().unwrap();
        let front = Arc::new(front);
        let is_open = Arc::new(AtomicBool::new(true));
        let open = is_open.clone();
        std::thread::spawn(move || {
            let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
            let mut datagram = [0; 2048];
            while let Ok((len, from)) = front.recv_from(&mut datagram) {
                let back = clients.entry(from).or_insert_with(|| {
                    let back = UdpSocket::bind("127.0.14.9:0").unwrap();
                    back.connect(server).unwrap();
                    let back = Arc::new(back);
                    answer(from, &front, back.clone(), &open, delay);
                    back
                });
                if open.load(Ordering::Relaxed) {
                    let (back, datagram) = (back.clone(), datagram[..len].to_vec());
                    after(delay, move || drop(back.send(&datagram)));
                }
            }
        });
        Self { at, is_open }
    }

    pub(crate) fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }
}

/// Relays what comes back for a client.
fn answer(
    client: SocketAddr,
    front: &Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    open: &Arc<AtomicBool>,
    delay: Duration,
) {
    let (front, open) = (front.clone(), open.clone());
    std::thread::spawn(move || {
        let mut datagram = [0; 2048];
        while let Ok(len) = back.recv(&mut datagram) {
            if open.load(Ordering::Relaxed) {
                let (front, datagram) = (front.clone(), datagram[..len].to_vec());
                after(delay, move || drop(front.send_to(&datagram, client)));
            }
        }
    });
}

fn after(delay: Duration, act: impl FnOnce() + Send + 'static) {
    if delay.is_zero() {
        return act();
    }
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        act();
    });
}
