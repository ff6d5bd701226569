//! Two nodes: `left` has two uplinks and dials, `right` is dialed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use throughline::{
    FlowStream, Identity, IncomingFlow, Listener, Node, PeerConfig, Target, UplinkConfig,
};
use tokio::time::timeout;

/// More than anything here takes on a busy machine.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for something that is to happen soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(STEP_TIMEOUT, what).await.expect("not within the patience of the test")
}

fn uplink(name: &str, address: &str) -> UplinkConfig {
    UplinkConfig::new(name).prefix(address.parse::<IpAddr>().unwrap())
}

pub(crate) async fn pair() -> (Node, Node) {
    pair_at(vec![]).await
}

/// The right node advertises where else it listens.
pub(crate) async fn pair_at(also: Vec<SocketAddr>) -> (Node, Node) {
    let (a, b) = (Identity::generate(), Identity::generate());
    let mut right = Node::builder()
        .identity(b.clone())
        .bind("127.0.0.1:0".parse().unwrap())
        .peer(PeerConfig::new(a.peer_id(), "left"));
    for addr in also {
        right = right.bind(addr).advertise(addr);
    }
    let right = right.build().await.unwrap();
    let left = Node::builder()
        .identity(a)
        .uplink(uplink("isp-a", "127.0.11.1"))
        .uplink(uplink("isp-b", "127.0.12.1"))
        .peer(PeerConfig::new(b.peer_id(), "right").locator(right.local_addrs()[0]))
        .build()
        .await
        .unwrap();
    (left, right)
}

/// A flow to a service, at both ends.
pub(crate) async fn open(left: &Node, right: &Node) -> (FlowStream, FlowStream) {
    let mut listener = right.serve("test").unwrap();
    open_to(&mut listener, left, right).await
}

/// A flow to a service that has a listener, at both ends.
pub(crate) async fn open_to(
    listener: &mut Listener,
    left: &Node,
    right: &Node,
) -> (FlowStream, FlowStream) {
    let accepted = async { accept(listener).await.accept() };
    let (near, far) = tokio::join!(connect(left, right), accepted);
    (near.unwrap(), far)
}

pub(crate) async fn accept(listener: &mut Listener) -> IncomingFlow {
    soon(listener.accept()).await.unwrap()
}

pub(crate) async fn connect(
    left: &Node,
    right: &Node,
) -> Result<FlowStream, throughline::ConnectError> {
    soon(left.connect(right.id(), Target::service("test"))).await
}
