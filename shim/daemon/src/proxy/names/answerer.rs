//! The sockets of the DNS answerer, to which the kernel leads the queries of whoever is intercepted.
//!
//! They are bound when an ingress first wants them, and stay for as long as the daemon runs: what the kernel has
//! decided for a client's socket holds for a while after the rules have changed. A query that the system's resolver is
//! to answer waits for it in a task of its own, of which there are few for a client and not many in all.

mod waiting;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::waiting::{Place, Waiting};
use super::message::{Reply, as_datagram, failure};
use super::resolver::{self, Transport, ask};
use super::stand_ins::Names;
use crate::proxy::connections::Descriptors;
use crate::proxy::freezer::Freezer;
use crate::proxy::own_sockets;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::tasks::Tasks;

/// The descriptors of a query that waits: the socket by which the system's resolver is asked.
const OF_QUERY: usize = 1;

/// Those of a connection: its own, and that of the connection by which the system's resolver is asked.
const OF_CONNECTION: usize = 2;

/// How long a connection may say nothing (RFC 7766 §6.2.3 recommends a few seconds).
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest datagram, or several that the kernel has put together.
const BUFFER: usize = 64 * 1024;

/// Pause after a failed read, which would make the loop spin.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// How often a port is tried that both protocols have to have free.
const PORT_TRIES: usize = 16;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// The answerer of a daemon. Clones are handles to the same one.
#[derive(Clone, Default)]
pub struct Answerer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sockets: Option<Sockets>,
    is_served: bool,
}

/// Two sockets at one port.
#[derive(Clone, Debug)]
pub struct Sockets {
    udp: Arc<UdpSocket>,
    tcp: Arc<TcpListener>,
    port: u16,
}

