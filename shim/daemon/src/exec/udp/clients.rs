//! Which sockets of the program have an association, and which of them make room for another.
//!
//! Nobody tells when the program closes one. So where many are open, or descriptors are scarce, it is looked which are
//! still there; and where all are, the one that has sent nothing for longest goes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::association::Waiting;
use crate::exec::udp_sockets::UdpSockets;

/// Sockets of the program at once.
pub(super) const MAX_ASSOCIATIONS: usize = 1024;

/// From how many on it is looked which are still there, and how often at most.
const SWEEP_FROM: usize = MAX_ASSOCIATIONS / 2;
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// How long a socket that has sent something keeps its place: longer than an answer takes.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The sockets by their addresses.
#[derive(Default)]
pub(super) struct Clients {
    open: HashMap<SocketAddr, Client>,
    swept_at: Option<Instant>,
}

struct Client {
    waiting: mpsc::Sender<Waiting>,
    used_at: Instant,
}

impl Clients {
    /// Passes a datagram to the association of its socket, or drops it where too many wait; returns it if there is no
    /// association.
    pub(super) fn pass(
        &mut self,
        from: SocketAddr,
        datagram: Waiting,
        now: Instant,
    ) -> Option<Waiting> {
        let is_open = |client: &&mut Client| !client.waiting.is_closed();
        let Some(client) = self.open.get_mut(&from).filter(is_open) else {
            return Some(datagram);
        };
        client.used_at = now;
        let _ = client.waiting.try_send(datagram);
        None
    }

    /// Returns whether there is room for another; makes some where one has sent nothing for long.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        self.open.len() < MAX_ASSOCIATIONS || self.end_longest_unused(now)
    }

    /// Ends the association of the socket that has sent nothing for longest; returns whether one has for long.
    pub(super) fn end_longest_unused(&mut self, now: Instant) -> bool {
        let longest = self.open.iter().min_by_key(|(_, client)| client.used_at);
        let unused = longest.filter(|(_, client)| now - client.used_at >= KEPT_FOR);
        unused.map(|(from, _)| *from).is_some_and(|from| self.open.remove(&from).is_some())
    }

    /// Begins with a socket.
    pub(super) fn insert(
        &mut self,
        from: SocketAddr,
        waiting: mpsc::Sender<Waiting>,
        now: Instant,
    ) {
        self.open.insert(from, Client { waiting, used_at: now });
    }

    /// Forgets a socket whose association has ended, unless another one has begun meanwhile.
    pub(super) fn forget(&mut self, from: SocketAddr) {
        if self.open.get(&from).is_some_and(|client| client.waiting.is_closed()) {
            self.open.remove(&from);
        }
    }

    /// Returns whether it is time to look which sockets are still there; whoever asks then does.
    pub(super) fn is_sweep_due(&mut self, is_scarce: bool, now: Instant) -> bool {
        let is_recent = self.swept_at.is_some_and(|at| now - at < SWEEP_INTERVAL);
        let is_due = (is_scarce || self.open.len() >= SWEEP_FROM) && !is_recent;
        if is_due {
            self.swept_at = Some(now);
        }
        is_due
    }

    /// Ends the associations of sockets that are gone, and had sent their last before the list was asked for.
    pub(super) fn sweep(&mut self, sockets: &UdpSockets, asked_at: Instant) {
        self.open.retain(|from, client| client.used_at >= asked_at || sockets.has(*from));
    }

    /// Ends all, once they have sent what waits.
    pub(super) fn end_all(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn with(count: u16, begin: Instant) -> Clients {
        let mut clients = Clients::default();
        for port in 0..count {
            let used_at = begin + Duration::from_millis(u64::from(port));
            clients.insert(of(port), mpsc::channel(1).0, used_at);
        }
        clients
    }

    fn of(port: u16) -> SocketAddr {
        SocketAddr::from(([198, 18, 0, 1], port))
    }

    #[test]
    fn a_socket_that_has_sent_nothing_for_long_makes_room_for_another() {
        let begin = Instant::now();
        let mut clients = with(1024, begin);
        assert!(!clients.has_room(begin + Duration::from_millis(9_999)));
        assert!(clients.has_room(begin + Duration::from_secs(10)));
        assert!(!clients.open.contains_key(&of(0)) && clients.open.len() == 1023);
        assert!(clients.has_room(begin) && clients.open.len() == 1023);
        assert!(!clients.end_longest_unused(begin + Duration::from_secs(10)));
    }

    #[test]
    fn where_many_are_open_those_that_are_gone_are_forgotten() {
        let begin = Instant::now();
        let mut clients = with(511, begin);
        assert!(!clients.is_sweep_due(false, begin) && clients.is_sweep_due(true, begin));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        clients.insert(socket.local_addr().unwrap(), mpsc::channel(1).0, begin);
        let later = begin + Duration::from_millis(99);
        assert!(!clients.is_sweep_due(true, later));
        let later = begin + Duration::from_millis(100);
        assert!(clients.is_sweep_due(false, later) && !clients.is_sweep_due(false, later));
        clients.sweep(&UdpSockets::of_this_thread().unwrap(), begin + Duration::from_millis(510));
        // The last one may have been opened after the list was made.
        let mut kept: Vec<_> = clients.open.keys().map(SocketAddr::port).collect();
        kept.sort_unstable();
        assert_eq!(kept, [510, socket.local_addr().unwrap().port()]);
    }
}
