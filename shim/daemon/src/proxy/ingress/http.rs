//! The HTTP ingress: a proxy (RFC 9110 §3.7) for programs that know no SOCKS.
//!
//! ```text
//! connection ─▸ head ─▸ hyper ─▸ service ─▸ CONNECT ─▸ dispatcher ─▸ relay
//!                │                  └─▸ http://… ─▸ upstream ─▸ dispatcher ─▸ hyper's client
//!                └─▸ no request: told what this is
//! ```
//!
//! - A tunnel (CONNECT) is the client's TCP connection as it is: it is relayed as one of SOCKS5 is, once
//!   the answer is sent. The answer waits for the outcome at the far end and carries it.
//! - A request for an `http` URI is read and written anew, so that its framing is one and the same for
//!   us and for the origin. Nothing is stored, and bodies go by as they come. An answer that is cut off
//!   never looks whole: the client's connection is reset.
//! - Each failure has its status, `Proxy-Status` (RFC 9209) and a sentence: [`answer`].

mod answer;
mod authorization;
mod client;
mod client_io;
mod fields;
mod head;
mod http1;
mod http2;
mod pac;
mod request;
mod service;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;

use self::head::{Version, read_head};
use super::handshake::refuse;
use super::outbound::Arrival;
use crate::proxy::relay::close_with_reset;
use crate::proxy::stream::{ClientAddr, Stream};

pub(super) use self::answer::Answer;
pub(super) use self::service::Service;

/// Serves a client that speaks HTTP: who it is, and what it connected to.
pub(super) async fn serve(
    mut tcp: Stream,
    client: (ClientAddr, Option<SocketAddr>),
    service: Arc<Service>,
    arrival: Arrival,
) {
    let (from, _) = client;
    let reading = Box::pin(read_head(&mut tcp));
    let Some((read, version)) = arrival.freezer.unless_given(reading).await else {
        return close_with_reset(tcp);
    };
    match version {
        Ok(Version::Http1) => http1::serve(tcp, read.freeze(), client, service, arrival).await,
        Ok(Version::Http2) => http2::serve(tcp, read.freeze(), client, service, arrival).await,
        Err(error) => match Answer::of_head(&error) {
            Some(answer) => refuse_with(tcp, from, &service, &answer).await,
            None => service.log(from, &Answer::bad_request(&error.to_string())),
        },
    }
}

/// Refuses a client by an answer, and says so in the log.
pub(super) async fn refuse_with(tcp: Stream, from: ClientAddr, service: &Service, answer: &Answer) {
    service.log(from, answer);
    refuse(tcp, &answer.to_bytes()).await;
}