impl Sockets {
    /// Binds them to a port that the system chooses, for both versions of IP.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN the kernel refuses the mark.
    pub fn bind() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORT_TRIES {
            let udp = bound(Type::DGRAM, 0)?;
            let port = udp.local_addr()?.as_socket().map_or(0, |addr| addr.port());
            match bound(Type::STREAM, port) {
                Ok(tcp) => {
                    tcp.listen(BACKLOG)?;
                    return Self::of(udp.into(), tcp.into());
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Returns those that are bound already.
    ///
    /// # Errors
    /// They are none.
    pub fn of(udp: OwnedFd, tcp: OwnedFd) -> io::Result<Self> {
        let (udp, tcp) = (std::net::UdpSocket::from(udp), std::net::TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let port = udp.local_addr()?.port();
        Ok(Self {
            udp: Arc::new(UdpSocket::from_std(udp)?),
            tcp: Arc::new(TcpListener::from_std(tcp)?),
            port,
        })
    }

    /// Returns their port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns their descriptors, of UDP and of TCP.
    ///
    /// # Errors
    /// The system has none left.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 2]> {
        use std::os::fd::AsFd;
        Ok([self.udp.as_fd().try_clone_to_owned()?, self.tcp.as_fd().try_clone_to_owned()?])
    }
}

fn bound(kind: Type, port: u16) -> io::Result<Socket> {
    let at = |domain: Domain, ip: IpAddr| {
        let socket = Socket::new(domain, kind, None)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        own_sockets::mark(&SockRef::from(&socket))?;
        socket.bind(&SocketAddr::new(ip, port).into())?;
        Ok(socket)
    };
    at(Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()).or_else(|error: io::Error| match error.kind() {
        // A host without IPv6 has no such address, or no such sockets.
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse => Err(error),
        _ => at(Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
    })
}

impl Answerer {
    /// Returns the port at which it listens; binds it first where it does not.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn bind(&self) -> io::Result<u16> {
        let mut state = self.0.lock();
        match &state.sockets {
            Some(sockets) => Ok(sockets.port),
            None => Ok(state.sockets.insert(Sockets::bind()?).port),
        }
    }

    /// Goes on with sockets that another process has bound.
    pub fn inherit(&self, sockets: Sockets) {
        self.0.lock().sockets = Some(sockets);
    }

    /// Returns the port at which it listens, if it does.
    pub fn port(&self) -> Option<u16> {
        self.0.lock().sockets.as_ref().map(|sockets| sockets.port)
    }

    /// Returns its sockets, if it is served.
    pub fn sockets(&self) -> Option<Sockets> {
        let state = self.0.lock();
        state.sockets.clone().filter(|_| state.is_served)
    }

    /// Answers from now on, if it is bound and does not do so already.
    pub fn serve(
        &self,
        names: &Names,
        descriptors: &Descriptors,
        freezer: &Freezer,
        tasks: &Tasks,
    ) {
        let mut state = self.0.lock();
        let Some(sockets) = state.sockets.clone().filter(|_| !state.is_served) else { return };
        state.is_served = true;
        Names::begin();
        info!(port = sockets.port, "answering DNS queries of whoever is intercepted with `dns`");
        let serving = Serving {
            names: names.clone(),
            descriptors: descriptors.clone(),
            freezer: freezer.clone(),
            tasks: tasks.clone(),
            waiting: Waiting::default(),
            full: Arc::default(),
        };
        let datagrams = serving.clone().serve_datagrams(sockets.udp);
        tasks.spawn_vital("the DNS answerer's task of datagrams".to_owned(), datagrams);
        let connections = serving.serve_connections(sockets.tcp);
        tasks.spawn_vital("the DNS answerer's task of connections".to_owned(), connections);
    }
}

#[derive(Clone)]
struct Serving {
    names: Names,
    descriptors: Descriptors,
    freezer: Freezer,
    tasks: Tasks,
    waiting: Waiting,
    full: Arc<RefusalLog>,
}

/// A datagram's client, and the address that it was sent to.
#[derive(Clone, Copy)]
struct Ends {
    client: SocketAddr,
    asked: Option<IpAddr>,
}

/// Returns whom a query counts for that came `from` an address, to `asked` at last. The kernel redirects all programs of
/// this host to loopback, and nobody else: they are one client, from whichever of the host's addresses they ask, of
/// which loopback alone has millions.
fn client_of(from: IpAddr, asked: Option<IpAddr>) -> IpAddr {
    match asked.is_some_and(|asked| asked.to_canonical().is_loopback()) {
        true => Ipv4Addr::LOCALHOST.into(),
        false => from.to_canonical(),
    }
}

/// A socket of which is known where to a datagram was sent, and from where it is answered.
struct Datagrams {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
}

impl Datagrams {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        loop {
            self.socket.readable().await?;
            let mut meta = [RecvMeta::default()];
            let mut parts = [IoSliceMut::new(buffer)];
            let receive = || self.state.recv((&*self.socket).into(), &mut parts, &mut meta);
            match self.socket.try_io(Interest::READABLE, receive) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received.map(|_| meta[0]),
            }
        }
    }

    /// Answers; what finds no room is lost, and the client asks again.
    async fn send(&self, ends: Ends, contents: &[u8]) {
        let Ends { client: destination, asked: src_ip } = ends;
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
        let send = || self.state.try_send((&*self.socket).into(), &transmit);
        if self.socket.writable().await.is_ok() {
            let _ = self.socket.try_io(Interest::WRITABLE, send);
        }
    }
}

impl Serving {
    async fn serve_datagrams(self, socket: Arc<UdpSocket>) {
        let state = match UdpSocketState::new((&*socket).into()) {
            Ok(state) => state,
            Err(error) => return warn!(%error, "DNS queries cannot be answered: {error}"),
        };
        let datagrams = Arc::new(Datagrams { socket, state });
        let mut buffer = vec![0; BUFFER];
        loop {
            // While everything stands still queries wait in the kernel, for whichever process goes on.
            self.freezer.thawed().await;
            let received = tokio::select! {
                biased;
                () = self.tasks.draining() => return,
                () = self.freezer.frozen() => continue,
                received = datagrams.receive(&mut buffer) => received,
            };
            let Ok(meta) = received else {
                sleep(RETRY_DELAY).await;
                continue;
            };
            let ends = Ends { client: meta.addr, asked: meta.dst_ip };
            for query in buffer[..meta.len].chunks(meta.stride.max(1)) {
                self.answer_datagram(&datagrams, ends, query).await;
            }
        }
    }

    async fn answer_datagram(&self, datagrams: &Arc<Datagrams>, ends: Ends, query: &[u8]) {
        let client = client_of(ends.client.ip(), ends.asked);
        match self.reply(query, client).await {
            Reply::Drop => {}
            Reply::Answer(answer) => datagrams.send(ends, &answer).await,
            Reply::Forward => match self.wait(client, OF_QUERY) {
                Some(place) => {
                    let (datagrams, query) = (Arc::clone(datagrams), query.to_vec());
                    self.tasks.spawn(async move {
                        let asked = ask(&query, Transport::Udp).await.or_else(|| failure(&query));
                        if let Some(answer) = asked.and_then(|answer| as_datagram(&query, answer)) {
                            datagrams.send(ends, &answer).await;
                        }
                        drop(place);
                    });
                }
                None => {
                    if let Some(failure) = failure(query) {
                        datagrams.send(ends, &failure).await;
                    }
                }
            },
        }
    }

    async fn serve_connections(self, listener: Arc<TcpListener>) {
        loop {
            self.freezer.thawed().await;
            let accepted = tokio::select! {
                biased;
                () = self.tasks.draining() => return,
                () = self.freezer.frozen() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((connection, from)) = accepted else {
                sleep(RETRY_DELAY).await;
                continue;
            };
            let asked = connection.local_addr().ok().map(|addr| addr.ip());
            let client = client_of(from.ip(), asked);
            let Some(place) = self.wait(client, OF_CONNECTION) else { continue };
            let (serving, tasks) = (self.clone(), self.tasks.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = serving.answer_connection(connection, client) => {}
                    () = tasks.draining() => {}
                }
                drop(place);
            });
        }
    }

