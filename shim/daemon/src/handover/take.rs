//! The successor: asks, prepares itself with the sockets that it is offered, restores, and takes over.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;
use tracing::warn;

use super::channel::Channel;
use super::datagrams::HandedDatagrams;
use super::descriptors::{stream, tcp_stream};
use super::error::TakeOverError;
use super::give::is_own_user;
use super::kept::Kept;
use super::state::{FORMATS, Frame, RelayRecord, StateReader};
use super::{Message, Socket};
use crate::proxy::names::Sockets;
use crate::proxy::parked::Association;
use crate::proxy::relay::{FlowKey, Progress};
use crate::proxy::stream::Stream;
use crate::unix_socket::{self, SocketFile};
use throughline::PeerId;
use throughline::handover::PreparedNode;

/// How long the other process has to close its lanes: some times what it takes.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the other process has to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it has to stand still: longer than it gives requests to be answered and relays to stop.
const STATE_TIMEOUT: Duration = Duration::from_secs(20);

/// Completes when the other process has closed its lanes, or is gone.
pub type Departure = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A hand-over under way, at the successor. Dropping it has the other process go on, if that runs.
#[derive(Debug)]
pub struct TakeOver {
    channel: Channel,
    /// It has ended, and left everything in the channel: there is nobody to talk to.
    is_kept: bool,
    /// What it left, as long as it can be left to another process as it was.
    pub(super) kept: Option<Kept>,
    id: String,
    sockets: Vec<(Socket, OwnedFd)>,
}

/// What another process has begun.
#[derive(Debug, Default)]
pub struct Handed {
    /// The relays.
    pub relays: Vec<HandedRelay>,
    /// The associations.
    pub associations: Vec<Association>,
    /// The flows of datagrams.
    pub datagrams: Vec<HandedDatagrams>,
    /// The names that have stand-ins.
    pub names: Vec<u8>,
}

impl Handed {
    /// Returns how many flows there are, of bytes and of datagrams.
    pub(crate) fn flows(&self) -> usize {
        self.relays.len() + self.datagrams.len()
    }
}

/// A relay that another process has begun.
#[derive(Debug)]
pub struct HandedRelay {
    /// Where it leads.
    pub other_end: HandedEnd,
    /// The application's connection.
    pub tcp: Stream,
    /// The ingress it came in by; none at the egress.
    pub ingress: Option<Arc<str>>,
    /// How far it is.
    pub progress: Progress,
}

/// Where a relay leads that another process has begun.
#[derive(Debug)]
pub enum HandedEnd {
    /// Into a flow.
    Flow(FlowKey),
    /// Into a connection of this host's own.
    Direct(TcpStream),
}

impl TakeOver {
    /// Asks the daemon whose admin socket is at `path` to hand over; `None` where none runs.
    ///
    /// # Errors
    /// It refuses, or cannot be asked.
    pub async fn ask(path: &Path) -> Result<Option<Self>, TakeOverError> {
        let failed = |source| TakeOverError::Connection { path: path.to_owned(), source };
        let stream = match unix_socket::connect(path, ASK_TIMEOUT).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        // What it hands over would be ours.
        let owner = stream.peer_cred().map_err(failed)?;
        if !is_own_user(owner.uid()) {
            return Err(TakeOverError::OtherUser(path.to_owned()));
        }
        let mut channel = Channel::new(stream);
        let formats: Vec<u64> = FORMATS.collect();
        let request = serde_json::json!({ "command": "take-over", "formats": formats });
        channel.send_bytes(format!("{request}\n").as_bytes()).await.map_err(failed)?;
        Self::begin(channel).await.map(Some)
    }

    /// Takes what a process that has ended has left in a socket.
    ///
    /// # Errors
    /// It cannot be read, or is too old.
    pub(crate) async fn kept(
        stream: std::os::unix::net::UnixStream,
    ) -> Result<Self, TakeOverError> {
        stream.set_nonblocking(true).map_err(TakeOverError::Read)?;
        let stream = UnixStream::from_std(stream).map_err(TakeOverError::Read)?;
        let kept = Kept::read(stream).await?;
        if !FORMATS.contains(&kept.format) {
            return Err(unknown(kept.format));
        }
        let (sockets, channel) = kept.open().map_err(TakeOverError::Read)?;
        Ok(Self { channel, is_kept: true, id: kept.id.clone(), kept: Some(kept), sockets })
    }

