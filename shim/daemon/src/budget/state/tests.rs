use std::time::{Duration, Instant};

use super::*;
use crate::budget::period;

const SECOND: Duration = Duration::from_secs(1);

fn today() -> Date {
    period::parse("2026-11-30").unwrap()
}

fn budget(bytes: u64) -> Budget {
    Budget { bytes, reset_day: 1, at_end: AtBudget::Stop }
}

fn named(name: &str, budget: Budget) -> Vec<(String, Budget)> {
    vec![(name.to_owned(), budget)]
}

fn accounts(name: &str, used: u64) -> BTreeMap<String, Account> {
    let mut account = Account::default();
    account.count(today(), 1, used);
    BTreeMap::from([(name.to_owned(), account)])
}

fn bytes(name: &str, bytes: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(name.to_owned(), bytes)])
}

fn state(budgets: &[(String, Budget)], known: &BTreeMap<String, Account>) -> State {
    let mut state = State::default();
    state.set(today(), budgets, known);
    state
}

/// Returns the bytes that a write adds, by uplink.
fn begun(state: &mut State, now: Instant) -> Vec<(String, u64)> {
    let counted = state.begin_write(now).unwrap_or_default();
    counted.into_iter().map(|counted| (counted.uplink, counted.bytes.total())).collect()
}

fn used(state: &State, name: &str) -> u64 {
    state.report(name).unwrap().used_bytes
}

#[test]
fn a_budget_that_was_spent_before_is_known_to_be_before_anything_is_counted() {
    let (spent, none) = (accounts("lte", 100), BTreeMap::new());
    let thin = Budget { at_end: AtBudget::Thin, ..budget(100) };
    for (budget, known, expected) in [
        (budget(100), &spent, Allowance::Nothing),
        (thin, &spent, Allowance::ThinFlows),
        (budget(101), &spent, Allowance::Everything),
        (budget(100), &none, Allowance::Everything),
    ] {
        let budgets = named("lte", budget);
        let allowed = State::default().allowances_with(today(), &budgets, known);
        assert_eq!(allowed, [("lte".to_owned(), expected)], "{budget} {known:?}");
        // What is decided then is the same.
        assert_eq!(state(&budgets, known).decide()[0].allowance, expected);
    }
    // A month that is over is over.
    let next = period::parse("2026-12-01").unwrap();
    let allowed = State::default().allowances_with(next, &named("lte", budget(100)), &spent);
    assert_eq!(allowed[0].1, Allowance::Everything);
}

#[test]
fn each_change_of_what_is_left_is_reported_once_whatever_causes_it() {
    let mut state = state(&named("lte", budget(1000)), &BTreeMap::new());
    let mut step = |change: &dyn Fn(&mut State)| {
        change(&mut state);
        let decisions = state.decide();
        let event = decisions[0].event.as_ref().map(|event| match event {
            Event::Low { .. } => "low",
            Event::Spent { .. } => "spent",
            Event::Renewed { .. } => "renewed",
        });
        (decisions[0].allowance, event)
    };
    let set = |bytes: u64| {
        move |state: &mut State| state.set(today(), &named("lte", budget(bytes)), &BTreeMap::new())
    };
    let count =
        |carried: u64| move |state: &mut State| state.count(today(), &bytes("lte", carried));
    let everything = Allowance::Everything;
    assert_eq!(step(&count(799)), (everything, None));
    assert_eq!(step(&count(1)), (everything, Some("low")));
    assert_eq!(step(&count(199)), (everything, None));
    assert_eq!(step(&count(1)), (Allowance::Nothing, Some("spent")));
    assert_eq!(step(&count(50)), (Allowance::Nothing, None));
    // A reload makes it larger, and smaller.
    assert_eq!(step(&set(2000)), (everything, Some("renewed")));
    assert_eq!(step(&set(1200)), (everything, Some("low")));
    assert_eq!(step(&set(1000)), (Allowance::Nothing, Some("spent")));
    let next_month = |state: &mut State| {
        state.count(period::parse("2026-12-01").unwrap(), &BTreeMap::new());
    };
    assert_eq!(step(&next_month), (everything, Some("renewed")));
}

#[test]
fn a_budget_that_a_reload_takes_away_is_known_when_it_returns_and_no_byte_of_it_is_lost() {
    let (now, lte) = (Instant::now(), named("lte", budget(1000)));
    let mut state = state(&lte, &BTreeMap::new());
    state.count(today(), &bytes("lte", 700));
    assert_eq!(begun(&mut state, now), [("lte".to_owned(), 700)]);
    state.count(today(), &bytes("lte", 200));
    // Renamed, while the write is under way.
    let renamed = named("mobile", budget(1000));
    let allowed = state.allowances_with(today(), &renamed, &BTreeMap::new());
    let everything = |name: &str| (name.to_owned(), Allowance::Everything);
    assert_eq!(allowed, [everything("lte"), everything("mobile")]);
    state.set(today(), &renamed, &BTreeMap::new());
    assert_eq!((used(&state, "mobile"), state.report("lte")), (0, None));
    assert_eq!(state.end_write(today(), Ok(accounts("lte", 700))), None);
    assert_eq!(
        begun(&mut state, now),
        [("mobile".to_owned(), 0), ("lte".to_owned(), 200)],
        "what the first write did not have"
    );
    // It is back before that has ended.
    state.set(today(), &lte, &accounts("lte", 700));
    assert_eq!(used(&state, "lte"), 900);
    assert_eq!(state.end_write(today(), Ok(accounts("lte", 900))), None);
    assert_eq!((used(&state, "lte"), state.unwritten_bytes()), (900, 0));
    state.set(today(), &[], &BTreeMap::new());
    assert!(state.is_idle() && state.is_settled());
}

