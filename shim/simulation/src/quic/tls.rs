//! TLS for simulated connections: one certificate, made once a run, trusted by every client.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, crypto};

/// The name in the certificate.
pub(super) const SERVER_NAME: &str = "localhost";

/// The TLS configurations of all hosts of a network.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) client: Arc<QuicClientConfig>,
    pub(super) server: Arc<QuicServerConfig>,
}

impl Tls {
    /// Makes a key and a certificate. Ed25519, so that every handshake has the same sizes.
    pub(super) fn generate() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key is made");
        let parameters =
            rcgen::CertificateParams::new(vec![SERVER_NAME.into()]).expect("the name is valid");
        let certificate: CertificateDer<'static> =
            parameters.self_signed(&key).expect("the certificate is signed").into();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key is a key");
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("the certificate is one");
        let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key is the certificate's");
        Self {
            client: Arc::new(client.try_into().expect("the provider has the initial suite")),
            server: Arc::new(server.try_into().expect("the provider has the initial suite")),
        }
    }
}
