//! Where the network state is learned from, as the watcher sees it.

use std::future::Future;
use std::io;

use crate::network_state::NetworkState;

/// What changed, or is to be read.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only netlink tells them apart"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// Links and addresses.
    Addresses,
    /// Routes and rules.
    Routes,
    /// Both.
    Everything,
}

impl ChangeKind {
    /// Returns the kind that covers both.
    #[must_use]
    pub(crate) fn merge(self, other: Self) -> Self {
        if self == other { self } else { Self::Everything }
    }
}

/// A source of the network state. On Linux the kernel notifies of every change (`rtnetlink`);
/// elsewhere the addresses are enumerated.
pub(crate) trait Source: Send + 'static {
    /// Reads the present state. What `what` does not cover is taken over from `before`.
    fn read(
        &mut self,
        what: ChangeKind,
        before: NetworkState,
    ) -> impl Future<Output = io::Result<NetworkState>> + Send;

    /// Waits until something may have changed. Cancel-safe.
    fn changed(&mut self) -> impl Future<Output = io::Result<ChangeKind>> + Send;
}
