//! The cost of a lane: one number that says how willingly a flow uses it.

use std::time::Duration;

use crate::hold_down::HoldState;

/// The first cost of a lane that waits to be restored: its hold-down is over, its trial is not.
const WAIT_TO_RESTORE: u8 = 32;

/// The first cost of a lane in hold-down.
const HOLD_DOWN: u8 = 64;

/// The first cost of a lane that is used only where no cheaper one is.
const METERED: u8 = 128;

/// The first cost of an overflow lane, and how many steps there are of how long the others have to be full.
const OVERFLOW: u8 = 144;
const OVERFLOW_STEPS: [u64; 16] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60];

/// The first cost after those of overflow lanes.
const OVERFLOW_END: u8 = OVERFLOW + OVERFLOW_STEPS.len() as u8;

/// The first cost of a lane that no bulk flow may use.
const THIN_FLOWS: u8 = 240;

/// What a metered uplink adds: the largest sum, 200 + 16 + 15, still fits a byte.
const METERED_BASE: u8 = 200;

/// What distrust adds to the cost of a metered lane: one step above the order of any uplink.
const METERED_DISTRUST: u8 = 16;

/// The highest order of an uplink that shows in a cost. Later uplinks count alike.
const MAX_ORDER: u32 = 15;

/// The cost of a lane, lower first. Each end advertises one; the larger one applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u8);

/// What a cost means for the use of a lane, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CostRange {
    /// 0–31: a primary lane like any other.
    Preferred,
    /// 32–63: chosen like a preferred lane, but bulk flows do not revert to it yet (RFC 4427).
    WaitToRestore,
    /// 64–127: no primary lane for a flow that has another.
    HeldDown,
    /// 144–159: used only where no cheaper lane is, or by bulk flows that have filled those for some seconds.
    Overflow,
    /// 128–143 and 160–239: used only where no cheaper lane is.
    Metered,
    /// 240–255: used only where no cheaper lane is, and by no bulk flow even then.
    ThinFlows,
}

/// What it costs the operator that a lane is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// Nothing.
    #[default]
    Free,
    /// Money: it is used where no other lane is, and by bulk flows once the others have been full for so long.
    Overflow(Duration),
    /// Money: it is used where no other lane is.
    Metered,
    /// More than is left: it is used where no other lane is, and by no bulk flow.
    ThinFlows,
}

impl Cost {
    /// The cost of a lane about which nothing was advertised.
    pub const FREE: Self = Self(0);

    /// Takes the cost from an advertisement.
    pub const fn from_wire(value: u8) -> Self {
        Self(value)
    }

    /// Returns the cost as it is advertised.
    pub const fn to_wire(self) -> u8 {
        self.0
    }

    /// Returns the cost of a lane, as either end advertises it, by what its use costs.
    ///
    /// The steps of how long others have to be full go up: one that is configured in between is rounded up. An
    /// overflow lane that is not trusted is none: it is used where no other lane is.
    pub fn of_charge(order: u32, charge: Charge, trust: HoldState) -> Self {
        match charge {
            Charge::Free => Self::of_lane(order, false, trust),
            Charge::Overflow(after) if trust == HoldState::Normal => {
                let step =
                    OVERFLOW_STEPS.iter().position(|secs| after <= Duration::from_secs(*secs));
                let last = OVERFLOW_STEPS.len() - 1;
                Self(OVERFLOW + step.unwrap_or(last) as u8)
            }
            Charge::Overflow(_) | Charge::Metered => Self::of_lane(order, true, trust),
            Charge::ThinFlows => Self(THIN_FLOWS + order.min(MAX_ORDER) as u8),
        }
    }

    /// Returns the cost of a lane as its initiator advertises it.
    ///
    /// The order of the uplink makes both ends prefer the same lane; trust counts more than the
    /// order, and money more than trust.
    pub fn of_lane(order: u32, metered: bool, trust: HoldState) -> Self {
        let order = order.min(MAX_ORDER) as u8;
        Self(match (metered, trust) {
            (false, HoldState::Normal) => order,
            (false, HoldState::WaitToRestore) => WAIT_TO_RESTORE + order,
            (false, HoldState::HeldDown) => HOLD_DOWN + order,
            (true, HoldState::Normal) => METERED_BASE + order,
            (true, HoldState::WaitToRestore | HoldState::HeldDown) => {
                METERED_BASE + METERED_DISTRUST + order
            }
        })
    }

    /// Returns what the cost means for the use of the lane.
    pub const fn range(self) -> CostRange {
        match self.0 {
            ..WAIT_TO_RESTORE => CostRange::Preferred,
            WAIT_TO_RESTORE..HOLD_DOWN => CostRange::WaitToRestore,
            HOLD_DOWN..METERED => CostRange::HeldDown,
            OVERFLOW..OVERFLOW_END => CostRange::Overflow,
            METERED..THIN_FLOWS => CostRange::Metered,
            THIN_FLOWS.. => CostRange::ThinFlows,
        }
    }

