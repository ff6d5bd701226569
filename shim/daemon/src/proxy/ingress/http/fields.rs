//! Header fields at a proxy: those for this hop alone are removed, and `Via` says that we were there
//! (RFC 9110 §7.6).

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HeaderName, HeaderValue, MAX_FORWARDS, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::{HeaderMap, Method, Version};

/// Fields of one hop, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what is for this hop alone, and a length that the message's framing overrides.
pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    // Such a length is none of the body (RFC 9112 §6.3); without its Transfer-Encoding it would be taken
    // for that.
    if fields.contains_key(TRANSFER_ENCODING) {
        fields.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        fields.remove(name);
    }
}

/// Joins the cookies of a request that came by HTTP/2, which may have a field for each: elsewhere there is one
/// (RFC 9113 §8.2.3).
pub(super) fn join_cookies(fields: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        fields.insert(COOKIE, joined);
    }
}

/// Says that a message of this version came through here.
pub(super) fn add_via(fields: &mut HeaderMap, version: Version) {
    let version = match version {
        Version::HTTP_10 => "1.0 throughline",
        Version::HTTP_2 => "2 throughline",
        _ => "1.1 throughline",
    };
    fields.append(VIA, HeaderValue::from_static(version));
}

/// Counts `Max-Forwards` down, which bounds how far TRACE and OPTIONS go. Returns whether the request may
/// be forwarded.
pub(super) fn may_forward(method: &Method, fields: &mut HeaderMap) -> bool {
    if method != Method::TRACE && method != Method::OPTIONS {
        return true;
    }
    let left = fields.get(MAX_FORWARDS).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match left {
        None => true,
        Some(0) => false,
        Some(left) => {
            fields.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_is_for_one_hop_goes_no_further() {
        let mut fields = fields(&[
            ("connection", "close, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic secret"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("authorization", "Basic origin"),
            ("content-length", "5"),
        ]);
        remove_hop_by_hop(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-length", "x-three"]);
    }

    #[test]
    fn a_length_that_the_framing_overrides_is_removed_with_it() {
        let mut both = fields(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        remove_hop_by_hop(&mut both);
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn the_cookies_of_a_request_become_one_field() {
        let mut several = fields(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")]);
        join_cookies(&mut several);
        assert_eq!(several, fields(&[("cookie", "a=1; b=2; c=3"), ("x", "y")]));
    }

    #[test]
    fn max_forwards_bounds_trace_and_options_only() {
        let left = |method, value: &str| {
            let mut fields = fields(&[("max-forwards", value)]);
            let may = may_forward(&method, &mut fields);
            (may, fields["max-forwards"].to_str().unwrap().to_owned())
        };
        assert_eq!(left(Method::OPTIONS, "2"), (true, "1".to_owned()));
        assert_eq!(left(Method::TRACE, "0"), (false, "0".to_owned()));
        assert_eq!(left(Method::GET, "0"), (true, "0".to_owned()));
        assert_eq!(left(Method::TRACE, "some"), (true, "some".to_owned()));
    }
}
