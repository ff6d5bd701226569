//! Messages and descriptors over a unix socket.
//!
//! A message is a line. Descriptors travel beside a newline (SCM_RIGHTS, unix(7)), at most 253 at once, which
//! is the kernel's bound; empty lines are no messages. They are received in the order in which they were sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Message;

/// The most descriptors in a message (SCM_MAX_FD).
const MAX_DESCRIPTORS: usize = 253;

/// The longest message: an offer of a thousand listening sockets.
const MAX_MESSAGE: usize = 1 << 20;

/// Pause while the kernel has too many descriptors on their way to let in more.
const DESCRIPTORS_PAUSE: Duration = Duration::from_millis(1);

/// One end of a hand-over.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Channel {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), descriptors: VecDeque::new() }
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
        line.push(b'\n');
        self.send_bytes(&line).await
    }

    /// Sends bytes as they are.
    pub(super) async fn send_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.send_with(bytes, &[]).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Sends descriptors.
    pub(super) async fn send_descriptors(&mut self, all: &[BorrowedFd<'_>]) -> io::Result<()> {
        for batch in all.chunks(MAX_DESCRIPTORS) {
            self.send_with(b"\n", batch).await?;
        }
        Ok(())
    }

    async fn send_with(&self, bytes: &[u8], batch: &[BorrowedFd<'_>]) -> io::Result<usize> {
        loop {
            let sent = self.stream.async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !batch.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(batch));
                }
                let slices = [IoSlice::new(bytes)];
                let sent = sendmsg(self.stream.as_fd(), &slices, &mut control, SendFlags::NOSIGNAL);
                Ok(sent?)
            });
            match sent.await {
                // The other end has not taken those that were sent before.
                Err(error) if error.raw_os_error() == Some(Errno::TOOMANYREFS.raw_os_error()) => {
                    tokio::time::sleep(DESCRIPTORS_PAUSE).await;
                }
                sent => return sent,
            }
        }
    }

    /// Waits for the next message. Cancel-safe.
    pub(super) async fn receive(&mut self) -> io::Result<Message> {
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                if line.len() > 1 {
                    return serde_json::from_slice(&line).map_err(io::Error::other);
                }
            }
            if self.received.len() > MAX_MESSAGE {
                return Err(io::Error::other("a message without an end"));
            }
            self.fill().await?;
        }
    }

    /// Waits for so many descriptors.
    pub(super) async fn receive_descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        while self.descriptors.len() < count {
            self.fill().await?;
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    /// Closes all that was sent and not received; the other end is closed.
    pub(super) async fn discard(mut self) {
        while self.fill().await.is_ok() {
            self.descriptors.clear();
            self.received.clear();
        }
    }

    /// Receives what has come.
    async fn fill(&mut self) -> io::Result<()> {
        let Self { stream, received, descriptors } = self;
        let count = stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [0; 4096];
            let mut slices = [IoSliceMut::new(&mut bytes)];
            let message =
                recvmsg(stream.as_fd(), &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(arrived) = part {
                    descriptors.extend(arrived);
                }
            }
            if message.flags.contains(ReturnFlags::CTRUNC) {
                return Err(io::Error::other(
                    "descriptors are missing: the limit of this process is too low (LimitNOFILE=)",
                ));
            }
            received.extend_from_slice(&bytes[..message.bytes]);
            Ok(message.bytes)
        });
        match count.await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other process has gone")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[tokio::test]
    async fn descriptors_come_in_their_order_however_many_and_messages_beside_them() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut here, mut there) = (Channel::new(here), Channel::new(there));
        let files: Vec<_> = (0..600).map(|_| tempfile::tempfile().unwrap()).collect();
        for (number, file) in files.iter().enumerate() {
            io::Write::write_all(&mut &*file, &number.to_be_bytes()).unwrap();
        }
        let sending = async {
            here.send(&Message::Proceed).await.unwrap();
            let all: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            here.send_descriptors(&all).await.unwrap();
            here.send(&Message::Ready).await.unwrap();
        };
        let receiving = async {
            assert_eq!(there.receive().await.unwrap(), Message::Proceed);
            let received = there.receive_descriptors(600).await.unwrap();
            assert_eq!(there.receive().await.unwrap(), Message::Ready);
            received
        };
        let ((), received) = tokio::join!(sending, receiving);
        for (number, descriptor) in received.into_iter().enumerate() {
            assert!(descriptor.as_raw_fd() > 2);
            let mut text = [0; 8];
            let file = std::fs::File::from(descriptor);
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut text, 0).unwrap();
            assert_eq!(usize::from_be_bytes(text), number);
        }
        drop(here);
        assert_eq!(there.receive().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
