//! One relayed TCP connection: two directions, each a stop-and-go sender.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use throughline_link::Admission;

use crate::ids::{IspId, LinkId};
use crate::links::Links;
use crate::parcel::{Chunk, Content, Parcel, Toward};

/// Bytes read at a time: 11 segments, small enough that a direction shares its link fairly.
pub(super) const MAX_CHUNK: usize = 16 * 1024;
/// Linux's least retransmission timeout (`TCP_RTO_MIN`): what a short path has.
const RTO_MIN: Duration = Duration::from_millis(200);
/// Linux's greatest (`TCP_RTO_MAX`).
const RTO_MAX: Duration = Duration::from_secs(120);
/// Delivered bytes a slow receiver may leave unread here before its sender has to wait.
const MAX_UNREAD: usize = 1 << 20;

pub(super) struct Connection {
    id: u64,
    client: TcpStream,
    server: Option<TcpStream>,
    server_addr: SocketAddr,
    up: Direction,
    down: Direction,
    failed: bool,
}

/// One direction: from reading its sender to writing to its receiver.
struct Direction {
    connection: u64,
    toward: Toward,
    link: LinkId,
    /// Reading may begin.
    open: bool,
    ended: bool,
    stalled: Option<Stall>,
    next_number: u64,
    expected: u64,
    /// Lost, or not yet sent: goes out first, in order.
    backlog: BTreeMap<u64, Content>,
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// Everything was delivered, FIN included.
    fin: bool,
    closed: bool,
}

/// The wait for the next retransmission.
struct Stall {
    next_try: Instant,
    rto: Duration,
}

impl Connection {
    pub(super) fn new(
        id: u64,
        client: TcpStream,
        server_addr: SocketAddr,
        isp: IspId,
    ) -> io::Result<Self> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        let mut up = Direction::new(id, Toward::Server, isp.up());
        up.enqueue(Content::Syn);
        let down = Direction::new(id, Toward::Client, isp.down());
        Ok(Self { id, client, server: None, server_addr, up, down, failed: false })
    }

    pub(super) fn receive(&mut self, now: Instant, buffer: &mut [u8], links: &mut Links) {
        let up = self.up.advance(now, Some(&mut self.client), buffer, links);
        let down = self.down.advance(now, self.server.as_mut(), buffer, links);
        self.failed |= up.is_err() || down.is_err();
    }

    pub(super) fn deliver(&mut self, chunk: Chunk, now: Instant, links: &mut Links) {
        debug_assert_eq!(chunk.connection, self.id, "chunks are handed to their connection");
        let toward = chunk.toward;
        let syn = match toward {
            Toward::Server => self.up.deliver(chunk, now),
            Toward::Client => self.down.deliver(chunk, now),
        };
        match (toward, syn) {
            (_, false) => {}
            (Toward::Server, true) => match dial(self.server_addr) {
                Ok(server) => {
                    self.server = Some(server);
                    self.down.open = true;
                    self.down.enqueue(Content::Syn);
                    self.down.send_backlog(now, links);
                }
                Err(_) => self.failed = true,
            },
            (Toward::Client, true) => self.up.open = true,
        }
    }

    pub(super) fn lost(&mut self, chunk: Chunk, now: Instant) {
        match chunk.toward {
            Toward::Server => self.up.lost(chunk, now),
            Toward::Client => self.down.lost(chunk, now),
        }
    }

    /// Writes what was delivered; whether the connection goes on.
    pub(super) fn write(&mut self) -> bool {
        let up = self.server.as_mut().map_or(Ok(()), |server| self.up.write(server));
        let down = self.down.write(&mut self.client);
        !(self.failed || up.is_err() || down.is_err() || (self.up.closed && self.down.closed))
    }
}

