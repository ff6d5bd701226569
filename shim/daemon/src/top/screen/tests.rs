use super::*;
use crate::top::board::{Rate, UplinkRow};

fn flow(name: &str, target: &str, rate: f64, total: u64) -> FlowRow {
    FlowRow {
        name: name.to_owned(),
        target: target.to_owned(),
        rate: Rate { sent: rate, received: 0.0 },
        total,
        ..FlowRow::default()
    }
}

fn uplink(name: &str, state: &'static str) -> UplinkRow {
    UplinkRow { name: name.to_owned(), state, ..UplinkRow::default() }
}

fn board() -> Board {
    Board {
        uplinks: vec![uplink("isp-a", "in use"), uplink("isp-b", "in use")],
        flows: vec![
            flow("f0", "b:1", 1.0, 30),
            flow("f2", "a:1", 3.0, 10),
            flow("f4", "c:22", 2.0, 20),
        ],
        ..Board::default()
    }
}

#[test]
fn flows_are_ordered_and_filtered_as_the_keys_say() {
    let (mut screen, board) = (Screen::default(), board());
    let names = |screen: &Screen| {
        screen.flows(&board).iter().map(|flow| flow.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let mut seen = vec![names(&screen)];
    for _ in 0..3 {
        assert_eq!(screen.press(Key::Char('s'), &board), None);
        seen.push(names(&screen));
    }
    assert_eq!(seen, ["f2 f4 f0", "f0 f4 f2", "f2 f0 f4", "f0 f2 f4"]);
    for key in
        [Key::Char('/'), Key::Char(':'), Key::Char('q'), Key::Backspace, Key::Char('2'), Key::Enter]
    {
        assert_eq!(screen.press(key, &board), None, "q is a letter of the filter");
    }
    assert_eq!((&screen.filter[..], &names(&screen)[..]), (":2", "f4"));
    screen.press(Key::Char('/'), &board);
    assert_eq!(screen.press(Key::Interrupt, &board), Some(Action::Quit));
    screen.press(Key::Escape, &board);
    assert_eq!(screen.flows(&board).len(), 3);
    assert_eq!(screen.press(Key::Escape, &board), Some(Action::Quit));
}

#[test]
fn an_uplink_is_drained_once_that_is_confirmed() {
    let (mut screen, mut board) = (Screen::default(), board());
    let change =
        |uplink: &str, change, is_last| Change { uplink: uplink.to_owned(), change, is_last };
    screen.press(Key::Down, &board);
    assert_eq!(screen.press(Key::Char('d'), &board), None);
    assert_eq!(screen.keys, Keys::Confirm(change("isp-b", UplinkChange::Drain, false)));
    // Whatever is no yes is a no, and no command either.
    assert!(matches!(screen.press(Key::Char('q'), &board), Some(Action::Hint(_))));
    assert_eq!(screen.keys, Keys::Commands);
    screen.press(Key::PageDown, &board);
    screen.press(Key::Char('r'), &board);
    let resumed = screen.press(Key::Char('y'), &board);
    assert_eq!(resumed, Some(Action::Change(change("isp-b", UplinkChange::Resume, false))));
    board.uplinks[0] = uplink("isp-a", "no answer");
    screen.press(Key::Char('d'), &board);
    let last = screen.press(Key::Char('y'), &board);
    assert_eq!(last, Some(Action::Change(change("isp-b", UplinkChange::Drain, true))));
    board.uplinks[0] = uplink("isp-a", "standby");
    screen.press(Key::Char('d'), &board);
    assert_eq!(screen.keys, Keys::Confirm(change("isp-b", UplinkChange::Drain, false)));
    screen.press(Key::Escape, &board);
    screen.press(Key::Tab, &board);
    assert!(matches!(screen.press(Key::Char('d'), &board), Some(Action::Hint(_))));
    assert_eq!(screen.keys, Keys::Commands);
    assert_eq!(Screen::default().press(Key::Char('d'), &Board::default()), None);
}

#[test]
fn the_selected_row_is_one_of_those_that_are_shown() {
    let mut screen = Screen::default();
    let mut shown = |selected: usize, count: usize, height: usize| {
        screen.rows[0].0 = selected;
        let (rows, at) = screen.window(Pane::Uplinks, count, height);
        assert!(
            rows.len() == height.max(1).min(count)
                && (rows.is_empty() || rows.contains(&(rows.start + at))),
            "{rows:?}"
        );
        (rows.start, rows.end, rows.start + at)
    };
    assert_eq!(shown(0, 100, 10), (0, 10, 0));
    assert_eq!(shown(9, 100, 10), (0, 10, 9));
    assert_eq!(shown(10, 100, 10), (1, 11, 10));
    assert_eq!(shown(5, 100, 10), (1, 11, 5), "what is seen does not jump");
    assert_eq!(shown(0, 100, 10), (0, 10, 0));
    assert_eq!(shown(5000, 100, 10), (90, 100, 99));
    assert_eq!(shown(99, 95, 20), (75, 95, 94));
    assert_eq!(shown(3, 0, 10), (0, 0, 0));
    assert_eq!(shown(3, 5, 0), (3, 4, 3));
}
