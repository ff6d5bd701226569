//! Which addresses could not be listened on: each is bound for a moment, while no daemon runs.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Config;
use crate::doctor::observation::{Listening, PortFault};

pub(super) fn faults(config: &Config) -> Vec<PortFault> {
    let lanes = config.listen.iter().map(|addr| ("lanes".to_owned(), "udp", *addr));
    let bound = config.ingresses.iter().filter(|ingress| ingress.kind.intercepts().is_none());
    // A Unix socket is no port.
    let ingresses = bound.filter_map(|ingress| {
        let protocol = if ingress.kind.takes_datagrams() { "udp" } else { "tcp" };
        Some((format!("the ingress {}", ingress.name), protocol, ingress.listen.ip()?))
    });
    let metrics = config.metrics.iter().map(|addr| ("metrics".to_owned(), "tcp", *addr));
    let web = config.web.iter().map(|web| ("the status page".to_owned(), "tcp", web.listen));
    let fault = |(purpose, protocol, addr): (String, &'static str, SocketAddr)| {
        let fault = listening(&bind(protocol, addr).err()?);
        Some(PortFault { purpose, protocol, addr, fault })
    };
    lanes.chain(ingresses).chain(metrics).chain(web).filter_map(fault).collect()
}

fn bind(protocol: &str, addr: SocketAddr) -> io::Result<()> {
    let kind = if protocol == "udp" { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(addr), kind, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if protocol == "tcp" {
        // As the daemon does: what an earlier one has left in TIME-WAIT is in nobody's way.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    if protocol == "tcp" {
        socket.listen(1)?;
    }
    Ok(())
}

fn listening(error: &io::Error) -> Listening {
    match error.kind() {
        io::ErrorKind::AddrInUse => Listening::Taken,
        io::ErrorKind::AddrNotAvailable => Listening::NotOurs,
        io::ErrorKind::PermissionDenied => Listening::Privileged,
        _ => Listening::Other(error.to_string()),
    }
}
