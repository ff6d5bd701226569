//! A planned flow and what happens to it at both ends.

use throughline_proto::types::FlowId;

use crate::application::App;
use crate::plan::FlowPlan;

#[derive(Debug)]
pub(crate) struct FlowRun {
    pub(crate) plan: FlowPlan,
    pub(crate) number: usize,
    pub(crate) id: Option<FlowId>,
    /// By side; the acceptor's application is there once the flow came in.
    pub(crate) apps: [Option<App>; 2],
    /// How often the flow came in at the acceptor.
    pub(crate) incoming: u32,
    pub(crate) answered: bool,
    /// Its session was lost or closed while it lived: how it ends is not foreseen.
    pub(crate) lost: bool,
    /// The acceptor refused or abandoned it.
    pub(crate) declined: bool,
    /// Dropped from the sessions' view at both ends.
    pub(crate) forgotten: [bool; 2],
}

impl FlowRun {
    pub(crate) fn new(number: usize, plan: FlowPlan) -> Self {
        Self {
            plan,
            number,
            id: None,
            apps: [None, None],
            incoming: 0,
            answered: false,
            lost: false,
            declined: false,
            forgotten: [false, false],
        }
    }

    /// The keys of what `side` writes and reads.
    pub(crate) fn keys(&self, seed: u64, side: usize) -> [u64; 2] {
        let key = |writer: usize| {
            seed.wrapping_mul(0x1000_0001).wrapping_add((self.number * 2 + writer) as u64) << 20
        };
        [key(side), key(1 - side)]
    }

    pub(crate) fn service(&self) -> String {
        format!("flow-{}", self.number)
    }

    /// Both applications are through.
    pub(crate) fn is_over(&self) -> bool {
        if self.lost {
            return self.apps.iter().flatten().all(App::is_done);
        }
        let opener = self.apps[self.plan.opener].as_ref();
        let acceptor = self.apps[1 - self.plan.opener].as_ref();
        opener.is_some_and(App::is_done) && acceptor.is_none_or(App::is_done)
    }
}
