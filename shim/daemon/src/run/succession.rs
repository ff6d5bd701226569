//! One daemon after another: what it hands over to its successor, and how that goes on with it.

mod datagrams;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::net::{TcpListener, UnixListener};

pub(super) use self::datagrams::Datagrams;
use super::ingresses::{Running, Server};
use super::reloader::Reloader;
use crate::admin::AdminSocket;
use crate::handover::{Bundle, Giver, HandedEnd, HandedRelay, MakingBundle, Settle, Socket};
use crate::metrics::MetricsServer;
use crate::proxy::egress::Egress;
use crate::proxy::parked::{Association, AssociationId};
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::{Joint, close_with_reset};
use throughline::handover::HandedOverFlows;
use throughline::{FlowStream, Node, Target};

/// Goes on with relays that another process has begun.
pub(super) struct Successor<'a> {
    pub(super) node: &'a Node,
    pub(super) server: &'a Server,
    pub(super) egress: &'a Egress,
    pub(super) ingresses: &'a [Running],
}

impl Successor<'_> {
    /// Goes on with `relays`. The other flows that an application held end, and those that peers have asked for
    /// come in anew.
    pub(super) fn go_on(&self, mut flows: HandedOverFlows, relays: Vec<HandedRelay>) {
        for HandedRelay { other_end, tcp, ingress, progress } in relays {
            let key = match other_end {
                HandedEnd::Flow(key) => key,
                HandedEnd::Direct(other) => {
                    let joint = Joint { tcp, ingress, progress };
                    self.server.go_on_directly(joint, other, self.ingresses);
                    continue;
                }
            };
            // Its session has ended, or its peer is not configured any more.
            let Some((flow, target)) = flows.claim(key) else {
                close_with_reset(tcp);
                continue;
            };
            let joint = Joint { tcp, ingress, progress };
            match joint.ingress.is_some() {
                true => self.server.go_on(joint, flow, self.ingresses),
                false => self.go_on_at_egress(joint, flow, target),
            }
        }
    }

    /// Goes on with associations, and with flows of datagrams that are not those of an ingress.
    pub(super) fn go_on_with_datagrams(
        &self,
        mut datagrams: Datagrams,
        associations: Vec<Association>,
    ) {
        // One for all: what they may log is bounded as for the clients of one ingress.
        let refusals = Arc::new(RefusalLog::default());
        for association in associations {
            let flows = datagrams.of_association(association.id);
            // Its number may be another one's here.
            let association = Association { id: AssociationId::next(), ..association };
            let with = (self.ingresses, Arc::clone(&refusals));
            self.server.go_on_with_association(association, flows, with);
        }
        for (flow, target, socket) in datagrams.of_egress() {
            let name = self.node.peer_name(flow.peer());
            let going_on = self.egress.go_on_with_datagrams((flow, name, target), socket);
            let tasks = self.server.tasks.clone();
            self.server.tasks.spawn(async move {
                tokio::select! {
                    () = going_on => {}
                    () = tasks.draining() => {}
                }
            });
        }
    }

    fn go_on_at_egress(&self, joint: Joint, flow: FlowStream, target: Target) {
        let name = self.node.peer_name(flow.peer());
        self.server.tasks.spawn(self.egress.go_on(joint, (flow, name, target)));
    }
}

/// Returns what hands the daemon over.
pub(super) fn giver(
    node: &Node,
    server: &Server,
    reloader: &Reloader,
    (metrics, admin): (Option<&MetricsServer>, Option<&AdminSocket>),
) -> Giver {
    let fixed = Fixed {
        metrics: metrics.map(|metrics| (metrics.addr(), metrics.socket())),
        admin: admin.map(|admin| (admin.path().to_owned(), admin.socket())),
    };
    let (of, reloader, fixed) = (node.clone(), reloader.clone(), Arc::new(fixed));
    let server_of = server.clone();
    let offer = move || -> MakingBundle {
        let (node, reloader, fixed) = (of.clone(), reloader.clone(), fixed.clone());
        let server = server_of.clone();
        Box::pin(async move {
            // Nothing of it may change before it is handed over.
            let unchanged = Box::new(reloader.pause().await);
            // The successor reads it before it dials.
            reloader.budgets().flush().await;
            let mut sockets = sockets(&node, &reloader, &fixed)?;
            sockets.extend(of_http(reloader.web().socket())?);
            let (names, settle) = names(&server)?;
            sockets.extend(names);
            Ok(Bundle { sockets, settle, unchanged })
        })
    };
    let freezer = server.dispatcher.connections().freezer.clone();
    Giver::new(node.clone(), freezer, Box::new(offer))
}

/// The listening sockets that no reload changes, for as long as they are served.
struct Fixed {
    metrics: Option<(SocketAddr, Weak<TcpListener>)>,
    admin: Option<(PathBuf, Weak<UnixListener>)>,
}

impl Fixed {
    fn sockets(&self) -> io::Result<Vec<(Socket, OwnedFd)>> {
        let mut sockets = Vec::new();
        sockets.extend(of_http(self.metrics.clone())?);
        if let Some((path, listener)) = &self.admin
            && let Some(listener) = listener.upgrade()
        {
            let socket = Socket::Admin { path: path.clone() };
            sockets.push((socket, listener.as_fd().try_clone_to_owned()?));
        }
        Ok(sockets)
    }
}

/// Returns the socket of the metrics or of the status page, if it is served.
fn of_http(
    served: Option<(SocketAddr, Weak<TcpListener>)>,
) -> io::Result<Option<(Socket, OwnedFd)>> {
    let Some((addr, listener)) = served else { return Ok(None) };
    let Some(listener) = listener.upgrade() else { return Ok(None) };
    Ok(Some((Socket::Metrics { addr }, listener.as_fd().try_clone_to_owned()?)))
}

/// Returns the listening sockets.
fn sockets(node: &Node, reloader: &Reloader, fixed: &Fixed) -> io::Result<Vec<(Socket, OwnedFd)>> {
    let lanes = node.listening_sockets()?.into_iter();
    let lanes = lanes.map(|(listen, socket)| (Socket::Lanes { listen }, OwnedFd::from(socket)));
    let ingresses = reloader.ingresses();
    let ingresses = ingresses.iter().filter_map(Running::socket);
    Ok(ingresses.chain(lanes).chain(fixed.sockets()?).collect())
}

/// Returns what there is of the DNS answerer: its sockets, and a file for the names, with what writes them into it. Until
/// everything stands still there may come more of them, which a successor that did not know them could give to others.
fn names(server: &Server) -> io::Result<(Vec<(Socket, OwnedFd)>, Settle)> {
    let Some(answerer) = server.answerer.sockets() else {
        return Ok((Vec::new(), Box::new(|| Ok(()))));
    };
    let [udp, tcp] = answerer.descriptors()?;
    // Without MFD_ALLOW_SEALING: whoever is offered it cannot have us keep from writing.
    let file = File::from(memfd_create("throughline-names", MemfdFlags::CLOEXEC)?);
    let (written, names) = (file.try_clone()?, server.dispatcher.names().clone());
    let settle = move || written.write_all_at(&names.snapshot(), 0);
    let sockets = vec![
        (Socket::DnsDatagrams, udp),
        (Socket::DnsConnections, tcp),
        (Socket::Names, file.into()),
    ];
    Ok((sockets, Box::new(settle)))
}
