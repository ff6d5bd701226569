use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::top::board::Rate;

fn drawn(width: u16, height: u16, board: &Board, screen: &mut Screen) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, board, screen, None, None)).unwrap();
    terminal.backend().to_string()
}

fn board() -> Board {
    let uplink = |name: &str, state| UplinkRow {
        name: name.to_owned(),
        state,
        lanes: 1,
        rate: Rate { sent: 12_500_000.0, received: 0.0 },
        failed_lanes: 2,
        budget: "16.0 GB of 20.0 GB (low), new 2026-12-01".to_owned(),
    };
    let lane = LaneRow {
        name: "l0".to_owned(),
        uplink: "isp-a".to_owned(),
        state: "up, pauses up to 180 ms".to_owned(),
        is_up: true,
        ..LaneRow::default()
    };
    let flow = |number: usize| FlowRow {
        peer: "office".to_owned(),
        name: format!("f{number}"),
        target: format!("10.0.0.{number}:22"),
        lanes: "l0+l1".to_owned(),
        rate: Rate { sent: number as f64, received: 0.0 },
        moved: "3s ago: its lane was silent".to_owned(),
        ..FlowRow::default()
    };
    Board {
        id: "tlk1abc".to_owned(),
        uptime: Duration::from_secs(62),
        uplinks: vec![uplink("isp-a", "in use"), uplink("isp-b", "no answer")],
        lanes: vec![lane],
        flows: (1..=1000).map(flow).collect(),
        live_flows: 1000,
        problems: vec![
            "peer office lost its redundancy 3 s ago: isp-b: no answer within 4s".to_owned(),
        ],
        survived: 7,
        ..Board::default()
    }
}

#[test]
fn what_is_wrong_stands_first_and_every_part_has_its_rows() {
    let text = drawn(160, 40, &board(), &mut Screen::default());
    for part in [
        "no lane answers over isp-b  running for 1m 2s  7 flows outlived a failure  key tlk1abc",
        "! peer office lost its redundancy 3 s ago: isp-b: no answer within 4s",
        "100.0 Mbit/s",
        "16.0 GB of 20.0 GB (low), new 2026-12-01",
        "no answer",
        "up, pauses up to 180 ms",
        "flows: 1000 of 1000, by rate",
        "10.0.0.1000:22",
        "3s ago: its lane was silent",
        "d drain the uplink",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_narrow_terminal_keeps_the_columns_that_matter_and_a_low_one_the_part_that_is_looked_at() {
    let (board, mut screen) = (board(), Screen::default());
    let text = drawn(80, 24, &board, &mut screen);
    for part in ["isp-b", "no answer", "10.0.0.1000:22", "l0+l1"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = drawn(20, 5, &board, &mut screen);
    assert!(
        text.contains("isp-a") && text.contains("q quit") && !text.contains("10.0.0"),
        "{text}"
    );
    screen.part = Pane::Flows;
    let text = drawn(80, 10, &board, &mut screen);
    assert!(text.contains("10.0.0.1000:22") && !text.contains("no answer  "), "{text}");
}

#[test]
fn a_selection_beyond_the_end_is_the_last_row_and_no_terminal_is_too_small() {
    let mut screen =
        Screen { part: Pane::Flows, rows: [(9, 0), (9, 0), (5000, 0)], ..Screen::default() };
    let text = drawn(150, 40, &board(), &mut screen);
    assert!(text.contains("10.0.0.1:22") && !text.contains("10.0.0.1000:22"), "{text}");
    assert_eq!(screen.rows.map(|(selected, _)| selected), [1, 0, 999]);
    for part in [Pane::Uplinks, Pane::Lanes, Pane::Flows] {
        screen.part = part;
        for (width, height) in
            [(1, 1), (2, 2), (3, 3), (20, 5), (5, 60), (300, 3), (80, 24), (500, 200)]
        {
            drawn(width, height, &board(), &mut screen);
            drawn(width, height, &Board::default(), &mut screen);
        }
    }
    assert_eq!(screen.rows.map(|(selected, _)| selected), [0, 0, 0]);
}

#[test]
fn a_standby_is_no_alarm_and_of_many_faults_it_is_said_how_many_there_are() {
    let mut board = board();
    board.uplinks[1].state = "standby";
    assert!(!board.uplinks[1].is_broken());
    board.problems = (0..5).map(|number| format!("fault {number}")).collect();
    let text = drawn(160, 40, &board, &mut Screen::default());
    assert!(text.contains("5 things are wrong") && text.contains("! fault 2"), "{text}");
    assert!(text.contains("! and 2 more") && !text.contains("fault 3"), "{text}");
    board.problems.clear();
    let text = drawn(160, 40, &board, &mut Screen::default());
    assert!(text.contains("all is well  running for") && !text.contains('!'), "{text}");
    assert!(title_of(&board, true).starts_with("the daemon does not answer  "));
}
