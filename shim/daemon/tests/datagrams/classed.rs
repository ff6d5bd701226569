//! Sockets that say and are told of which traffic class each datagram is: applications', and destinations'.

use std::io::{IoSlice, IoSliceMut, Result};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};

/// Expedited forwarding (DSCP 46) with ECT(1), and others: best effort with ECT(0), CE, network control (DSCP 48, 56).
pub(crate) const CLASSES: [u8; 6] = [0xb9, 2, 3, 0, 48 << 2, 0xe1];

/// Of which class a destination's answer is to a datagram of this one.
pub(crate) fn answer_to(class: u8) -> u8 {
    class.rotate_left(3)
}

/// Has a socket say of which class each datagram is.
pub(crate) fn report(socket: &UdpSocket) {
    match socket.local_addr().unwrap() {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::IpRecvTos, &true).unwrap(),
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvTClass, &true).unwrap(),
    }
}

/// Sends a datagram of a class to the socket's peer, or to an address.
pub(crate) fn send(socket: &UdpSocket, to: Option<SocketAddr>, bytes: &[u8], class: u8) {
    let (tos, tclass, to) = (class, i32::from(class), to.map(SockaddrStorage::from));
    let control = match socket.local_addr().unwrap() {
        SocketAddr::V4(_) => ControlMessage::Ipv4Tos(&tos),
        SocketAddr::V6(_) => ControlMessage::Ipv6TClass(&tclass),
    };
    let (parts, none) = ([IoSlice::new(bytes)], MsgFlags::empty());
    sendmsg(socket.as_raw_fd(), &parts, &[control], none, to.as_ref()).unwrap();
}

/// Waits for a datagram, and returns it with its class and who sent it.
pub(crate) fn receive(socket: &UdpSocket) -> Result<(Vec<u8>, u8, SocketAddr)> {
    let mut bytes = vec![0; 65_535];
    let mut control = nix::cmsg_space!(u8, i32);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let (fd, none) = (socket.as_raw_fd(), MsgFlags::empty());
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), none)?;
    let from = message.address.unwrap();
    let v4 = from.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    let from = v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()));
    let class = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4Tos(byte) => Some(byte),
        ControlMessageOwned::Ipv6TClass(byte) => Some(byte as u8),
        _ => None,
    });
    let len = message.bytes;
    bytes.truncate(len);
    Ok((bytes, class.expect("the kernel says no class"), from.unwrap()))
}

/// Answers each datagram of a socket with the class that it came with and itself, in [another class](answer_to), until
/// the test ends.
pub(crate) fn answer(socket: UdpSocket) {
    report(&socket);
    std::thread::spawn(move || {
        loop {
            // ICMP may say that a client is gone.
            let Ok((bytes, class, from)) = receive(&socket) else { continue };
            send(&socket, Some(from), &[&[class][..], &bytes].concat(), answer_to(class));
        }
    });
}

/// Sends datagrams of many classes in one burst, each after `header`, and compares what the destination got and has
/// answered: contents, classes both ways, and the order of both.
pub(crate) fn talk(client: &UdpSocket, header: &[u8]) {
    // Those of one class in a row, and each after another.
    let class_of = |number: u8| match number {
        0..32 => CLASSES[usize::from(number) / 8 % CLASSES.len()],
        _ => CLASSES[usize::from(number) % CLASSES.len()],
    };
    for number in 0..64 {
        send(client, None, &[header, &[number; 500]].concat(), class_of(number));
    }
    for number in 0..64 {
        let (bytes, class) = loop {
            let (bytes, class, _) = receive(client).unwrap();
            // Not the answer to what opened the flow.
            if bytes.len() == header.len() + 501 {
                break (bytes, class);
            }
        };
        assert_eq!(&bytes[..header.len()], header);
        let expected = [&[class_of(number)][..], &[number; 500]].concat();
        assert_eq!(&bytes[header.len()..], expected, "{number}: {:#04x}", bytes[header.len()]);
        assert_eq!(class, answer_to(class_of(number)), "of the answer to {number}");
    }
}
