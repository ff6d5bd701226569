//! Asks the kernel and gets the answer, without waiting: netlink requests are carried out within
//! the send, and the answer lies in the socket when it returns.

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

/// A dump during which something changed is taken again, so many times.
const TAKES: usize = 4;

/// A socket for questions.
pub struct Asker {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Asker {
    /// # Errors
    /// The system has no netlink sockets, or does not let us have one.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The answer is there when the question has been sent. Should it not be, we do not wait.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Has the kernel pick out of a dump what the question asks for (`NETLINK_GET_STRICT_CHK`). One
    /// that cannot (before 4.20) gives everything.
    pub fn strict(&mut self, strict: bool) -> io::Result<()> {
        match self.socket.set_netlink_get_strict_chk(strict) {
            Err(error) if error.raw_os_error() == Some(ENOPROTOOPT) => Ok(()),
            other => other,
        }
    }

    /// Hands every object of a table to `each`. Objects may come twice.
    pub fn dump(
        &mut self,
        question: &RouteNetlinkMessage,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        for _ in 0..TAKES {
            self.send(question.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if !self.answers(&mut each)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The only answer to a question.
    pub fn ask(
        &mut self,
        question: RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.send(question, NLM_F_REQUEST | NLM_F_ACK)?;
        let mut answer = None;
        self.answers(&mut |message| answer = Some(message))?;
        Ok(answer)
    }

    /// Has something done.
    pub fn order(&mut self, order: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(order, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.answers(&mut |_| ()).map(|_| ())
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

    /// Reads to the end of the answer to our last question; returns whether something changed
    /// meanwhile.
    fn answers(&mut self, each: &mut impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
        let mut interrupted = false;
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for bytes in super::decode::messages(&self.buffer) {
                // What we cannot read we do not need: the kernel is newer than we are.
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
