//! The thread that is inside: it sets the network up, makes sockets there, and starts the program.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use nix::unistd::Pid;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::child::Signals;
use super::error::ExecError;
use super::files::{self, OWN};
use super::left_behind::Network;
use super::namespaces::{isolate, with_network_rights};
use super::udp_sockets::UdpSockets;
use crate::proxy::ingress::intercept::policy_route::has_ipv6;
use crate::proxy::ingress::intercept::{listener, nft};
use crate::proxy::names::Sockets;
use crate::proxy::own_sockets::OWN_MARK;
use crate::proxy::udp;

/// The table of nftables, in a namespace that has no other.
const TABLE: &str = "throughline-exec";

/// The mark, in the namespace, of what no socket takes: this process has been killed, and the program has not.
const NOBODYS_MARK: u32 = 0x4e;

/// Connections that wait to be accepted, as of an ingress.
pub(super) const BACKLOG: u32 = 1024;

/// Where what the program sends comes out.
pub(super) struct Outlets {
    /// Its connections.
    pub(super) tcp: TcpListener,
    /// Its datagrams.
    pub(super) udp: UdpSocket,
    /// Its DNS queries.
    pub(super) dns: Sockets,
    /// The namespace that it comes out of, where that can be told from others.
    pub(super) network: Option<Network>,
}

/// The thread. Clones ask the same one; it ends with the last of them. Each flow asks for one thing at a time, so that
/// as many wait as there are flows at the most.
#[derive(Clone)]
pub(super) struct Inside(mpsc::Sender<Request>);

enum Request {
    Bind(SocketAddr, oneshot::Sender<io::Result<UdpSocket>>),
    List(oneshot::Sender<io::Result<UdpSockets>>),
    Start(Box<(Vec<OsString>, Signals)>, oneshot::Sender<io::Result<Pid>>),
}

/// Begins the thread, within the current runtime.
///
/// # Errors
/// The network cannot be set up.
pub(super) fn begin() -> Result<(Inside, Outlets), ExecError> {
    let (sender, requests) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let runtime = Handle::current();
    let body = move || {
        // Sockets are made for the runtime that uses them.
        let _entered = runtime.enter();
        let outlets = set_up();
        let is_set_up = outlets.is_ok();
        if ready.send(outlets).is_ok() && is_set_up {
            requests.iter().for_each(serve);
        }
    };
    let thread = std::thread::Builder::new().name("inside".to_owned());
    thread.spawn(body).map_err(ExecError::Threads)?;
    let outlets = is_ready.recv().map_err(|_| ExecError::Sockets(gone()))?;
    Ok((Inside(sender), outlets?))
}

fn gone() -> io::Error {
    io::Error::other("the thread that makes them has ended; please report this")
}

fn serve(request: Request) {
    // Whoever asked may have given up.
    match request {
        Request::Bind(destination, reply) => {
            let _ = reply.send(listener::bind_answers(destination));
        }
        Request::List(reply) => drop(reply.send(UdpSockets::of_this_thread())),
        Request::Start(program, reply) => {
            let (command, signals) = *program;
            let _ = reply.send(signals.start(&command));
        }
    }
}

impl Inside {
    /// Returns a socket of the namespace at a destination's address, to answer from there.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn bind(&self, destination: SocketAddr) -> io::Result<UdpSocket> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request::Bind(destination, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Returns the namespace's sockets of UDP.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn udp_sockets(&self) -> io::Result<UdpSockets> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request::List(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Starts the program.
    ///
    /// # Errors
    /// The thread is gone; or, within, the system's error.
    pub(super) async fn start(
        &self,
        command: Vec<OsString>,
        signals: Signals,
    ) -> Result<io::Result<Pid>, ExecError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send(Request::Start(Box::new((command, signals)), reply));
        sent.map_err(|_| ExecError::Sockets(gone()))?;
        answer.await.map_err(|_| ExecError::Sockets(gone()))
    }
}