    async fn begin(mut channel: Channel) -> Result<Self, TakeOverError> {
        let answer = timeout(ASK_TIMEOUT, channel.receive()).await;
        match answer.map_err(|_| TakeOverError::Silent)?.map_err(TakeOverError::Read)? {
            Message::Inventory { format, id, sockets } if FORMATS.contains(&format) => {
                let receiving = timeout(ASK_TIMEOUT, channel.receive_descriptors(sockets.len()));
                let descriptors = receiving.await.map_err(|_| TakeOverError::Silent)?;
                let descriptors = descriptors.map_err(TakeOverError::Read)?;
                let sockets = sockets.into_iter().zip(descriptors).collect();
                Ok(Self { channel, is_kept: false, kept: None, id, sockets })
            }
            Message::Inventory { format, .. } => Err(unknown(format)),
            Message::Refused(reason) => Err(TakeOverError::Refused(reason)),
            Message::Error(reason) => Err(TakeOverError::Refused(format!(
                "{reason}; it is of a version that cannot, so restart it once"
            ))),
            other => Err(TakeOverError::Refused(format!("it answers {other:?}"))),
        }
    }

    /// Checks that the other process is of our identity.
    ///
    /// # Errors
    /// It is of another one.
    pub fn check_identity(&self, ours: PeerId) -> Result<(), TakeOverError> {
        let ours = ours.to_string();
        match self.id == ours {
            true => Ok(()),
            false => Err(TakeOverError::Identity { theirs: self.id.clone(), ours }),
        }
    }

    /// Returns the listening socket of an ingress, if there is one on this address.
    pub fn ingress(&mut self, name: &str, listen: SocketAddr) -> Option<io::Result<TcpListener>> {
        let taken = self.take(|socket| {
            // With port 0 the address alone does not say which.
            matches!(socket, Socket::Ingress { name: of, listen: at }
                if *at == listen && (of == name || listen.port() != 0))
        });
        taken.map(tcp_listener)
    }

    /// Returns the listening socket of an ingress at a Unix socket, if there is one at this path.
    pub fn unix_ingress(&mut self, path: &Path) -> Option<OwnedFd> {
        self.take(|socket| matches!(socket, Socket::UnixIngress { path: of } if of == path))
    }

    /// Returns the socket of an ingress of datagrams, if there is one on this address.
    pub fn datagrams(&mut self, name: &str, listen: SocketAddr) -> Option<UdpSocket> {
        let taken = self.take(|socket| {
            matches!(socket, Socket::Datagrams { name: of, listen: at }
                if *at == listen && (of == name || listen.port() != 0))
        });
        taken.map(UdpSocket::from)
    }

    /// Returns the listening socket of the metrics or of the status page, if it is at this address.
    pub fn http(&mut self, addr: SocketAddr) -> Option<io::Result<TcpListener>> {
        self.take(|socket| matches!(socket, Socket::Metrics { addr: at } if *at == addr))
            .map(tcp_listener)
    }

    /// Returns the sockets that lanes are accepted on.
    pub fn lanes(&mut self) -> Vec<(SocketAddr, UdpSocket)> {
        let mut lanes = Vec::new();
        while let Some(at) =
            self.sockets.iter().position(|(socket, _)| matches!(socket, Socket::Lanes { .. }))
        {
            if let (Socket::Lanes { listen }, descriptor) = self.sockets.remove(at) {
                lanes.push((listen, descriptor.into()));
            }
        }
        lanes
    }

    /// Returns the admin socket, if it is at this path.
    pub fn admin(&mut self, path: &Path) -> Option<OwnedFd> {
        self.take(|socket| matches!(socket, Socket::Admin { path: of } if of == path))
    }

    /// Returns the sockets of the DNS answerer, if there is one.
    pub fn answerer(&mut self) -> Option<io::Result<Sockets>> {
        let udp = self.take(|socket| *socket == Socket::DnsDatagrams)?;
        let tcp = self.take(|socket| *socket == Socket::DnsConnections)?;
        Some(Sockets::of(udp, tcp))
    }

