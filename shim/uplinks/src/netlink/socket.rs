//! A netlink socket for requests. It never waits: the kernel executes a request within the send, and
//! the answer lies in the socket when the send returns.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// As Linux numbers them; `std::io::ErrorKind` has no names for these.
pub(super) const ENOBUFS: i32 = 105;
const ENOPROTOOPT: i32 = 92;

/// What the kernel fills at once in a dump: 32 KiB at the most.
const BUFFER: usize = 64 << 10;

/// A dump during which something changed is repeated, this many times at most.
const MAX_DUMP_ATTEMPTS: usize = 4;

/// A socket for requests.
pub(crate) struct RequestSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl RequestSocket {
    /// # Errors
    /// The system has no netlink sockets, or does not let us have one.
    pub(crate) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The answer is there when the request has been sent; should it not be, nothing waits.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Has the kernel filter a dump by what the question asks for (`NETLINK_GET_STRICT_CHK`). A kernel
    /// before 4.20 returns everything.
    pub(crate) fn strict(&mut self, strict: bool) -> io::Result<()> {
        match self.socket.set_netlink_get_strict_chk(strict) {
            Err(error) if error.raw_os_error() == Some(ENOPROTOOPT) => Ok(()),
            other => other,
        }
    }

    /// Passes every object of a table to `each`. An object may come twice.
    pub(crate) fn dump(
        &mut self,
        question: &RouteNetlinkMessage,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        for _ in 0..MAX_DUMP_ATTEMPTS {
            self.send(question.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if !self.read_answers(&mut each)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the only answer to a question.
    pub(crate) fn query(
        &mut self,
        question: RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.send(question, NLM_F_REQUEST | NLM_F_ACK)?;
        let mut answer = None;
        self.read_answers(&mut |message| answer = Some(message))?;
        Ok(answer)
    }

    /// Has a request executed.
    pub(crate) fn execute(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.read_answers(&mut |_| ()).map(|_| ())
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    /// Reads to the end of the answer to the last request; returns whether something changed
    /// meanwhile.
    fn read_answers(&mut self, each: &mut impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
        let mut interrupted = false;
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for bytes in super::decode::messages(&self.buffer) {
                // A message that cannot be decoded is not needed: the kernel is newer than this program.
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else {
                    continue;
                };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(interrupted),
                    NetlinkPayload::Done(done) => {
                        return Err(io::Error::from_raw_os_error(done.code.saturating_abs()));
                    }
                    NetlinkPayload::Error(error) => {
                        return match error.raw_code() {
                            0 => Ok(interrupted),
                            code => Err(io::Error::from_raw_os_error(code.saturating_abs())),
                        };
                    }
                    _ => {}
                }
            }
        }
    }
}
