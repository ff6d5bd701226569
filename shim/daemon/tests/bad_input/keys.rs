//! Who may come in: keys, certificates, protocols.

use throughline::{EventKind, Identity, Node, Target};
use throughline_proto::wire::ALPN;

use crate::bystander::{Site, peer};
use crate::hostile::{Hostile, Key, PATIENCE, dial};
use crate::log;

#[tokio::test(flavor = "multi_thread")]
async fn a_dialler_that_pinned_another_key_learns_both_and_so_does_its_log() {
    let site = Site::new(&[]).await;
    let expected = Identity::generate().peer_id();
    let there = peer(expected, "site", &[site.addr()]);
    let dialler = Node::builder().peer(there).build().await.unwrap();
    let error = dialler.connect(expected, Target::service("echo")).await.unwrap_err().to_string();
    let cure = "correct `key` or the locator";
    for part in [&site.node.id().to_string(), &expected.to_string(), cure] {
        assert!(error.contains(part), "{error}");
    }
    log::says(&["WARN", "dial failed", &expected.to_string(), cure]).await;
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_acceptor_does_not_know_is_refused_by_name() {
    let site = Site::new(&[]).await;
    let there = peer(site.node.id(), "site", &[site.addr()]);
    let stranger = Node::builder().peer(there).build().await.unwrap();
    let connected = stranger.connect(site.node.id(), Target::service("echo")).await;
    let error = connected.unwrap_err().to_string();
    let cause = format!("key {} is not among the peers; add it to let it in", stranger.id());
    assert!(error.contains("the peer refused us") && error.contains(&cause), "{error}");
    // The acceptor says it, and so does the one that was refused.
    log::says(&["WARN", "rejected", &cause]).await;
    log::says(&["WARN", "dial failed", "the peer refused us", &cause]).await;
    // So do the events of both.
    let told = |node: &Node, is: &dyn Fn(&EventKind) -> bool| {
        node.events().recent.iter().filter(|event| is(&event.kind)).count()
    };
    let refused = |kind: &EventKind| matches!(kind, EventKind::UnknownPeerRejected { key, .. } if *key == stranger.id());
    let unreachable = |kind: &EventKind| match kind {
        EventKind::PeerUnreachable { reason, dial: Some((_, remote)), .. } => {
            reason.contains(&cause) && *remote == site.addr()
        }
        _ => false,
    };
    assert_eq!(told(&site.node, &refused), 1);
    assert_eq!(told(&stranger, &unreachable), 1);
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_gets_a_tls_failure_and_nothing_else() {
    let site = Site::new(&[]).await;
    let (endpoint, connection) = dial(site.addr(), None, ALPN).await;
    // In TLS 1.3 the client is done before its certificate is judged.
    let error = match connection {
        Err(error) => error,
        Ok(connection) => {
            let heard = tokio::time::timeout(PATIENCE, connection.accept_uni()).await.unwrap();
            heard.expect_err("the node opened a stream to somebody unknown")
        }
    };
    // An alert (RFC 8446 §6): certificate_required, 116.
    let text = error.to_string();
    assert!(text.contains("116") || text.contains("certificate"), "{text}");
    let from = endpoint.local_addr().unwrap().to_string();
    log::says(&["WARN", "no lane", &from, "certificate"]).await;
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_protocol_gets_a_tls_failure() {
    let site = Site::new(&[]).await;
    let (endpoint, connection) = dial(site.addr(), Some(&Key::new()), b"h3").await;
    let error = connection.unwrap_err().to_string();
    assert!(error.contains("application protocol") || error.contains("120"), "{error}");
    let from = endpoint.local_addr().unwrap().to_string();
    log::says(&["WARN", "no lane", &from, "protocol"]).await;
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_client_with_an_unknown_key_never_sees_a_byte_of_the_protocol() {
    let site = Site::new(&[]).await;
    let key = Key::new();
    let (_endpoint, connection) = dial(site.addr(), Some(&key), ALPN).await;
    if let Ok(connection) = connection {
        let heard = tokio::time::timeout(PATIENCE, connection.accept_uni()).await.unwrap();
        heard.expect_err("the node opened a stream to somebody unknown");
    }
    log::says(&["WARN", "rejected", &key.id().to_string()]).await;
    // The one who is known is let in from the same place.
    site.goes_on_undisturbed().await;
    let site = Site::new(&[key.id()]).await;
    Hostile::admitted(site.addr(), &key).await;
    site.goes_on_undisturbed().await;
}
