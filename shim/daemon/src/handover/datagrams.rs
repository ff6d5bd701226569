//! Flows of datagrams, and associations, as they are written into the state: a record each, and after it, among the
//! descriptors, those of its sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, UdpSocket};

use super::descriptors::{tcp_stream, udp_socket};
use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::parked::{Association, AssociationId, DatagramsOrigin, DatagramsOut, Idle};
use crate::proxy::relay::FlowKey;
use throughline::{FlowId, SessionId};

/// A flow of datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatagramsRecord {
    out: OutRecord,
    origin: OriginRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutRecord {
    /// Session, in two halves, and flow.
    Flow([u64; 2], u64),
    /// It has a socket.
    Direct { timeout_ms: u64, idle_ms: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OriginRecord {
    /// It has a socket.
    Egress,
    Forward {
        ingress: String,
        client: SocketAddr,
    },
    Associated {
        association: u64,
        target: String,
        header: Vec<u8>,
        client: SocketAddr,
    },
    /// It has a socket.
    Intercepted {
        ingress: String,
        client: SocketAddr,
        to: SocketAddr,
    },
}

/// An association of SOCKS5. It has its connection and its socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AssociationRecord {
    id: u64,
    ingress: String,
    port: Option<u16>,
    /// User and password that the client has shown.
    credentials: Option<(String, String)>,
}

impl DatagramsRecord {
    /// Returns the record of a flow, and its sockets in their order.
    pub(super) fn of<'a>(
        out: &'a DatagramsOut,
        origin: &'a DatagramsOrigin,
    ) -> (Self, impl Iterator<Item = BorrowedFd<'a>>) {
        let sockets = [origin.socket(), out.socket()].into_iter().flatten().map(AsFd::as_fd);
        let out = match out {
            DatagramsOut::Flow((session, flow)) => {
                OutRecord::Flow([(session.0 >> 64) as u64, session.0 as u64], flow.0)
            }
            DatagramsOut::Direct(_, Idle { timeout, since }) => OutRecord::Direct {
                timeout_ms: timeout.as_millis() as u64,
                idle_ms: since.as_millis() as u64,
            },
        };
        let origin = match origin {
            DatagramsOrigin::Egress(_) => OriginRecord::Egress,
            DatagramsOrigin::Forward { ingress, client } => {
                OriginRecord::Forward { ingress: ingress.to_string(), client: *client }
            }
            DatagramsOrigin::Associated { association, target, header, client } => {
                OriginRecord::Associated {
                    association: association.0,
                    target: target.to_string(),
                    header: header.to_vec(),
                    client: *client,
                }
            }
            DatagramsOrigin::Intercepted { ingress, client, to, .. } => {
                OriginRecord::Intercepted { ingress: ingress.to_string(), client: *client, to: *to }
            }
        };
        (Self { out, origin }, sockets)
    }

    /// Returns the flow, with the next of `sockets` as its own.
    pub(super) fn handed(
        self,
        sockets: &mut impl Iterator<Item = OwnedFd>,
    ) -> io::Result<HandedDatagrams> {
        let mut socket = || udp_socket(sockets);
        let origin = match self.origin {
            OriginRecord::Egress => HandedOrigin::Egress(socket()?),
            OriginRecord::Forward { ingress, client } => {
                HandedOrigin::Ingress(DatagramsOrigin::Forward { ingress: ingress.into(), client })
            }
            OriginRecord::Associated { association, target, header, client } => {
                let target = target.parse().map_err(io::Error::other)?;
                let association = AssociationId(association);
                let header = Bytes::from(header);
                HandedOrigin::Ingress(DatagramsOrigin::Associated {
                    association,
                    target,
                    header,
                    client,
                })
            }
            OriginRecord::Intercepted { ingress, client, to } => {
                let (ingress, answers) = (ingress.into(), Arc::new(socket()?));
                HandedOrigin::Ingress(DatagramsOrigin::Intercepted { ingress, client, to, answers })
            }
        };
        let out = match self.out {
            OutRecord::Flow([high, low], flow) => {
                let session = SessionId(u128::from(high) << 64 | u128::from(low));
                HandedOut::Flow((session, FlowId(flow)))
            }
            OutRecord::Direct { timeout_ms, idle_ms } => {
                let [timeout, since] = [timeout_ms, idle_ms].map(Duration::from_millis);
                HandedOut::Direct(socket()?, Idle { timeout, since })
            }
        };
        Ok(HandedDatagrams { out, origin })
    }
}

impl AssociationRecord {
    /// Returns the record of an association, and its sockets in their order.
    pub(super) fn of(of: &Association) -> (Self, [BorrowedFd<'_>; 2]) {
        let credentials = of.credentials.as_ref();
        let record = Self {
            id: of.id.0,
            ingress: of.ingress.to_string(),
            port: of.port,
            credentials: credentials.map(|c| (c.username.clone(), c.password.clone())),
        };
        (record, [of.tcp.as_fd(), of.socket.as_fd()])
    }

    /// Returns the association, with the next of `sockets` as its own. Its number is that of the former process.
    pub(super) fn handed(
        self,
        sockets: &mut impl Iterator<Item = OwnedFd>,
    ) -> io::Result<Association> {
        let tcp: TcpStream = tcp_stream(sockets)?;
        let credentials =
            self.credentials.map(|(username, password)| Credentials { username, password });
        Ok(Association {
            id: AssociationId(self.id),
            ingress: self.ingress.into(),
            tcp: Arc::new(tcp),
            socket: Arc::new(udp_socket(sockets)?),
            port: self.port,
            credentials,
        })
    }
}

/// A flow of datagrams that another process has begun.
#[derive(Debug)]
pub struct HandedDatagrams {
    /// Where it leads.
    pub out: HandedOut,
    /// Whose datagrams it carries.
    pub origin: HandedOrigin,
}

/// Where a flow of datagrams leads that another process has begun.
#[derive(Debug)]
pub enum HandedOut {
    /// To the peer.
    Flow(FlowKey),
    /// To a socket of this host's own.
    Direct(UdpSocket, Idle),
}

/// Whose datagrams a flow carries that another process has begun.
#[derive(Debug)]
pub enum HandedOrigin {
    /// The peer's, to the destination of this socket.
    Egress(UdpSocket),
    /// Those of an application.
    Ingress(DatagramsOrigin),
}