impl Direction {
    fn new(connection: u64, toward: Toward, link: LinkId) -> Self {
        Self {
            connection,
            toward,
            link,
            open: false,
            ended: false,
            stalled: None,
            next_number: 0,
            expected: 0,
            backlog: BTreeMap::new(),
            unread: VecDeque::new(),
            unread_bytes: 0,
            fin: false,
            closed: false,
        }
    }

    fn enqueue(&mut self, content: Content) {
        self.backlog.insert(self.next_number, content);
        self.next_number += 1;
    }

    /// Tries again what is due, then reads what the link has room for.
    fn advance(
        &mut self,
        now: Instant,
        from: Option<&mut TcpStream>,
        buffer: &mut [u8],
        links: &mut Links,
    ) -> io::Result<()> {
        if let Some(stall) = &mut self.stalled {
            if now < stall.next_try {
                return Ok(());
            }
            if links.of(self.link).model().is_blackhole() {
                // The retransmission is lost like the first one: back off (RFC 6298 §5.5).
                stall.rto = (stall.rto * 2).min(RTO_MAX);
                stall.next_try += stall.rto;
                return Ok(());
            }
            self.stalled = None;
        }
        self.send_backlog(now, links);
        let Some(from) = from else { return Ok(()) };
        while self.may_read() && links.of(self.link).model().has_room(now) {
            match from.read(buffer) {
                Ok(0) => {
                    self.ended = true;
                    self.enqueue(Content::Fin);
                }
                Ok(count) => self.enqueue(Content::Data(Bytes::copy_from_slice(&buffer[..count]))),
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error),
            }
            self.send_backlog(now, links);
        }
        Ok(())
    }

    fn may_read(&self) -> bool {
        self.open
            && !self.ended
            && self.stalled.is_none()
            && self.backlog.is_empty()
            && self.unread_bytes < MAX_UNREAD
    }

    fn send_backlog(&mut self, now: Instant, links: &mut Links) {
        let link = links.of(self.link);
        while self.stalled.is_none() && link.model().has_room(now) {
            let Some((number, content)) = self.backlog.pop_first() else { return };
            let (connection, toward) = (self.connection, self.toward);
            let bytes = content.wire_bytes();
            let chunk = Parcel::Tcp(Chunk { connection, toward, number, content });
            if let Admission::Dropped(Parcel::Tcp(chunk), _) =
                link.admit_reliably(now, bytes, chunk)
            {
                self.lost(chunk, now);
            }
        }
    }

    fn lost(&mut self, chunk: Chunk, now: Instant) {
        self.backlog.insert(chunk.number, chunk.content);
        self.stalled.get_or_insert(Stall { next_try: now + RTO_MIN, rto: RTO_MIN });
    }

    /// Takes what the link delivers; whether it was the SYN.
    fn deliver(&mut self, chunk: Chunk, now: Instant) -> bool {
        if chunk.number != self.expected {
            // One before it was lost: this one waits for it, then comes again.
            self.lost(chunk, now);
            return false;
        }
        self.expected += 1;
        match chunk.content {
            Content::Syn => return true,
            Content::Data(data) => {
                self.unread_bytes += data.len();
                self.unread.push_back(data);
            }
            Content::Fin => self.fin = true,
        }
        false
    }

    fn write(&mut self, to: &mut TcpStream) -> io::Result<()> {
        while let Some(front) = self.unread.front_mut() {
            match to.write(front) {
                Ok(count) => {
                    self.unread_bytes -= count;
                    front.advance(count);
                    if front.is_empty() {
                        self.unread.pop_front();
                    }
                }
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.fin && !self.closed {
            self.closed = true;
            to.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Starts to connect; on loopback it is done, or refused, at once.
fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(error) if is_later(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Returns whether the operation only has to be tried again: not yet connected, nothing to read, no room.
fn is_later(error: &io::Error) -> bool {
    // EINPROGRESS has no kind of its own in stable Rust; it is 115 on Linux, 36 on macOS.
    let in_progress = if cfg!(target_os = "linux") { 115 } else { 36 };
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
        || error.raw_os_error() == Some(in_progress)
}
