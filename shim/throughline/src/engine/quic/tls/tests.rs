use std::time::Duration;

use quinn::{ClientConfig, ConnectionError, Endpoint, ServerConfig};

use super::*;

/// A listener of `identity` for `allowed`, and its address.
fn listener(identity: &Identity, allowed: Arc<PeerSet>) -> (Endpoint, std::net::SocketAddr) {
    let crypto = server(identity, allowed);
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = endpoint.local_addr().unwrap();
    (endpoint, addr)
}

/// What each end sees when `dialer` dials `listener`, expecting `expected`.
async fn meet(
    dialer: QuicClientConfig,
    listening: &Endpoint,
) -> (Result<quinn::Connection, ConnectionError>, Result<quinn::Connection, ConnectionError>) {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = ClientConfig::new(Arc::new(dialer));
    let addr = listening.local_addr().unwrap();
    let dialed = endpoint.connect_with(config, addr, SERVER_NAME).unwrap();
    let accepted = async { listening.accept().await.unwrap().accept().unwrap().await };
    tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(dialed, accepted) })
        .await
        .unwrap()
}

#[tokio::test]
async fn two_peers_that_know_each_other_meet_by_their_keys() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let (listening, _) = listener(&b, Arc::new(PeerSet::new([a.peer_id()])));
    let (dialed, accepted) = meet(client(&a, vec![b.peer_id()]), &listening).await;
    assert_eq!(peer_id_of(&dialed.unwrap()), Some(b.peer_id()));
    assert_eq!(peer_id_of(&accepted.unwrap()), Some(a.peer_id()));
}

#[tokio::test]
async fn an_unexpected_key_is_refused_naming_both_keys() {
    let (a, b, c) = (Identity::generate(), Identity::generate(), Identity::generate());
    let (listening, _) = listener(&b, Arc::new(PeerSet::new([a.peer_id()])));
    let (dialed, accepted) = meet(client(&a, vec![c.peer_id()]), &listening).await;
    let error = dialed.unwrap_err();
    assert!(matches!(error, ConnectionError::TransportError(_)), "{error:?}");
    let expected = KeyRefused::Unexpected { presented: b.peer_id(), expected: vec![c.peer_id()] };
    assert_eq!(reason(&error), expected.to_string());
    accepted.unwrap_err();
}

#[tokio::test]
async fn an_unknown_peer_is_refused_and_learns_that_its_key_is_unknown() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let allowed = Arc::new(PeerSet::default());
    let (listening, _) = listener(&b, Arc::clone(&allowed));
    let (dialed, accepted) = meet(client(&a, vec![b.peer_id()]), &listening).await;
    let unknown = KeyRefused::Unknown { presented: a.peer_id() }.to_string();
    assert_eq!(reason(&accepted.unwrap_err()), unknown);
    // The dialing end finishes its handshake first and learns of it just after.
    let closed = dialed.unwrap().closed().await;
    assert_eq!(reason(&closed), format!("the peer refused us: {unknown}"));
}

#[tokio::test]
async fn a_client_without_a_certificate_or_with_another_protocol_gets_a_tls_failure() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let (listening, _) = listener(&b, Arc::new(PeerSet::new([a.peer_id()])));
    let bare = |alpn: &[u8]| {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OneOf(vec![b.peer_id()])))
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        QuicClientConfig::try_from(config).unwrap()
    };
    let (_, accepted) = meet(bare(ALPN), &listening).await;
    assert!(matches!(accepted, Err(ConnectionError::TransportError(_))), "{accepted:?}");
    let (dialed, accepted) = meet(bare(b"h3"), &listening).await;
    for end in [dialed.unwrap_err(), accepted.unwrap_err()] {
        let text = reason(&end);
        assert!(text.starts_with("no common protocol version"), "{text}");
    }
}

/// Returns what dials `expected` with a certificate and a key that need not belong together.
fn dialer(
    chain: Vec<CertificateDer<'static>>,
    key: &Identity,
    expected: PeerId,
) -> QuicClientConfig {
    let provided = aws_lc_rs::default_provider().key_provider;
    let key = provided.load_private_key(key.private_key()).unwrap();
    let shown = rustls::sign::CertifiedKey::new(chain, key);
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneOf(vec![expected])))
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    QuicClientConfig::try_from(config).unwrap()
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let (a, b, thief) = (Identity::generate(), Identity::generate(), Identity::generate());
    let (listening, _) = listener(&b, Arc::new(PeerSet::new([a.peer_id()])));
    let stolen = dialer(a.certificate_chain(), &thief, b.peer_id());
    let (_, accepted) = meet(stolen, &listening).await;
    accepted.unwrap_err();
}

#[tokio::test]
async fn the_signature_is_verified_with_the_key_that_was_let_in_and_no_other_parser_is_asked() {
    let (a, b, thief) = (Identity::generate(), Identity::generate(), Identity::generate());
    let (listening, _) = listener(&b, Arc::new(PeerSet::new([a.peer_id()])));
    // X.509 version 2, which webpki does not read: nothing but the key counts.
    let mut certificate = a.certificate_chain()[0].to_vec();
    let version = [0xa0, 0x03, 0x02, 0x01, 0x02];
    let at = certificate.windows(5).position(|bytes| bytes == version).unwrap();
    certificate[at + 4] = 1;
    let chain = vec![CertificateDer::from(certificate)];
    let (_, accepted) = meet(dialer(chain.clone(), &a, b.peer_id()), &listening).await;
    assert_eq!(peer_id_of(&accepted.unwrap()), Some(a.peer_id()));
    let (_, accepted) = meet(dialer(chain, &thief, b.peer_id()), &listening).await;
    accepted.unwrap_err();
}

#[test]
fn the_key_of_a_certificate_is_its_peer_id_and_other_keys_are_named() {
    let identity = Identity::generate();
    assert_eq!(verify::key_of(&identity.certificate_chain()[0]), Ok(identity.peer_id()));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(["x".to_owned()]).unwrap();
    let other = params.self_signed(&pair).unwrap();
    assert!(matches!(verify::key_of(other.der()), Err(KeyRefused::NotEd25519(_))));
    assert!(matches!(
        verify::key_of(&CertificateDer::from(vec![0x30, 3, 1, 2, 3])),
        Err(KeyRefused::NotEd25519(_))
    ));
}

#[test]
fn the_key_exchange_prefers_the_post_quantum_hybrid() {
    assert_eq!(provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
}
