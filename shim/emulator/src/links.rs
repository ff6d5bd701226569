//! All links of the emulator, each with its control.

use std::sync::Arc;

use throughline_link::{Link, LinkControl};

use super::ids::LinkId;
use super::isp::IspHandle;
use super::parcel::Parcel;

/// All links, those of an ISP beside each other: up, then down.
pub(super) struct Links(Vec<(Arc<LinkControl>, Link<Parcel>)>);

impl Links {
    /// Returns the links of `isps`; `seed` decides what they draw.
    pub(super) fn new(isps: &[IspHandle], seed: u64) -> Self {
        let controls = isps.iter().flat_map(|isp| isp.controls()).enumerate();
        // Each link draws from a stream of its own.
        let link = |(i, control): (usize, Arc<LinkControl>)| {
            let link = control.link(seed ^ (i as u64) << 32);
            (control, link)
        };
        Self(controls.map(link).collect())
    }

    /// Returns one of them.
    pub(super) fn of(&mut self, id: LinkId) -> &mut Link<Parcel> {
        &mut self.0[id.0].1
    }

    /// Returns whether nothing is under way.
    pub(super) fn are_idle(&self) -> bool {
        self.0.iter().all(|(_, link)| link.is_idle())
    }

    /// Takes over what handles have changed, and publishes the counters.
    pub(super) fn synchronise(&mut self) {
        self.0.iter_mut().for_each(|(control, link)| control.synchronise(link));
    }

    /// Returns every link, in the order in which a parcel passes them: at most one up, then one down.
    pub(super) fn in_order(&self) -> impl Iterator<Item = LinkId> + use<> {
        let count = self.0.len();
        (0..count).step_by(2).chain((1..count).step_by(2)).map(LinkId)
    }
}
