//! Who is answered: whoever asks this host by its address, from the page itself, and with the token where one is needed.
//!
//! A web page from elsewhere can have a browser on this host ask us. It cannot read the answer unless its name leads to
//! our address (DNS rebinding): therefore `Host` has to be an address or `localhost`, which no name server decides. It
//! could change something without reading the answer (CSRF): a change needs the token in a field that another origin
//! may not set, and `Origin` and `Sec-Fetch-Site` have to say that the page itself asks.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode, Uri};

use super::token::Token;

/// Whether the browser says that the page itself asks (Fetch Metadata Request Headers, W3C).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// Whether only this host itself can connect.
    pub(super) is_loopback: bool,
    /// What permits changes; and reading, where others can connect.
    pub(super) token: Option<Token>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The page, in which nothing of this host is.
    Page,
    /// What there is to see.
    Read,
    /// A change.
    Change,
}

/// Why somebody is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` is missing, is there twice, or is not this host's address.
    Host,
    /// Another page asks.
    Origin,
    /// There is no token, so that nothing can be changed.
    ReadOnly,
    /// The token is missing or wrong.
    Token,
}

impl Refusal {
    /// Returns the status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// Returns what to tell whoever asked.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Host => {
                "The status page is asked for by an address of this host, or as localhost, and by no other name; a proxy \
                 in between has to send such a Host."
            }
            Self::Origin => "Only the status page itself may ask for this.",
            Self::ReadOnly => {
                "Nothing can be changed here: there is no `web-token-file` in the configuration."
            }
            Self::Token => {
                "This needs the token of `web-token-file`, as Authorization: Bearer TOKEN."
            }
        }
    }
}

impl Access {
    /// Decides whether a request is answered.
    pub(super) fn check(
        &self,
        purpose: Purpose,
        (method, uri, fields): (&Method, &Uri, &HeaderMap),
    ) -> Result<(), Refusal> {
        let host = the_only(fields, &HOST).ok_or(Refusal::Host)?;
        if !self.is_this_host(host) || uri.authority().is_some_and(|at| at.as_str() != host) {
            return Err(Refusal::Host);
        }
        if !is_same_origin(fields, host) {
            return Err(Refusal::Origin);
        }
        // A link from elsewhere to the page harms nobody.
        let from_page = match fields.get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => true,
            Some(_) => purpose == Purpose::Page && method != Method::POST,
        };
        if !from_page {
            return Err(Refusal::Origin);
        }
        match (purpose, &self.token) {
            (Purpose::Page, _) => Ok(()),
            (Purpose::Read, _) if self.is_loopback => Ok(()),
            (Purpose::Change, None) => Err(Refusal::ReadOnly),
            (_, Some(token)) if bearer(fields).is_some_and(|given| token.matches(given)) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    fn is_this_host(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        if host.contains('@') {
            return false;
        }
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback() || !self.is_loopback,
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Returns whether no other origin asks. A proxy before us may have added TLS.
fn is_same_origin(fields: &HeaderMap, host: &str) -> bool {
    let mut origins = fields.get_all(ORIGIN).iter();
    origins.all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        of.is_some_and(|of| of.eq_ignore_ascii_case(host))
    })
}

fn bearer(fields: &HeaderMap) -> Option<&str> {
    let (scheme, token) = the_only(fields, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Returns the value of a field that is there once.
fn the_only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = fields.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests;