    /// Returns what is replied to a query, as soon as anything may move: a stand-in that were given out while everything
    /// stands still would be unknown to a successor, which could give it to another name. What holds this place has a
    /// freeze wait.
    async fn reply(&self, query: &[u8], client: IpAddr) -> Reply {
        let _place = self.freezer.enter().await;
        self.names.reply(query, client)
    }

    /// Answers one query after the other until the client has no more.
    async fn answer_connection(&self, mut connection: TcpStream, client: IpAddr) {
        loop {
            let reading = timeout(IDLE_TIMEOUT, resolver::read(&mut connection)).await;
            let Ok(Ok(query)) = reading else { return };
            let answer = match self.reply(&query, client).await {
                Reply::Drop => return,
                Reply::Answer(answer) => Some(answer),
                Reply::Forward => ask(&query, Transport::Tcp).await.or_else(|| failure(&query)),
            };
            let Some(answer) = answer else { return };
            let writing = timeout(IDLE_TIMEOUT, resolver::write(&mut connection, &answer)).await;
            if !matches!(writing, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Returns a place with so many descriptors.
    fn wait(
        &self,
        client: IpAddr,
        descriptors: usize,
    ) -> Option<(Place, Vec<OwnedSemaphorePermit>)> {
        let place = self.waiting.enter(client);
        if place.is_none()
            && let Some(suppressed) = self.full.admit()
        {
            info!(%client, suppressed, "DNS query refused: too many wait for the system's resolver");
        }
        // Where there are none that says so.
        let taken = (0..descriptors).map(|_| self.descriptors.try_acquire());
        place.zip(taken.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::proxy::names::Covered;

    fn serving(descriptors: Descriptors) -> Serving {
        Serving {
            names: Names::default(),
            descriptors,
            freezer: Freezer::default(),
            tasks: Tasks::default(),
            waiting: Waiting::default(),
            full: Arc::default(),
        }
    }

    #[test]
    fn the_programs_of_this_host_are_one_client_whichever_of_its_addresses_they_ask_from() {
        for (from, asked, expected) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("127.9.8.7", "127.0.0.1", "127.0.0.1"),
            ("192.0.2.5", "127.0.0.1", "127.0.0.1"),
            ("::ffff:192.0.2.5", "::ffff:127.0.0.1", "127.0.0.1"),
            ("2001:db8::5", "::1", "127.0.0.1"),
            ("10.0.0.2", "10.0.0.1", "10.0.0.2"),
            ("::ffff:10.0.0.2", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8::5", "2001:db8::1", "2001:db8::5"),
        ] {
            let (from_ip, asked_ip) = (from.parse().unwrap(), asked.parse().unwrap());
            let client = client_of(from_ip, Some(asked_ip));
            assert_eq!(client.to_string(), expected, "{from} asks {asked}");
        }
        let remote = "10.0.0.2".parse().unwrap();
        assert_eq!(client_of(remote, None), remote);
    }

    #[test]
    fn whoever_waits_takes_descriptors_of_those_for_connections_and_fails_where_there_are_none() {
        // Half of the limit.
        let descriptors = Descriptors::of_limit(2 * (OF_CONNECTION + OF_QUERY));
        let serving = serving(descriptors.clone());
        let client = Ipv4Addr::LOCALHOST.into();
        let connection = serving.wait(client, OF_CONNECTION).unwrap();
        assert!(serving.wait(client, OF_CONNECTION).is_none());
        let query = serving.wait(client, OF_QUERY).unwrap();
        assert_eq!(descriptors.in_use(), OF_CONNECTION + OF_QUERY);
        assert!(serving.wait(client, OF_QUERY).is_none());
        drop((connection, query));
        assert_eq!(descriptors.in_use(), 0);
        assert!(serving.waiting.is_empty());
    }

    #[tokio::test]
    async fn no_name_is_given_an_address_while_everything_stands_still() {
        let serving = serving(Descriptors::default());
        serving.names.cover(Covered::All);
        // A question of an address (RFC 1035 §4.1).
        let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
        let client = Ipv4Addr::LOCALHOST.into();
        assert!(serving.freezer.freeze().await);
        let mut reply = Box::pin(serving.reply(query, client));
        assert!(reply.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(serving.names.snapshot().is_empty());
        serving.freezer.thaw();
        assert!(matches!(reply.await, Reply::Answer(_)));
        assert!(!serving.names.snapshot().is_empty());
        // Nothing keeps it from standing still once more.
        assert!(serving.freezer.freeze().await);
    }
}