#[test]
fn the_file_is_written_each_minute_after_much_and_at_once_when_something_has_changed() {
    let start = Instant::now();
    let mut state = state(&named("lte", budget(1 << 40)), &BTreeMap::new());
    let mut written = |seconds: u32, carried: u64| {
        state.count(today(), &bytes("lte", carried));
        state.decide();
        let counted = begun(&mut state, start + seconds * SECOND);
        let total = used(&state, "lte");
        if !counted.is_empty() {
            state.end_write(today(), Ok(accounts("lte", total)));
        }
        counted.first().map(|(_, bytes)| *bytes)
    };
    assert_eq!(written(0, 1), Some(1));
    assert_eq!(written(59, 2), None);
    assert_eq!(written(60, 3), Some(5));
    assert_eq!(written(61, WRITE_BYTES - 1), None);
    assert_eq!(written(62, 1), Some(WRITE_BYTES));
    assert_eq!(written(63, 9 << 37), Some(9 << 37));
    assert_eq!(written(64, 0), None);
    assert_eq!(written(123, 0), Some(0));
}

#[test]
fn a_disk_that_fails_or_does_not_answer_is_reported_once_and_the_count_goes_on() {
    let start = Instant::now();
    let at = |seconds: u32| start + seconds * SECOND;
    let mut state = state(&named("lte", budget(1000)), &BTreeMap::new());
    state.count(today(), &bytes("lte", 1));
    let failed = |state: &mut State| state.end_write(today(), Err("no space".to_owned()));
    assert_eq!(begun(&mut state, at(0))[0].1, 1);
    assert_eq!(failed(&mut state), Some(FileChange::Failed("no space".to_owned())));
    state.count(today(), &bytes("lte", WRITE_BYTES));
    state.expedite();
    assert_eq!(begun(&mut state, at(1))[0].1, WRITE_BYTES + 1);
    assert_eq!((failed(&mut state), state.is_settled()), (None, true));
    assert_eq!(begun(&mut state, at(2)), [], "it is not tried all the time");
    assert_eq!(begun(&mut state, at(61))[0].1, WRITE_BYTES + 1);
    let file = accounts("lte", WRITE_BYTES + 1);
    assert_eq!(state.end_write(today(), Ok(file)), Some(FileChange::Recovered));

    state.expedite();
    assert_eq!(begun(&mut state, at(100))[0].1, 0);
    state.count(today(), &bytes("lte", 5));
    assert_eq!(state.stalled(at(109)), None);
    assert_eq!(state.stalled(at(110)), Some(FileChange::Stalled));
    assert_eq!((state.stalled(at(500)), state.begin_write(at(500))), (None, None));
    assert_eq!(state.decide()[0].allowance, Allowance::Nothing, "it is kept all the same");
    assert_eq!((state.is_settled(), state.unwritten_bytes()), (false, 5));
    let file = accounts("lte", WRITE_BYTES + 1);
    assert_eq!(state.end_write(today(), Ok(file)), Some(FileChange::Recovered));
    assert_eq!(used(&state, "lte"), WRITE_BYTES + 6);
}

#[test]
fn an_uplink_that_loses_a_spent_budget_is_limited_no_more_by_the_next_decision() {
    let mut state = state(&named("lte", budget(100)), &accounts("lte", 100));
    assert_eq!(state.decide()[0].allowance, Allowance::Nothing);
    state.set(today(), &[], &BTreeMap::new());
    let lifted =
        Decision { uplink: "lte".to_owned(), allowance: Allowance::Everything, event: None };
    assert_eq!(state.decide(), [lifted]);
    assert_eq!(state.decide(), []);
}

#[test]
fn what_passed_in_a_month_that_is_over_is_not_of_the_new_one_however_late_it_is_written() {
    let tomorrow = today().next_day().unwrap();
    let mut state = state(&named("lte", budget(1000)), &BTreeMap::new());
    state.count(today(), &bytes("lte", 700));
    assert!(state.begin_write(Instant::now()).is_some());
    state.end_write(today(), Err("no space".to_owned()));
    state.count(tomorrow, &bytes("lte", 1));
    assert_eq!(used(&state, "lte"), 1);
    // The file had nothing until now.
    state.expedite();
    let counted = state.begin_write(Instant::now()).unwrap();
    let mut account = Account::default();
    counted[0].bytes.count_in(&mut account, tomorrow, 1);
    state.end_write(tomorrow, Ok(BTreeMap::from([("lte".to_owned(), account)])));
    assert_eq!((used(&state, "lte"), state.unwritten_bytes()), (1, 0));
}