fn set_up() -> Result<Outlets, ExecError> {
    isolate()?;
    files::replace()?;
    let outlets = Outlets {
        tcp: listener::bind_transparent(BACKLOG).map_err(ExecError::Sockets)?,
        udp: datagrams().map_err(ExecError::Sockets)?,
        dns: Sockets::bind().map_err(ExecError::Sockets)?,
        network: Network::of_this_thread(),
    };
    let port = |addr: io::Result<SocketAddr>| addr.map(|addr| addr.port());
    let ports = Ports {
        tcp: port(outlets.tcp.local_addr()).map_err(ExecError::Sockets)?,
        udp: port(outlets.udp.local_addr()).map_err(ExecError::Sockets)?,
        dns: outlets.dns.port(),
    };
    with_network_rights(|| {
        let is_off = is_ipv6_off(Path::new("/proc/sys/net/ipv6"));
        for line in routes(has_ipv6() && !is_off) {
            nft::ip_blocking(&line)?;
        }
        Ok(nft::run_blocking(&rules(&ports))?)
    })?;
    Ok(outlets)
}

fn datagrams() -> io::Result<UdpSocket> {
    let socket = listener::bind_datagrams()?;
    udp::report_class(&socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// The ports of the sockets.
struct Ports {
    tcp: u16,
    udp: u16,
    dns: u16,
}

/// Returns whether IPv6 is switched off, as for every interface by the kernel's parameter: then there are sockets of it,
/// and no addresses.
fn is_ipv6_off(settings: &Path) -> bool {
    let disabled = fs::read_to_string(settings.join("conf/lo/disable_ipv6"));
    disabled.is_ok_and(|disabled| disabled.trim() != "0")
}

/// Returns what ip(8) is to do: every address is one of this host.
fn routes(has_ipv6: bool) -> Vec<String> {
    let (v4, v6) = (OWN.v4, OWN.v6);
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("addr add {v4}/32 dev lo"),
        format!("route add local default dev lo src {v4}"),
    ];
    if has_ipv6 {
        lines.push(format!("-6 addr add {v6}/128 dev lo nodad"));
        lines.push(format!("-6 route add local default dev lo src {v6}"));
    }
    lines
}

/// Returns the rules: what we send the program is its own, whatever address of the namespace's it has bound; those that
/// are the namespace's are left alone; TCP and UDP to others is ours, refused once we are gone; and what else there is
/// has no answer. An echo request would have the kernel's, which says nothing of the host that was meant.
fn rules(Ports { tcp, udp, dns }: &Ports) -> String {
    let (v4, v6) = (OWN.v4, OWN.v6);
    format!(
        "table inet {TABLE} {{
\tchain output {{
\t\ttype nat hook output priority -101; policy accept;
\t\tmeta l4proto {{ tcp, udp }} th dport 53 redirect to :{dns}
\t}}
\tchain prerouting {{
\t\ttype filter hook prerouting priority -150; policy drop;
\t\tmeta mark {OWN_MARK} accept
\t\tip daddr {{ 127.0.0.0/8, {v4} }} accept
\t\tip6 daddr {{ ::1, {v6} }} accept
\t\tip daddr {{ 0.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }} drop
\t\tip6 daddr {{ ::, fe80::/10, ff00::/8 }} drop
\t\tmeta l4proto tcp tproxy to :{tcp} accept
\t\tmeta l4proto udp tproxy to :{udp} accept
\t\tmeta l4proto {{ tcp, udp }} meta mark set {NOBODYS_MARK} accept
\t}}
\tchain input {{
\t\ttype filter hook input priority 0; policy accept;
\t\tmeta mark {NOBODYS_MARK} meta l4proto tcp reject with tcp reset
\t\tmeta mark {NOBODYS_MARK} reject
\t}}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_left_alone_before_anything_is_taken() {
        let rules = rules(&Ports { tcp: 1, udp: 2, dns: 3 });
        let at =
            |part: &str| rules.find(part).unwrap_or_else(|| panic!("{part} is not in {rules}"));
        let own = at("ip daddr { 127.0.0.0/8, 198.18.0.1 } accept");
        assert!(own < at("tcp tproxy to :1 accept") && own < at("udp tproxy to :2 accept"));
        at("th dport 53 redirect to :3");
        assert!(at("meta mark 84 accept") < own);
        assert_eq!((routes(true).len(), routes(false).len()), (5, 3));
    }

    #[test]
    fn ipv6_that_is_switched_off_gets_no_addresses() {
        let settings = tempfile::tempdir().unwrap();
        assert!(!is_ipv6_off(settings.path()));
        let of_lo = settings.path().join("conf/lo");
        fs::create_dir_all(&of_lo).unwrap();
        for (value, is_off) in [("0\n", false), ("1\n", true)] {
            fs::write(of_lo.join("disable_ipv6"), value).unwrap();
            assert_eq!(is_ipv6_off(settings.path()), is_off, "{value}");
        }
    }
}
