//! What a request to a proxy asks for, by its method and its target (RFC 9112 §3.2).

use hyper::{Method, Uri};
use thiserror::Error;

use throughline::{Host, Target};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A tunnel (CONNECT, RFC 9110 §9.3.6).
    Tunnel(Target),
    /// To be forwarded to the origin of an `http` URI.
    Forward(Target),
    /// Something of the proxy itself, as of a web server.
    Own,
}

/// A request's target is none that a proxy serves.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum TargetError {
    #[error("`{0}` is not HOST:PORT; CONNECT names a host and a port")]
    Connect(String),
    #[error("`{0}` is not a host and a port from 1 to 65535")]
    Authority(String),
    #[error("a URI with a user name or a password is not forwarded; send them in Authorization")]
    UserInfo,
    #[error("this proxy reaches `{0}` URIs by CONNECT only; let the program use CONNECT")]
    NeedsConnect(String),
}

/// Decides what a request asks for.
pub(super) fn asked(method: &Method, uri: &Uri) -> Result<Asked, TargetError> {
    let authority = uri.authority().map(|authority| authority.as_str());
    if method == Method::CONNECT {
        let wrong = || TargetError::Connect(uri.to_string());
        return match (uri.scheme(), authority) {
            (None, Some(authority)) => authority.parse().map(Asked::Tunnel).map_err(|_| wrong()),
            _ => Err(wrong()),
        };
    }
    let (scheme, authority) = match (uri.scheme_str(), authority) {
        (Some(scheme), Some(authority)) => (scheme, authority),
        _ => return Ok(Asked::Own),
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(TargetError::NeedsConnect(scheme.to_owned()));
    }
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    origin(authority)
        .map(Asked::Forward)
        .ok_or_else(|| TargetError::Authority(authority.to_owned()))
}

/// Returns the origin that an authority names; its port is 80 unless it says another one.
fn origin(authority: &str) -> Option<Target> {
    // The port may be there and empty (RFC 3986 §3.2.3).
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    if let Ok(target) = authority.parse() {
        return Some(target);
    }
    let is_host = authority.ends_with(']') || !authority.contains(':');
    let host: Host = if is_host { authority.parse().ok()? } else { return None };
    Some(Target::Tcp { host, port: 80 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(method: &str, uri: &str) -> Result<String, TargetError> {
        let asked = asked(&method.parse().unwrap(), &uri.parse().unwrap())?;
        Ok(match asked {
            Asked::Tunnel(target) => format!("tunnel {target}"),
            Asked::Forward(target) => format!("forward {target}"),
            Asked::Own => "own".to_owned(),
        })
    }

    #[test]
    fn a_request_is_a_tunnel_a_forward_or_the_proxys_own() {
        for (method, uri, expected) in [
            ("CONNECT", "Host.example:443", "tunnel host.example:443"),
            ("CONNECT", "10.0.0.1:22", "tunnel 10.0.0.1:22"),
            ("CONNECT", "[2001:db8::1]:443", "tunnel [2001:db8::1]:443"),
            ("GET", "http://host.example/a?b", "forward host.example:80"),
            ("POST", "HTTP://host.example:8080", "forward host.example:8080"),
            ("GET", "http://[::1]/", "forward [::1]:80"),
            ("GET", "http://[::1]:81/", "forward [::1]:81"),
            ("GET", "http://host.example:/", "forward host.example:80"),
            ("GET", "/proxy.pac", "own"),
            ("OPTIONS", "*", "own"),
        ] {
            assert_eq!(decide(method, uri).as_deref(), Ok(expected), "{method} {uri}");
        }
    }

    #[test]
    fn a_target_that_is_none_says_what_it_should_be() {
        for (method, uri, expected) in [
            ("CONNECT", "host.example", "is not HOST:PORT"),
            ("CONNECT", "host.example:0", "is not HOST:PORT"),
            ("CONNECT", "user@host.example:1", "is not HOST:PORT"),
            ("CONNECT", "http://host.example:1/", "is not HOST:PORT"),
            ("CONNECT", "/", "is not HOST:PORT"),
            ("GET", "http://host.example:0/", "a port from 1 to 65535"),
            ("GET", "http://ho!st/", "is not a host"),
            ("GET", "http://user:secret@host.example/", "user name"),
            ("GET", "https://host.example/", "by CONNECT"),
            ("GET", "ftp://host.example/", "by CONNECT"),
        ] {
            let error = decide(method, uri).unwrap_err().to_string();
            assert!(error.contains(expected), "{method} {uri}: {error}");
        }
    }
}
