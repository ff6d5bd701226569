//! The page: one document that asks nobody else for anything, and the fields with which everything is answered.

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::BASE64;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
/// In this order one script.
const SCRIPTS: [&str; 5] = [
    include_str!("assets/format.js"),
    include_str!("assets/plot.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/actions.js"),
    include_str!("assets/page.js"),
];

/// The document and the policy that fits it.
struct Document {
    html: Bytes,
    policy: HeaderValue,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let script = SCRIPTS.concat();
    let html = HTML.replace("/* STYLE */", STYLE).replace("/* SCRIPT */", &script);
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)));
    // Nothing is loaded and nothing runs but what is in the document, and no text becomes HTML (Trusted Types).
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(&script),
        hash(STYLE),
    );
    let policy =
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    Document { html: Bytes::from(html), policy }
});

/// Returns the document.
pub(super) fn html() -> Bytes {
    DOCUMENT.html.clone()
}

/// Adds the fields that every answer has.
pub(super) fn protect(fields: &mut HeaderMap) {
    fields.insert(CONTENT_SECURITY_POLICY, DOCUMENT.policy.clone());
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}
