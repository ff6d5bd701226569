//! What all that serves the program has in common.

use tokio::sync::OwnedSemaphorePermit;

use super::ending::Ending;
use super::ingress::Ingress;
use super::inside::Inside;
use crate::proxy::connections::{Descriptors, Gate, Place};
use crate::proxy::freezer::Freezer;
use crate::proxy::names::Names;
use crate::proxy::tasks::Tasks;

/// What the flows of the program share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) ingress: Ingress,
    pub(super) inside: Inside,
    pub(super) names: Names,
    pub(super) descriptors: Descriptors,
    /// Those of them that datagrams have.
    pub(super) for_datagrams: Gate,
    pub(super) freezer: Freezer,
    pub(super) tasks: Tasks,
    pub(super) ending: Ending,
}

/// A descriptor of what serves datagrams.
pub(super) struct DatagramDescriptor {
    _descriptor: OwnedSemaphorePermit,
    _place: Place,
}

impl Shared {
    /// Takes a descriptor for datagrams, if there is one. They have half of all: their sockets are kept while they are
    /// idle, and connections wait for theirs.
    pub(super) fn datagram_descriptor(&self) -> Option<DatagramDescriptor> {
        let (_, total) = self.descriptors.bounds();
        let place = self.for_datagrams.try_enter(total / 2)?;
        Some(DatagramDescriptor { _descriptor: self.descriptors.try_acquire()?, _place: place })
    }
}
