//! What a process leaves that ends before its successor begins: a socket in which everything waits to be read.
//!
//! A successor reads first what it needs to be prepared: the listening sockets. All the rest waits in a socket of its
//! own, which comes with them and is not touched until nothing else can fail. So whoever cannot start, because of an
//! address that it may not have, can leave it to the next one as it was.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::channel::Channel;
use super::error::TakeOverError;
use super::{Message, Socket};

/// How long it is of use: applications wait meanwhile, and hear nothing.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60);

/// How long reading it takes at the most, and writing it: all of it is there, or fits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is left.
#[derive(Debug)]
pub(super) struct Kept {
    /// Since when everything stands still, by a clock that all processes have.
    pub(super) since: Duration,
    /// The format of the state.
    pub(super) format: u64,
    /// The public key of the daemon.
    pub(super) id: String,
    pub(super) sockets: Vec<(Socket, OwnedFd)>,
    /// In which the state and the connections are.
    pub(super) rest: OwnedFd,
}

/// Returns the time since the system began.
pub(super) fn clock() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

impl Kept {
    /// Returns for how long everything has stood still.
    pub(super) fn age(&self) -> Duration {
        clock().saturating_sub(self.since)
    }

    /// Writes it into a socket, and returns the other end.
    ///
    /// # Errors
    /// The system's; or the socket has not room for it.
    pub(super) async fn write(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let writing = async {
            let mut channel = Channel::new(ours);
            channel.send(&Message::Kept { since_ms: self.since.as_millis() as u64 }).await?;
            let sockets = self.sockets.iter().map(|(socket, _)| socket.clone()).collect();
            let (format, id) = (self.format, self.id.clone());
            channel.send(&Message::Inventory { format, id, sockets }).await?;
            let descriptors = self.sockets.iter().map(|(_, descriptor)| descriptor.as_fd());
            let all: Vec<_> = descriptors.chain([self.rest.as_fd()]).collect();
            channel.send_descriptors(&all).await
        };
        timeout(TIMEOUT, writing).await??;
        Ok(theirs)
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// It cannot be read, or is too old.
    pub(super) async fn read(stream: UnixStream) -> Result<Self, TakeOverError> {
        let reading = timeout(TIMEOUT, Self::try_read(Channel::new(stream)));
        let kept = reading.await.map_err(|late| TakeOverError::Read(late.into()))?;
        let kept = kept.map_err(TakeOverError::Read)?;
        let age = kept.age();
        match age <= KEPT_FOR {
            true => Ok(kept),
            false => Err(TakeOverError::Late { age, limit: KEPT_FOR }),
        }
    }

    async fn try_read(mut channel: Channel) -> io::Result<Self> {
        let unexpected = |message| io::Error::other(format!("it says {message:?}"));
        let since = match channel.receive().await? {
            Message::Kept { since_ms } => Duration::from_millis(since_ms),
            other => return Err(unexpected(other)),
        };
        match channel.receive().await? {
            Message::Inventory { format, id, sockets } => {
                let mut descriptors = channel.receive_descriptors(sockets.len() + 1).await?;
                let Some(rest) = descriptors.pop() else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let sockets = sockets.into_iter().zip(descriptors).collect();
                Ok(Self { since, format, id, sockets, rest })
            }
            other => Err(unexpected(other)),
        }
    }

    /// Returns other descriptors of the listening sockets, and a channel in which the rest is.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open(&self) -> io::Result<(Vec<(Socket, OwnedFd)>, Channel)> {
        let copy = |(socket, descriptor): &(Socket, OwnedFd)| {
            descriptor.try_clone().map(|copy| (socket.clone(), copy))
        };
        let sockets = self.sockets.iter().map(copy).collect::<io::Result<_>>()?;
        let rest = StdUnixStream::from(self.rest.try_clone()?);
        rest.set_nonblocking(true)?;
        Ok((sockets, Channel::new(UnixStream::from_std(rest)?)))
    }

    /// Closes everything, also for whoever has another descriptor of it.
    pub(super) async fn discard(self) {
        if let Ok((_, rest)) = self.open() {
            rest.discard().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(since: Duration) -> (Channel, Kept) {
        let (ours, rest) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let sockets = vec![(Socket::Ingress { name: "a".to_owned(), listen }, listener.into())];
        let kept = Kept { since, format: 2, id: "it".to_owned(), sockets, rest: rest.into() };
        (Channel::new(UnixStream::from_std(ours).unwrap()), kept)
    }

    #[tokio::test]
    async fn it_can_be_read_and_left_again_as_it_was() {
        let (mut left, mut kept) = kept(clock()).await;
        left.send(&Message::Yours).await.unwrap();
        for _ in 0..20 {
            kept = Kept::read(kept.write().await.unwrap()).await.unwrap();
            assert_eq!((kept.format, kept.id.as_str(), kept.sockets.len()), (2, "it", 1));
            let (sockets, _rest) = kept.open().unwrap();
            let Socket::Ingress { listen, .. } = &sockets[0].0 else { panic!("{sockets:?}") };
            let listener = std::net::TcpListener::from(sockets[0].1.try_clone().unwrap());
            assert_eq!(listener.local_addr().unwrap(), *listen);
        }
        let (_, mut rest) = kept.open().unwrap();
        assert_eq!(rest.receive().await.unwrap(), Message::Yours);
    }

    #[tokio::test]
    async fn after_its_time_it_is_of_no_use() {
        let since = clock().checked_sub(KEPT_FOR + Duration::from_secs(1)).unwrap_or_default();
        let (_left, kept) = kept(since).await;
        let late = Kept::read(kept.write().await.unwrap()).await;
        assert!(matches!(late, Err(TakeOverError::Late { .. })), "{late:?}");
    }
}
