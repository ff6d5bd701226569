//! TLS 1.3 with pinned keys at both ends.
//!
//! Each end shows a self-signed X.509 certificate; the Ed25519 key in it is its [`PeerId`], and the
//! handshake's signature proves that it holds the private half. Nothing else in the certificate
//! counts: no name, no date, no chain. The dialing end accepts the keys of one peer (one, but while that
//! changes its key); the accepting end accepts the keys in a [`PeerSet`].
//!
//! Never: a session resumed, early data (a removed key must not come back in, an open must not be
//! replayed), or the process's default provider (an application may have installed another).
//!
//! In TLS 1.3 the dialing end finishes before its own certificate has been judged: a refusal by
//! the other end comes as a connection closed just after it was opened.

mod peer_set;
mod refusal;
mod verify;

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS13;
use rustls_pki_types::CertificateDer;

use crate::identity::Identity;
pub(crate) use peer_set::PeerSet;
#[cfg(test)]
use refusal::KeyRefused;
pub(crate) use refusal::{KeyFault, is_of_a_key, key_fault, reason, unknown_peer};
use throughline_proto::types::PeerId;
use throughline_proto::wire::ALPN;
use verify::{AnyOf, OneOf};

/// The server name that `Endpoint::connect` requires. It is neither sent (no SNI) nor checked.
pub(crate) const SERVER_NAME: &str = "throughline";

/// Returns the configuration of a dial: as `identity`, accepting nobody but who has one of the keys
/// `expected`.
pub(crate) fn client(identity: &Identity, expected: Vec<PeerId>) -> QuicClientConfig {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneOf(expected)))
        .with_client_auth_cert(identity.certificate_chain(), identity.private_key())
        .expect("the certificate was made from the key");
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config.try_into().expect("the provider has AES-128-GCM for Initial packets (RFC 9001 §5.2)")
}

/// Returns the configuration of a listener: as `identity`, dialed by those in `allowed`.
pub(crate) fn server(identity: &Identity, allowed: Arc<PeerSet>) -> QuicServerConfig {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(AnyOf(allowed)))
        .with_single_cert(identity.certificate_chain(), identity.private_key())
        .expect("the certificate was made from the key");
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.try_into().expect("the provider has AES-128-GCM for Initial packets (RFC 9001 §5.2)")
}

/// Returns who is at the other end of an established connection.
pub(crate) fn peer_id_of(connection: &quinn::Connection) -> Option<PeerId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    verify::key_of(chain.first()?).ok()
}

/// Returns AWS-LC, with the hybrid post-quantum X25519MLKEM768 first among the key exchanges.
fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    Arc::new(CryptoProvider {
        kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
        ..aws_lc_rs::default_provider()
    })
}

#[cfg(test)]
mod tests;