    fn take(&mut self, is_it: impl Fn(&Socket) -> bool) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|(socket, _)| is_it(socket))?;
        Some(self.sockets.remove(at).1)
    }

    /// Has the other process stand still, and restores its state into `node`; returns what it has begun.
    ///
    /// # Errors
    /// The state cannot be read or restored, or the other process goes on.
    pub async fn restore(&mut self, node: &mut PreparedNode) -> Result<Handed, TakeOverError> {
        // From here on something of it is read.
        let kept = self.kept.take();
        self.say(&Message::Proceed).await.map_err(TakeOverError::Read)?;
        let state = timeout(STATE_TIMEOUT, self.channel.receive()).await;
        let state = state.map_err(|_| TakeOverError::Silent)?;
        let connections = match state.map_err(TakeOverError::Read)? {
            Message::State { connections } => connections,
            Message::Refused(reason) => return Err(TakeOverError::Refused(reason)),
            other => return Err(TakeOverError::Refused(format!("it answers {other:?}"))),
        };
        // The first is that of the state.
        let receiving = timeout(STATE_TIMEOUT, self.channel.receive_descriptors(1 + connections));
        let received = receiving.await.map_err(|_| TakeOverError::Silent)?;
        let mut sockets = received.map_err(TakeOverError::Read)?.into_iter();
        let file = sockets.next();
        let mut handed = Handed::default();
        if let Some(file) = file {
            let (mut state, format) = StateReader::open(file).map_err(TakeOverError::Read)?;
            if !FORMATS.contains(&format) {
                return Err(unknown(format));
            }
            while let Some(frame) = state.next().map_err(TakeOverError::Read)? {
                match frame {
                    Frame::Node(record) => node.restore(&record)?,
                    Frame::Relay(record) => {
                        let relay = handed_relay(record, &mut sockets);
                        handed.relays.push(relay.map_err(TakeOverError::Read)?);
                    }
                    Frame::Association(record) => {
                        let association = record.handed(&mut sockets);
                        handed.associations.push(association.map_err(TakeOverError::Read)?);
                    }
                    Frame::Datagrams(record) => {
                        let flow = record.handed(&mut sockets).map_err(TakeOverError::Read)?;
                        handed.datagrams.push(flow);
                    }
                }
            }
        }
        if let Some(kept) = kept {
            node.stood_still_for(kept.age());
        }
        // Now that it stands still: before, the other process gives out more of them.
        handed.names = self.names()?;
        Ok(handed)
    }

    /// Returns the names that have stand-ins. Where they cannot be read an address could come to stand for another
    /// name.
    fn names(&mut self) -> Result<Vec<u8>, TakeOverError> {
        let Some(file) = self.take(|socket| *socket == Socket::Names) else {
            return Ok(Vec::new());
        };
        read_all(&File::from(file)).map_err(TakeOverError::Read)
    }

    /// Says that all is restored, and waits for the other process to let go. Returns what waits until that one has
    /// closed its lanes.
    ///
    /// # Errors
    /// It did not: it goes on.
    pub async fn finish(mut self) -> Result<Departure, TakeOverError> {
        self.say(&Message::Ready).await.map_err(TakeOverError::NotOurs)?;
        let answer = match timeout(ASK_TIMEOUT, self.channel.receive()).await {
            Ok(answer) => answer,
            Err(_) => {
                // It may have let go already: to give up now could leave nobody with the flows.
                warn!(
                    "the daemon that runs has everything restored here and says nothing; waiting for it. If it hangs, \
                     end it: then this one gives up, and can be started without --take-over"
                );
                self.channel.receive().await
            }
        };
        match answer.map_err(TakeOverError::NotOurs)? {
            Message::Yours => {
                // Of an ingress that is no more. The file goes before its socket, as always.
                for (socket, _) in &self.sockets {
                    if let Socket::UnixIngress { path } = socket {
                        drop(SocketFile::at(path));
                    }
                }
                Ok(Box::pin(async move {
                    // Where nothing is said, it is gone.
                    let _ = timeout(LEAVE_TIMEOUT, self.channel.receive()).await;
                }))
            }
            Message::Refused(reason) => Err(TakeOverError::Refused(reason)),
            other => Err(TakeOverError::Refused(format!("it answers {other:?}"))),
        }
    }

    /// Says why there is no hand-over.
    pub async fn give_up(mut self, reason: &str) {
        // It learns it from the end of the connection as well.
        let _ = self.say(&Message::Failed(reason.to_owned())).await;
    }

    async fn say(&mut self, message: &Message) -> io::Result<()> {
        match self.is_kept {
            true => Ok(()),
            false => self.channel.send(message).await,
        }
    }
}

fn unknown(format: u64) -> TakeOverError {
    let unknown = format!("its format {format} is not known; use a newer program");
    TakeOverError::Read(io::Error::other(unknown))
}

/// Reads a file from its start, whatever the place is that its descriptor shares with the one that wrote.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut contents = vec![0; len];
    file.read_exact_at(&mut contents, 0)?;
    Ok(contents)
}

fn tcp_listener(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn handed_relay(
    record: RelayRecord,
    sockets: &mut impl Iterator<Item = OwnedFd>,
) -> io::Result<HandedRelay> {
    let RelayRecord { key, ingress, kind, progress } = record;
    let tcp = stream(sockets, kind)?;
    let other_end = match key {
        Some(key) => HandedEnd::Flow(key),
        None => HandedEnd::Direct(tcp_stream(sockets)?),
    };
    Ok(HandedRelay { other_end, tcp, ingress: ingress.map(Arc::from), progress })
}
