//! Admission: keys, certificates, protocols.

use throughline::{EventKind, Identity, Node, Target};
use throughline_proto::wire::ALPN;

use crate::bystander::{Site, peer};
use crate::hostile::{Hostile, Key, TEST_TIMEOUT, dial};
use crate::log;

#[tokio::test(flavor = "multi_thread")]
async fn a_dialer_that_pinned_another_key_reports_both_keys() {
    let site = Site::new(&[]).await;
    let expected = Identity::generate().peer_id();
    let there = peer(expected, "site", &[site.addr()]);
    let dialer = Node::builder().peer(there).build().await.unwrap();
    let error = dialer.connect(expected, Target::service("echo")).await.unwrap_err().to_string();
    let hint = "correct `key` or the locator";
    for part in [&site.node.id().to_string(), &expected.to_string(), hint] {
        assert!(error.contains(part), "{error}");
    }
    log::expect_line(&["WARN", "dial failed", &expected.to_string(), hint]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_node_is_rejected_with_its_key_at_both_ends() {
    let site = Site::new(&[]).await;
    let there = peer(site.node.id(), "site", &[site.addr()]);
    let unknown = Node::builder().peer(there).build().await.unwrap();
    let connected = unknown.connect(site.node.id(), Target::service("echo")).await;
    let error = connected.unwrap_err().to_string();
    let cause = format!("key {} is not among the peers; add it to let it in", unknown.id());
    assert!(error.contains("the peer refused us") && error.contains(&cause), "{error}");
    // Both ends log it.
    log::expect_line(&["WARN", "rejected", &cause]).await;
    log::expect_line(&["WARN", "dial failed", "the peer refused us", &cause]).await;
    // Both ends emit an event.
    let count = |node: &Node, is: &dyn Fn(&EventKind) -> bool| {
        node.events().recent.iter().filter(|event| is(&event.kind)).count()
    };
    let refused = |kind: &EventKind| matches!(kind, EventKind::UnknownPeerRejected { key, .. } if *key == unknown.id());
    let unreachable = |kind: &EventKind| match kind {
        EventKind::PeerUnreachable { reason, dial: Some((_, remote)), .. } => {
            reason.contains(&cause) && *remote == site.addr()
        }
        _ => false,
    };
    assert_eq!(count(&site.node, &refused), 1);
    assert_eq!(count(&unknown, &unreachable), 1);
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_gets_a_tls_alert_and_nothing_else() {
    let site = Site::new(&[]).await;
    let (endpoint, connection) = dial(site.addr(), None, ALPN).await;
    // In TLS 1.3 the client's handshake ends before the server has verified its certificate.
    let error = match connection {
        Err(error) => error,
        Ok(connection) => {
            let accepted =
                tokio::time::timeout(TEST_TIMEOUT, connection.accept_uni()).await.unwrap();
            accepted.expect_err("the node opened a stream to an unknown client")
        }
    };
    // An alert (RFC 8446 §6): certificate_required, 116.
    let text = error.to_string();
    assert!(text.contains("116") || text.contains("certificate"), "{text}");
    let from = endpoint.local_addr().unwrap().to_string();
    log::expect_line(&["WARN", "no lane", &from, "certificate"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_protocol_gets_a_tls_alert() {
    let site = Site::new(&[]).await;
    let (endpoint, connection) = dial(site.addr(), Some(&Key::new()), b"h3").await;
    let error = connection.unwrap_err().to_string();
    assert!(error.contains("application protocol") || error.contains("120"), "{error}");
    let from = endpoint.local_addr().unwrap().to_string();
    log::expect_line(&["WARN", "no lane", &from, "protocol"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_an_unknown_key_receives_no_byte_of_the_protocol() {
    let site = Site::new(&[]).await;
    let key = Key::new();
    let (_endpoint, connection) = dial(site.addr(), Some(&key), ALPN).await;
    if let Ok(connection) = connection {
        let accepted = tokio::time::timeout(TEST_TIMEOUT, connection.accept_uni()).await.unwrap();
        accepted.expect_err("the node opened a stream to an unknown client");
    }
    log::expect_line(&["WARN", "rejected", &key.id().to_string()]).await;
    // A known key is admitted from the same address.
    site.assert_undisturbed().await;
    let site = Site::new(&[key.id()]).await;
    Hostile::admitted(site.addr(), &key).await;
    site.assert_undisturbed().await;
}
