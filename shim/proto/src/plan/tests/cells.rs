//! Every state of a lane in every situation around it.
//!
//! Each test is a situation: the paths, the other lanes, and lane 9. Each of its lines is a cell:
//! the state of lane 9, what the planner does at once, and what it does [`LATER`].

use super::*;

/// By then everything that waits is due.
const LATER: Duration = Duration::from_secs(12);

/// The states of a lane.
#[derive(Clone, Copy, Debug)]
enum State {
    Up,
    Suspect,
    Down,
    Migrating,
}

impl State {
    /// Puts a lane that is up into the state, at `t`.
    fn of(self, lane: LaneView, t: Instant) -> LaneView {
        match self {
            Self::Up => lane,
            Self::Suspect => LaneView { suspected_since: Some(t), ..lane },
            Self::Down => LaneView { suspected_since: Some(t), confirmed: true, ..lane },
            Self::Migrating => LaneView { moved_at: Some(t), validated: false, ..lane },
        }
    }
}

/// What the planner does at once: dials, and what it does with lane 9.
#[derive(Clone, Copy)]
struct AtOnce(&'static str);

/// What the planner does [`LATER`].
#[derive(Clone, Copy)]
struct Later(&'static str);

const NOTHING: &str = "";

struct Situation {
    paths: Vec<Path>,
    others: Vec<LaneView>,
    lane: LaneView,
}

impl Situation {
    fn when(&self, state: State, at_once: AtOnce, later: Later) -> &Self {
        let t = Instant::now();
        let mut lanes = self.others.clone();
        lanes.push(state.of(self.lane.clone(), t));
        let mut planner = Planner::default();
        let actions = plan(&mut planner, t, &self.paths, &lanes);
        assert_eq!(summary(&actions), at_once.0, "{state:?}");
        let actions = plan(&mut planner, t + LATER, &self.paths, &lanes);
        assert_eq!(summary(&actions), later.0, "{state:?}, later");
        self
    }
}

/// Returns the dials, by their uplinks, and what is done with lane 9.
fn summary(actions: &PlanActions) -> String {
    let x = LaneId(9);
    let mut parts: Vec<String> =
        actions.dial.iter().map(|path| format!("dial from {}", path.uplink)).collect();
    let migrations = actions.migrate.iter().filter(|(id, _)| *id == x);
    parts.extend(migrations.map(|(_, path)| format!("migrate to {}", path.uplink)));
    for (name, lanes) in [
        ("drain", &actions.drain),
        ("last resort", &actions.last_resort),
        ("close", &actions.close),
    ] {
        parts.extend(lanes.iter().filter(|id| **id == x).map(|_| name.to_owned()));
    }
    parts.join(", ")
}

#[test]
fn alone() {
    Situation { paths: vec![path(1, 1)], others: vec![], lane: lane(9, &path(1, 1)) }
        .when(State::Up, AtOnce(NOTHING), Later(NOTHING))
        .when(State::Suspect, AtOnce(NOTHING), Later(NOTHING))
        .when(State::Down, AtOnce("dial from isp-1"), Later("dial from isp-1"))
        .when(State::Migrating, AtOnce(NOTHING), Later("dial from isp-1"));
}

#[test]
fn another_uplink_has_no_lane() {
    Situation { paths: vec![path(1, 1), path(2, 1)], others: vec![], lane: lane(9, &path(1, 1)) }
        .when(State::Up, AtOnce("dial from isp-2"), Later("dial from isp-2"))
        .when(State::Suspect, AtOnce("dial from isp-2"), Later("dial from isp-2"))
        .when(State::Down, AtOnce("dial from isp-1"), Later("dial from isp-1, migrate to isp-2"))
        .when(
            State::Migrating,
            AtOnce("dial from isp-2"),
            Later("dial from isp-1, dial from isp-2"),
        );
}

#[test]
fn another_lane_is_up() {
    Situation {
        paths: vec![path(1, 1), path(2, 1)],
        others: vec![lane(1, &path(2, 1))],
        lane: lane(9, &path(1, 1)),
    }
    .when(State::Up, AtOnce(NOTHING), Later(NOTHING))
    .when(State::Suspect, AtOnce(NOTHING), Later(NOTHING))
    .when(State::Down, AtOnce(NOTHING), Later("dial from isp-1"))
    .when(State::Migrating, AtOnce(NOTHING), Later("dial from isp-1"));
}

#[test]
fn its_address_is_lost() {
    Situation { paths: vec![path(2, 1)], others: vec![], lane: lane(9, &path(1, 1)) }
        .when(
            State::Up,
            AtOnce("dial from isp-2, drain, last resort"),
            Later("dial from isp-2, drain, last resort"),
        )
        .when(State::Suspect, AtOnce("migrate to isp-2"), Later("migrate to isp-2"))
        .when(State::Down, AtOnce("migrate to isp-2"), Later("migrate to isp-2"))
        .when(State::Migrating, AtOnce("dial from isp-2"), Later("dial from isp-2"));
}

#[test]
fn its_address_is_lost_and_another_lane_is_up() {
    Situation {
        paths: vec![path(2, 1)],
        others: vec![lane(1, &path(2, 1))],
        lane: lane(9, &path(1, 1)),
    }
    .when(State::Up, AtOnce("drain"), Later("drain, close"))
    .when(State::Suspect, AtOnce(NOTHING), Later(NOTHING))
    .when(State::Down, AtOnce(NOTHING), Later(NOTHING))
    .when(State::Migrating, AtOnce(NOTHING), Later(NOTHING));
}

#[test]
fn its_uplink_drains() {
    Situation {
        paths: vec![draining(path(1, 1)), path(2, 1)],
        others: vec![],
        lane: lane(9, &path(1, 1)),
    }
    .when(
        State::Up,
        AtOnce("dial from isp-2, drain, last resort"),
        Later("dial from isp-2, drain, last resort"),
    )
    .when(
        State::Suspect,
        AtOnce("dial from isp-2, drain, last resort"),
        Later("dial from isp-2, drain, last resort"),
    )
    .when(
        State::Down,
        AtOnce("drain, last resort"),
        Later("dial from isp-1, migrate to isp-2, drain, last resort"),
    )
    .when(
        State::Migrating,
        AtOnce("dial from isp-2, drain, last resort"),
        Later("dial from isp-1, dial from isp-2, drain, last resort"),
    );
}

#[test]
fn its_uplink_drains_and_another_lane_is_up() {
    Situation {
        paths: vec![draining(path(1, 1)), path(2, 1)],
        others: vec![lane(1, &path(2, 1))],
        lane: lane(9, &path(1, 1)),
    }
    .when(State::Up, AtOnce("drain"), Later("drain, close"))
    .when(State::Suspect, AtOnce("drain"), Later("drain, close"))
    .when(State::Down, AtOnce("drain, close"), Later("drain, close"))
    .when(State::Migrating, AtOnce("drain"), Later("drain, close"));
}

#[test]
fn its_uplink_drains_and_there_is_no_other() {
    Situation { paths: vec![draining(path(1, 1))], others: vec![], lane: lane(9, &path(1, 1)) }
        .when(State::Up, AtOnce("drain, last resort"), Later("drain, last resort"))
        .when(State::Suspect, AtOnce("drain, last resort"), Later("drain, last resort"))
        .when(
            State::Down,
            AtOnce("dial from isp-1, drain, last resort"),
            Later("dial from isp-1, drain, last resort"),
        )
        .when(
            State::Migrating,
            AtOnce("drain, last resort"),
            Later("dial from isp-1, drain, last resort"),
        );
}

#[test]
fn the_peer_drains_it() {
    Situation {
        paths: vec![path(1, 1), path(2, 2)],
        others: vec![lane(1, &path(2, 2))],
        lane: LaneView { peer_drains: true, ..lane(9, &path(1, 1)) },
    }
    .when(State::Up, AtOnce("drain"), Later("drain, close"))
    .when(State::Suspect, AtOnce("drain"), Later("drain, close"))
    .when(State::Down, AtOnce("drain, close"), Later("drain, close"))
    .when(State::Migrating, AtOnce("drain"), Later("drain, close"));
}

#[test]
fn it_is_metered_and_an_unmetered_lane_is_up() {
    Situation {
        paths: vec![metered(path(1, 1)), path(2, 1)],
        others: vec![lane(1, &path(2, 1))],
        lane: lane(9, &metered(path(1, 1))),
    }
    .when(State::Up, AtOnce(NOTHING), Later("drain"))
    .when(State::Suspect, AtOnce(NOTHING), Later("drain"))
    .when(State::Down, AtOnce(NOTHING), Later("drain, close"))
    .when(State::Migrating, AtOnce(NOTHING), Later("drain"));
}

#[test]
fn there_are_more_lanes_than_wanted() {
    Situation {
        paths: vec![path(1, 1), path(1, 2), path(2, 1), path(2, 2)],
        others: vec![lane(1, &path(1, 1)), lane(2, &path(2, 2))],
        lane: lane(9, &path(1, 2)),
    }
    .when(State::Up, AtOnce(NOTHING), Later("drain"))
    .when(State::Suspect, AtOnce(NOTHING), Later("drain"))
    .when(State::Down, AtOnce(NOTHING), Later(NOTHING))
    .when(State::Migrating, AtOnce(NOTHING), Later(NOTHING));
}
