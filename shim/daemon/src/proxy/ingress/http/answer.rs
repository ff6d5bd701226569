//! The proxy's own answers: the status and the `Proxy-Status` (RFC 9209) of each failure, and a sentence
//! that says what is wrong and how to mend it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::head::HeadError;
use crate::proxy::ingress::dispatcher::DispatchError;
use crate::sentence::sentence;
use throughline::{ConnectError, FailureCode, Target};
use throughline_proto::types::printable;

/// The field that says which intermediary answers, and why.
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The longest `details`, in bytes: what a person reads in a developer tool.
const MAX_DETAILS: usize = 256;

/// An answer of the proxy itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy::ingress) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// The error type (RFC 9209 §2.3).
    error: &'static str,
    /// What is wrong, and how to mend it.
    pub(super) text: String,
}

impl Answer {
    /// Creates an answer; `text` may quote the client.
    pub(super) fn new(status: StatusCode, error: &'static str, text: &str) -> Self {
        let text = sentence(&printable(text));
        Self { status, error, text }
    }

    /// Says that the request is wrong.
    pub(super) fn bad_request(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "http_request_error", text)
    }

    /// Asks for a user name and a password.
    pub(super) fn authentication_required(text: &str) -> Self {
        Self::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "http_request_denied", text)
    }

    /// Says why `target` got no connection.
    pub(super) fn of_dispatch(target: &Target, error: &DispatchError) -> Self {
        let (status, error_type) = status_of(error);
        let reason = error.to_string();
        let reason = target.strip_from(&reason);
        let text = match hint(error) {
            Some(hint) => format!("no connection to {target}: {reason}; {hint}"),
            None => format!("no connection to {target}: {reason}"),
        };
        Self::new(status, error_type, &text)
    }

    /// Says why the first request of a connection cannot be read; `None` where nobody would hear it.
    pub(super) fn of_head(error: &HeadError) -> Option<Self> {
        let text = error.to_string();
        Some(match error {
            HeadError::Timeout => Self::timed_out(&text),
            HeadError::TooLong | HeadError::TooManyFields => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                let text = format!("{text}; send fewer or shorter ones, such as cookies");
                Self::new(status, "http_request_error", &text)
            }
            HeadError::Malformed(_) => Self::bad_request(&format!(
                "{text}; this is an HTTP proxy, so let the program use one"
            )),
            HeadError::Closed | HeadError::Io(_) => return None,
        })
    }

    /// Says that no request came in time.
    pub(in crate::proxy::ingress) fn timed_out(text: &str) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "http_request_error", text)
    }

    /// Says that this port speaks SOCKS5 only.
    pub(in crate::proxy::ingress) fn is_socks(ingress: &str) -> Self {
        Self::bad_request(&format!(
            "this is Throughline's SOCKS5 proxy `{ingress}` and no HTTP proxy; write its address as \
             socks5h://HOST:PORT, or give the ingress kind = \"proxy\""
        ))
    }

    /// Says that this port has become something else since the connection was made.
    pub(super) fn is_no_more(ingress: &str) -> Self {
        Self::bad_request(&format!(
            "Throughline's ingress `{ingress}` was an HTTP proxy and is none any more; use one that is, or \
             give it kind = \"http\""
        ))
    }

    /// Says that this port speaks HTTP without TLS.
    pub(in crate::proxy::ingress) fn not_tls() -> Self {
        Self::bad_request(
            "this is an HTTP proxy without TLS, and you began with TLS; write the proxy's address as \
             http://HOST:PORT",
        )
    }

    /// Returns the answer as hyper sends it.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(format!("{}\n", self.text))));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(status) = HeaderValue::from_str(&self.proxy_status()) {
            fields.insert(PROXY_STATUS, status);
        }
        if self.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            fields.insert(
                PROXY_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"Throughline\", charset=\"UTF-8\""),
            );
        }
        response
    }

    /// Returns the answer as the only one of an HTTP/1.1 connection.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Proxy-Status: {}\r\nConnection: close\r\n\r\n{}\n",
            self.status,
            self.text.len() + 1,
            self.proxy_status(),
            self.text,
        )
        .into_bytes()
    }

    /// Returns the field's value: a name, and parameters of Structured Fields (RFC 9651).
    fn proxy_status(&self) -> String {
        let details: String = self
            .text
            .chars()
            .map(|c| if c == '"' || c == '\\' { '\'' } else { c })
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
            .take(MAX_DETAILS)
            .collect();
        format!("throughline; error={}; details=\"{details}\"", self.error)
    }
}

/// Returns the status and the error type (RFC 9209 §2.3) of a connection that is not made.
fn status_of(error: &DispatchError) -> (StatusCode, &'static str) {
    match error {
        DispatchError::Rejected(_) => (StatusCode::FORBIDDEN, "http_request_denied"),
        DispatchError::PeersDown(_)
        | DispatchError::Peer(ConnectError::Unreachable { .. } | ConnectError::NoLocator(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "destination_unavailable")
        }
        DispatchError::Peer(ConnectError::ShuttingDown) => {
            (StatusCode::SERVICE_UNAVAILABLE, "proxy_internal_error")
        }
        _ => match error.code() {
            FailureCode::NotAllowed => (StatusCode::FORBIDDEN, "destination_ip_prohibited"),
            FailureCode::Refused => (StatusCode::BAD_GATEWAY, "connection_refused"),
            FailureCode::HostUnreachable | FailureCode::NetworkUnreachable => {
                (StatusCode::BAD_GATEWAY, "destination_ip_unroutable")
            }
            FailureCode::NameNotFound => (StatusCode::BAD_GATEWAY, "dns_error"),
            FailureCode::NoService => (StatusCode::BAD_GATEWAY, "destination_unavailable"),
            FailureCode::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "connection_timeout"),
            FailureCode::LimitReached => {
                (StatusCode::SERVICE_UNAVAILABLE, "connection_limit_reached")
            }
            _ => (StatusCode::BAD_GATEWAY, "proxy_internal_error"),
        },
    }
}

/// Returns what to do about a connection that is not made, where its reason does not say so itself.
fn hint(error: &DispatchError) -> Option<&'static str> {
    match error {
        DispatchError::Rejected(_) => {
            return Some("let a [[rule]] or the ingress's `via` say where it goes");
        }
        DispatchError::PeersDown(_) | DispatchError::Peer(ConnectError::Unreachable { .. }) => {
            return Some("`throughline status` says why");
        }
        DispatchError::Peer(ConnectError::Refused(_)) | DispatchError::Direct(_) => {}
        DispatchError::Peer(_) => return None,
    }
    match error.code() {
        FailureCode::Refused => Some("check that a program listens on that port"),
        FailureCode::NotAllowed => Some("add it to `allow` of this host at the peer"),
        FailureCode::NameNotFound => Some("check how the name is written"),
        FailureCode::TimedOut => Some("check that the host is up and no firewall drops packets"),
        FailureCode::HostUnreachable | FailureCode::NetworkUnreachable => {
            Some("check the address and the routes to it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
