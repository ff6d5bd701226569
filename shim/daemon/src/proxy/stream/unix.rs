//! A connection by a Unix socket, whose close is a reset until both directions have ended.
//!
//! A Unix socket knows no `SO_LINGER`. But one that is closed with bytes unread gives its other end an error
//! (ECONNRESET) in place of the end, behind all that was written (Linux: `unix_release_sock`). So **the last byte that
//! was read stays in the kernel**: it is passed on, and taken out of there only when another one follows it, or at the
//! end. Whatever closes the socket in between, also the kernel for a process that was killed, resets it.
//!
//! A client that has not sent a byte yet leaves nothing to hold: the end is all that it can be given.
//!
//! Only one task reads at a time; so the flags need no order.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::BufMut;
use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, recv};
use tokio::io::{Interest, Ready};
use tokio::net::UnixStream;

/// The largest read: one message of the sender, as the kernel cuts what is written.
const MAX_READ: usize = 32 * 1024;

/// A connection by a Unix socket.
#[derive(Debug)]
pub struct UnixConnection {
    stream: UnixStream,
    /// The first byte in the kernel's queue has been read already.
    holds_byte: AtomicBool,
    /// Closing it is no end.
    resets: AtomicBool,
}

impl UnixConnection {
    pub(super) fn new(stream: UnixStream, holds_byte: bool) -> Self {
        Self { stream, holds_byte: holds_byte.into(), resets: AtomicBool::new(false) }
    }

    pub(super) fn holds_byte(&self) -> bool {
        self.holds_byte.load(Ordering::Relaxed)
    }

    pub(super) fn reset_on_close(&self) {
        self.resets.store(true, Ordering::Relaxed);
    }

    pub(super) fn end_on_close(&self) {
        self.resets.store(false, Ordering::Relaxed);
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.stream.ready(interest).await
    }

    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(context)
    }

    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(slices)
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.stream.take_error()
    }

    /// Waits for the first bytes, of which none has been read, and leaves them unread.
    pub(super) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let peek = || receive(&self.stream, buffer, RecvFlags::PEEK);
            match self.stream.try_io(Interest::READABLE, peek) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked,
            }
        }
    }

    /// Reads what is there; 0 is the end.
    pub(super) fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        // Before what is read stands what was read before, which comes once more.
        let mut scratch = [0; 1 + MAX_READ];
        let room = buffer.remaining_mut().min(MAX_READ);
        let read = self.stream.try_io(Interest::READABLE, || self.read(&mut scratch[..=room]))?;
        buffer.put_slice(&scratch[1..=read]);
        Ok(read)
    }

    /// Reads into `scratch`, from its second byte on.
    fn read(&self, scratch: &mut [u8]) -> io::Result<usize> {
        let held = usize::from(self.holds_byte());
        let room = scratch.len() - 1;
        let mut unread = self.unread()?;
        if room == 0 || unread <= held {
            if room > 0 && !self.has_ended(held)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // What came before the end may have come in this moment.
            unread = self.unread()?;
            if room == 0 || unread <= held {
                // An error comes behind what precedes it, and in place of the end.
                return self.stream.take_error()?.map_or(Ok(0), Err);
            }
        }
        let fresh = room.min(unread - held);
        let taken = match held + fresh - 1 {
            0 => 0,
            all_but_one => {
                receive(&self.stream, &mut scratch[1 - held..][..all_but_one], RecvFlags::empty())?
            }
        };
        let mut read = taken.saturating_sub(held);
        self.holds_byte.store(held > taken, Ordering::Relaxed);
        if taken >= held && read < room {
            read += self.hold(&mut scratch[1 + read..2 + read]);
        }
        match read {
            // What is in the queue is no byte of the stream (MSG_OOB).
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }

    /// Reads the next byte, and leaves it in the queue; returns how many there are.
    fn hold(&self, byte: &mut [u8]) -> usize {
        match receive(&self.stream, byte, RecvFlags::PEEK) {
            Ok(held) => {
                self.holds_byte.store(held > 0, Ordering::Relaxed);
                held
            }
            // What was read before it must not be lost; the next read says it again.
            Err(_) => 0,
        }
    }

    /// Returns how many bytes are in the queue, with the one that is held.
    fn unread(&self) -> io::Result<usize> {
        Ok(usize::try_from(ioctl_fionread(&self.stream)?).unwrap_or(usize::MAX))
    }

    /// Returns whether the client has ended its direction.
    fn has_ended(&self, held: usize) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        if held == 0 {
            return match receive(&self.stream, &mut [0], RecvFlags::PEEK) {
                Ok(peeked) => Ok(peeked == 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        }
        // A read would see the byte that is held, and not what is behind it.
        let mut polled = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(polled[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP))
    }
}

impl Drop for UnixConnection {
    fn drop(&mut self) {
        if self.holds_byte() && !self.resets.load(Ordering::Relaxed) {
            let _ = receive(&self.stream, &mut [0], RecvFlags::empty());
        }
    }
}

impl AsFd for UnixConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn receive(stream: &UnixStream, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    let (received, _) = recv(stream, buffer, flags | RecvFlags::DONTWAIT)?;
    Ok(received)
}

#[cfg(test)]
mod tests;
