//! The cost of a lane: one number that says how willingly a flow uses it.

use crate::hold_down::HoldState;

/// The first cost of a lane that waits to be restored: its hold-down is over, its trial is not.
const WAIT_TO_RESTORE: u8 = 32;

/// The first cost of a lane in hold-down.
const HOLD_DOWN: u8 = 64;

/// The first cost of a lane that is used only where no cheaper one is.
const METERED: u8 = 128;

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
    /// 128–255: used only where no cheaper lane is.
    Metered,
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
            METERED.. => CostRange::Metered,
        }
    }

    /// Returns whether the lane is used only where no cheaper one is.
    pub fn is_metered(self) -> bool {
        self.range() == CostRange::Metered
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
    fn the_ranges_meet_at_32_64_and_128() {
        let range = |cost| Cost::from_wire(cost).range();
        for (last, range_below, range_above) in [
            (31, CostRange::Preferred, CostRange::WaitToRestore),
            (63, CostRange::WaitToRestore, CostRange::HeldDown),
            (127, CostRange::HeldDown, CostRange::Metered),
        ] {
            assert_eq!((range(last), range(last + 1)), (range_below, range_above), "{last}");
        }
        assert_eq!((range(0), range(255)), (CostRange::Preferred, CostRange::Metered));
    }
}
