//! An ingress that other hosts use: those of the networks that it names, and no others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::world::{Daemon, in_namespace, ip, keygen};

/// An address of this host in the LAN that is named, and one in another.
const OURS: &str = "192.168.1.7:0";
const OTHER: &str = "10.9.0.7:0";

/// How long an answer may take that comes at once, or never.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);

/// Returns what the destination says to a client at this address, if anything.
fn by_tcp(from: &str) -> Option<u8> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&from.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&"192.168.1.1:1080".parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0];
    // It may be reset by then.
    let _ = stream.write_all(b"?");
    stream.read(&mut answer).ok().filter(|length| *length == 1).map(|_| answer[0])
}

fn by_udp(from: &str) -> Option<u8> {
    let socket = UdpSocket::bind(from).unwrap();
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    socket.send_to(b"?", "192.168.1.1:5353").unwrap();
    let mut answer = [0];
    socket.recv(&mut answer).ok().map(|_| answer[0])
}

#[test]
fn an_ingress_serves_the_networks_that_it_names_and_no_others() {
    let name = "clients::an_ingress_serves_the_networks_that_it_names_and_no_others";
    in_namespace(name, || {
        for address in ["192.168.1.1/24", "192.168.1.7/24", "10.9.0.7/24"] {
            ip(&format!("address add {address} dev lo"));
        }
        let (tcp, udp) =
            (TcpListener::bind("127.0.0.1:7").unwrap(), UdpSocket::bind("127.0.0.1:7").unwrap());
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let _ = stream.unwrap().write_all(b"t");
            }
        });
        std::thread::spawn(move || {
            while let Ok((_, from)) = udp.recv_from(&mut [0; 8]) {
                let _ = udp.send_to(b"u", from);
            }
        });
        let directory = tempfile::tempdir().unwrap();
        keygen(directory.path(), "near");
        let lan = "to = '127.0.0.1:7'\nvia = 'direct'\nallow-from = ['192.168.1.0/24']\n";
        let config = format!(
            "[ingress.tcp]\nkind = 'forward'\nlisten = '0.0.0.0:1080'\n{lan}\
             [ingress.udp]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '192.168.1.1:5353'\n{lan}"
        );
        let near = Daemon::start(directory.path(), "near", &config, None);
        assert_eq!((by_tcp(OURS), by_udp(OURS)), (Some(b't'), Some(b'u')), "{}", near.log());
        assert_eq!((by_tcp(OTHER), by_udp(OTHER)), (None, None), "{}", near.log());
        let log = near.log();
        assert_eq!(log.matches("in none of the networks of `allow-from`").count(), 2, "{log}");
    });
}
