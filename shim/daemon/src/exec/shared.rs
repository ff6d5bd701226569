//! What all that serves the program has in common.

use super::ingress::Ingress;
use super::inside::Inside;
use crate::proxy::connections::Descriptors;
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
    pub(super) freezer: Freezer,
    pub(super) tasks: Tasks,
}
