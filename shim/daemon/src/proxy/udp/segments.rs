//! Sends many datagrams with few calls: on Linux the kernel takes those that follow each other and are of one length, as
//! a bulk transfer's are, as one piece that it cuts (UDP_SEGMENT).

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::UdpSocket;

/// The most that the kernel cuts of one piece (UDP_MAX_SEGMENTS of Linux before 6.9), and the bytes of it, which are
/// those of one datagram of IPv4.
#[cfg(target_os = "linux")]
const MAX_SEGMENTS: usize = 64;
#[cfg(target_os = "linux")]
const MAX_BYTES: usize = 65_507;

/// Sends datagrams, each after `header`, to the socket's peer or to an address, and leaves the list empty. What the kernel
/// does not take is lost, as in the network.
///
/// # Errors
/// The first that is [final](super::is_final); the datagrams that follow it are lost.
pub async fn send_many(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    datagrams: &mut Vec<Bytes>,
) -> io::Result<()> {
    let sent = send_all(socket, to, header, datagrams).await;
    datagrams.clear();
    sent
}

async fn send_all(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    mut datagrams: &[Bytes],
) -> io::Result<()> {
    while !datagrams.is_empty() {
        let (run, rest) = datagrams.split_at(run_len(header.len(), datagrams));
        datagrams = rest;
        if run.len() > 1 {
            match send_run(socket, to, header, run).await {
                // Nothing of it has left: the error is of an earlier datagram, or the kernel, the device or the path
                // does not take such a piece.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) if super::is_final(&error) => return Err(error),
                Err(error) if !may_have_left(&error) => {}
                Ok(()) | Err(_) => continue,
            }
        }
        for datagram in run {
            if let Err(error) = send(socket, to, header, datagram).await
                && super::is_final(&error)
            {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Returns whether a part of a piece may have left although the kernel had no room for all of it: none is sent twice.
#[cfg(target_os = "linux")]
fn may_have_left(error: &io::Error) -> bool {
    use nix::libc::{ENOBUFS, ENOMEM};
    error.raw_os_error().is_some_and(|code| [ENOBUFS, ENOMEM].contains(&code))
}

#[cfg(not(target_os = "linux"))]
fn may_have_left(_: &io::Error) -> bool {
    false
}

async fn send(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    datagram: &Bytes,
) -> io::Result<usize> {
    let with_header;
    let bytes = match header.is_empty() {
        true => &datagram[..],
        false => {
            with_header = [header, &datagram[..]].concat();
            &with_header
        }
    };
    match to {
        Some(to) => socket.send_to(bytes, to).await,
        None => socket.send(bytes).await,
    }
}

/// Returns how many go in one piece: all of one length but the last, which may be shorter.
#[cfg(target_os = "linux")]
fn run_len(header: usize, datagrams: &[Bytes]) -> usize {
    use std::sync::LazyLock;

    use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

    /// A kernel before 4.18 does not know what it is to cut, and would send one long datagram.
    static KERNEL_CUTS: LazyLock<bool> = LazyLock::new(|| {
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0));
        socket.is_ok_and(|socket| setsockopt(&socket, UdpGsoSegment, &1200).is_ok())
    });
    match *KERNEL_CUTS {
        true => cut_len(header, datagrams),
        false => datagrams.len().min(1),
    }
}

#[cfg(target_os = "linux")]
fn cut_len(header: usize, datagrams: &[Bytes]) -> usize {
    let Some(first) = datagrams.first().map(Bytes::len) else { return 0 };
    // An empty one has nothing to cut.
    if header + first == 0 {
        return 1;
    }
    let most = (MAX_BYTES / (header + first)).clamp(1, MAX_SEGMENTS);
    let same = datagrams.iter().take(most).take_while(|datagram| datagram.len() == first).count();
    let shorter = datagrams.get(same).filter(|next| same < most && next.len() < first);
    same + usize::from(shorter.is_some_and(|next| header + next.len() > 0))
}

#[cfg(not(target_os = "linux"))]
fn run_len(_: usize, datagrams: &[Bytes]) -> usize {
    datagrams.len().min(1)
}

#[cfg(target_os = "linux")]
async fn send_run(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    run: &[Bytes],
) -> io::Result<()> {
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

    let len = u16::try_from(header.len() + run[0].len()).map_err(io::Error::other)?;
    let to = to.map(SockaddrStorage::from);
    let parts = run.iter().flat_map(|datagram| [header, &datagram[..]]);
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).map(IoSlice::new).collect();
    socket
        .async_io(tokio::io::Interest::WRITABLE, || {
            let segments = [ControlMessage::UdpGsoSegments(&len)];
            let (fd, none) = (socket.as_raw_fd(), MsgFlags::empty());
            sendmsg(fd, &parts, &segments, none, to.as_ref()).map(drop).map_err(io::Error::from)
        })
        .await
}

#[cfg(not(target_os = "linux"))]
async fn send_run(_: &UdpSocket, _: Option<SocketAddr>, _: &[u8], _: &[Bytes]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sends datagrams of these lengths and returns what arrives.
    async fn arrived(header: &[u8], lengths: &[usize], is_connected: bool) -> Vec<Vec<u8>> {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut to = Some(receiver.local_addr().unwrap());
        if is_connected {
            sender.connect(to.take().unwrap()).await.unwrap();
        }
        let datagram = |(number, len): (usize, &usize)| Bytes::from(vec![number as u8; *len]);
        let mut datagrams = lengths.iter().enumerate().map(datagram).collect();
        send_many(&sender, to, header, &mut datagrams).await.unwrap();
        assert!(datagrams.is_empty());
        let (mut got, mut buffer) = (Vec::new(), vec![0; 65_535]);
        while got.len() < lengths.len() {
            let received =
                tokio::time::timeout(Duration::from_secs(30), receiver.recv(&mut buffer));
            let len = received.await.expect("a datagram is missing").unwrap();
            got.push(buffer[..len].to_vec());
        }
        got
    }

    #[tokio::test]
    async fn datagrams_arrive_one_by_one_and_in_order_whatever_their_lengths() {
        let lengths: [&[usize]; 6] = [
            &[1200; 20],
            &[1200, 1200, 700, 1200, 0, 0, 5],
            &[0, 0],
            &[20_000, 20_000, 20_000, 20_000],
            &[65_000, 1],
            &[7],
        ];
        for lengths in lengths {
            for (header, is_connected) in [(&b""[..], true), (b"", false), (b"header", false)] {
                let got = arrived(header, lengths, is_connected).await;
                for (number, (got, len)) in got.iter().zip(lengths).enumerate() {
                    let (head, payload) = got.split_at(header.len());
                    assert_eq!((head, payload.len()), (header, *len), "{number} of {lengths:?}");
                    assert!(payload.iter().all(|byte| *byte == number as u8));
                }
            }
        }
    }

    #[tokio::test]
    async fn that_nobody_listens_is_known_by_a_piece_as_by_one_datagram() {
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sender.connect(closed).await.unwrap();
        let refused = async {
            loop {
                let mut datagrams = vec![Bytes::from_static(&[7; 100]); 10];
                if let Err(error) = send_many(&sender, None, b"", &mut datagrams).await {
                    return error;
                }
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_piece_has_one_length_and_no_more_than_the_kernel_takes() {
        for (lengths, header, run) in [
            (&[10, 10, 10][..], 0, 3),
            (&[10, 10, 5, 10], 0, 3),
            (&[10, 20], 0, 1),
            (&[10, 0, 10], 0, 1),
            (&[10, 0, 10], 6, 2),
            (&[10; 100], 0, 64),
            (&[30_000; 3], 0, 2),
            (&[0, 0], 0, 1),
            (&[0, 0], 6, 2),
            (&[65_507, 1], 0, 1),
            (&[], 0, 0),
        ] {
            let datagrams: Vec<_> = lengths.iter().map(|len| Bytes::from(vec![0; *len])).collect();
            assert_eq!(cut_len(header, &datagrams), run, "{lengths:?}");
        }
    }
}