    /// Returns whether the lane is used only where no cheaper one is.
    pub fn is_metered(self) -> bool {
        self.0 >= METERED
    }

    /// Returns for how long the cheaper lanes have to be full before bulk flows use this one as well, if they ever
    /// do.
    pub fn overflow_after(self) -> Option<Duration> {
        let step = self.0.checked_sub(OVERFLOW)?;
        OVERFLOW_STEPS.get(usize::from(step)).map(|secs| Duration::from_secs(*secs))
    }

    /// Returns whether no bulk flow may use the lane.
    pub fn is_for_thin_flows(self) -> bool {
        self.range() == CostRange::ThinFlows
    }

    /// Returns whether the lane is neither in hold-down nor metered.
    pub fn is_trusted(self) -> bool {
        self.range() < CostRange::HeldDown
    }

    /// Returns the cost as it counts in a choice: a lane that waits to be restored is as good as a
    /// preferred one.
    pub(super) fn in_choice(self) -> u8 {
        match self.range() {
            CostRange::WaitToRestore => self.0 - WAIT_TO_RESTORE,
            _ => self.0,
        }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_order_lanes_by_money_then_trust_then_the_order_of_uplinks() {
        let all = [
            Cost::of_lane(0, false, HoldState::Normal),
            Cost::of_lane(99, false, HoldState::Normal),
            Cost::of_lane(0, false, HoldState::WaitToRestore),
            Cost::of_lane(99, false, HoldState::WaitToRestore),
            Cost::of_lane(0, false, HoldState::HeldDown),
            Cost::of_lane(99, false, HoldState::HeldDown),
            Cost::of_lane(0, true, HoldState::Normal),
            Cost::of_lane(99, true, HoldState::Normal),
            Cost::of_lane(0, true, HoldState::HeldDown),
            Cost::of_lane(99, true, HoldState::HeldDown),
        ];
        assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
        let ranges = [
            [CostRange::Preferred; 2],
            [CostRange::WaitToRestore; 2],
            [CostRange::HeldDown; 2],
            [CostRange::Metered; 2],
            [CostRange::Metered; 2],
        ];
        assert_eq!(all.map(Cost::range), *ranges.as_flattened());
        let restoring = Cost::of_lane(0, true, HoldState::WaitToRestore);
        assert_eq!(restoring, Cost::of_lane(0, true, HoldState::HeldDown), "metered: one distrust");
    }

    #[test]
    fn an_overflow_lane_says_how_long_the_others_have_to_be_full() {
        let of = |secs| {
            Cost::of_charge(3, Charge::Overflow(Duration::from_secs(secs)), HoldState::Normal)
        };
        for (secs, said) in [(0, 1), (1, 1), (3, 3), (7, 8), (60, 60), (3600, 60)] {
            let cost = of(secs);
            assert_eq!(cost.overflow_after(), Some(Duration::from_secs(said)), "{secs}");
            assert!(cost.range() == CostRange::Overflow && cost.is_metered() && !cost.is_trusted());
        }
        let held = Cost::of_charge(3, Charge::Overflow(Duration::ZERO), HoldState::HeldDown);
        assert_eq!((held.overflow_after(), held.range()), (None, CostRange::Metered));
        let thin = Cost::of_charge(99, Charge::ThinFlows, HoldState::Normal);
        assert!(thin.is_for_thin_flows() && thin.is_metered() && thin.overflow_after().is_none());
        assert!(
            of(60) < Cost::of_lane(0, true, HoldState::Normal),
            "the cheapest of those that cost money"
        );
        assert!(Cost::of_lane(99, true, HoldState::HeldDown) < thin);
        let same = [(Charge::Free, false), (Charge::Metered, true)];
        for (charge, metered) in same {
            for trust in [HoldState::Normal, HoldState::WaitToRestore, HoldState::HeldDown] {
                assert_eq!(Cost::of_charge(2, charge, trust), Cost::of_lane(2, metered, trust));
            }
        }
    }

    #[test]
    fn the_ranges_meet_at_their_bounds() {
        let range = |cost| Cost::from_wire(cost).range();
        for (last, range_below, range_above) in [
            (31, CostRange::Preferred, CostRange::WaitToRestore),
            (63, CostRange::WaitToRestore, CostRange::HeldDown),
            (127, CostRange::HeldDown, CostRange::Metered),
            (143, CostRange::Metered, CostRange::Overflow),
            (159, CostRange::Overflow, CostRange::Metered),
            (239, CostRange::Metered, CostRange::ThinFlows),
        ] {
            assert_eq!((range(last), range(last + 1)), (range_below, range_above), "{last}");
        }
        assert_eq!((range(0), range(255)), (CostRange::Preferred, CostRange::ThinFlows));
    }
}
