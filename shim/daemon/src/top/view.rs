//! What is drawn.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState, Wrap};

use super::board::{Board, FlowRow, LaneRow, UplinkRow};
use super::columns::{Column, column, numbers, shown};
use super::screen::{Keys, Pane, Screen};
use crate::admin::UplinkChange;
use crate::report::amount;

/// The most problems that are shown: they are sentences, and the first is the gravest.
const MAX_PROBLEMS: usize = 3;

/// Below this height only the part that is looked at is shown.
const ROOM_FOR_ALL: u16 = 20;

/// Above and below the rows of a table: its frame and its head.
const AROUND_ROWS: u16 = 3;

/// Below this height a table has no frame.
const ROOM_FOR_FRAME: u16 = 5;

/// The keys, those first that a narrow terminal has to show.
const KEYS: &str =
    "q quit  Tab next part  ↑↓ row  / filter flows  s sort flows  d drain the uplink  r resume it";

const UPLINKS: [Column; 7] = [
    column("uplink", 20, 0),
    column("state", 10, 1),
    numbers("lanes", 5, 3),
    numbers("sent", 12, 2),
    numbers("received", 12, 2),
    numbers("failed lanes", 12, 5),
    column("budget used", 44, 4),
];

const LANES: [Column; 9] = [
    column("peer", 12, 2),
    column("lane", 5, 1),
    column("uplink", 14, 0),
    column("remote", 24, 5),
    column("state", 26, 0),
    numbers("rtt", 9, 3),
    numbers("sent", 12, 4),
    numbers("received", 12, 4),
    numbers("suspicions", 10, 6),
];

const FLOWS: [Column; 9] = [
    column("peer", 12, 2),
    column("flow", 7, 1),
    column("target", 22, 0),
    column("mode", 9, 6),
    column("lanes", 8, 4),
    numbers("sent", 12, 1),
    numbers("received", 12, 1),
    numbers("total", 9, 5),
    column("last moved", 32, 7),
];

/// Draws a moment: `message` is what the last key did, `silence` why the daemon does not answer.
pub(crate) fn draw(
    frame: &mut Frame<'_>,
    board: &Board,
    screen: &mut Screen,
    message: Option<&str>,
    silence: Option<&str>,
) {
    let all = silence.into_iter().chain(board.problems.iter().map(String::as_str));
    let mut problems: Vec<_> = all.take(MAX_PROBLEMS).map(str::to_owned).collect();
    let left = (board.problems.len() + usize::from(silence.is_some())).saturating_sub(MAX_PROBLEMS);
    if left > 0 {
        problems.push(format!("and {left} more: `throughline status --check` names them all"));
    }
    let said = keys_line(screen, message);
    let Rect { width, height, .. } = frame.area();
    let wrong_lines =
        problems.iter().map(|problem| lines_of(problem, width)).fold(0, u16::saturating_add);
    // What a key has led to is read whole; which keys there are is cut off.
    let is_idle = screen.keys == Keys::Commands && message.is_none();
    let said_lines = if is_idle { 1 } else { lines_of(&said, width) };
    let [title, wrong, parts, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(wrong_lines.min(height / 3)),
        Constraint::Min(0),
        Constraint::Length(said_lines.min(height / 3).max(1)),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(title_of(board, silence.is_some())), title);
    let wrong_text: Vec<_> =
        problems.iter().map(|problem| Line::from(format!("! {problem}"))).collect();
    frame.render_widget(Paragraph::new(wrong_text).wrap(Wrap { trim: true }).style(alarm()), wrong);
    draw_parts(frame, parts, board, screen);
    let style = if is_idle { Style::new().add_modifier(Modifier::DIM) } else { Style::new() };
    let said = Paragraph::new(said).style(style);
    frame.render_widget(if is_idle { said } else { said.wrap(Wrap { trim: true }) }, keys);
}

/// Returns how many lines a sentence takes, at the most: words are not divided.
fn lines_of(text: &str, width: u16) -> u16 {
    let lines = 1 + (text.chars().count() + 2) * 5 / 4 / usize::from(width.max(1));
    u16::try_from(lines).unwrap_or(u16::MAX)
}

fn title_of(board: &Board, is_silent: bool) -> String {
    if board.id.is_empty() {
        return "no daemon has answered yet".to_owned();
    }
    let uptime = humantime::format_duration(Duration::from_secs(board.uptime.as_secs()));
    let survived = match board.survived {
        0 => String::new(),
        1 => "  1 flow outlived a failure".to_owned(),
        flows => format!("  {flows} flows outlived a failure"),
    };
    format!("{}  running for {uptime}{survived}  key {}", verdict(board, is_silent), board.id)
}

/// Says first how it goes.
fn verdict(board: &Board, is_silent: bool) -> String {
    let broken: Vec<&str> =
        board.uplinks.iter().filter(|up| up.is_broken()).map(|up| up.name.as_str()).collect();
    match (is_silent, &broken[..], board.problems.len()) {
        (true, _, _) => "the daemon does not answer".to_owned(),
        (false, [], 0) => "all is well".to_owned(),
        (false, [], 1) => "something is wrong".to_owned(),
        (false, [], problems) => format!("{problems} things are wrong"),
        // Known at once, and some seconds before it is a lost redundancy.
        (false, broken, _) => format!("no lane answers over {}", broken.join(" and ")),
    }
}

fn keys_line(screen: &Screen, message: Option<&str>) -> String {
    match (&screen.keys, message) {
        (Keys::Confirm(asked), _) => {
            let name = &asked.uplink;
            match (asked.change, asked.is_last) {
                (UplinkChange::Drain, false) => {
                    format!("y drains {name}: flows leave it, until r; any other key: no")
                }
                (UplinkChange::Drain, true) => format!(
                    "no other uplink answers, so flows stay on {name}; y drains it all the same; any other key: no"
                ),
                (UplinkChange::Resume, _) => {
                    format!("y puts {name} back into use; any other key: no")
                }
            }
        }
        (Keys::Filter, _) => format!("filter: {}_  Enter keeps it, Esc ends it", screen.filter),
        (Keys::Commands, Some(message)) => message.to_owned(),
        (Keys::Commands, None) => KEYS.to_owned(),
    }
}

fn draw_parts(frame: &mut Frame<'_>, area: Rect, board: &Board, screen: &mut Screen) {
    if area.height < ROOM_FOR_ALL {
        return match screen.part {
            Pane::Uplinks => draw_uplinks(frame, area, board, screen),
            Pane::Lanes => draw_lanes(frame, area, board, screen),
            Pane::Flows => draw_flows(frame, area, board, screen),
        };
    }
    let lines = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(AROUND_ROWS);
    let third = area.height / 3;
    let [uplinks, lanes, flows] = Layout::vertical([
        Constraint::Length(lines(board.uplinks.len()).min(third)),
        Constraint::Length(lines(board.lanes.len()).min(third)),
        Constraint::Min(0),
    ])
    .areas(area);
    draw_uplinks(frame, uplinks, board, screen);
    draw_lanes(frame, lanes, board, screen);
    draw_flows(frame, flows, board, screen);
}

fn draw_uplinks(frame: &mut Frame<'_>, area: Rect, board: &Board, screen: &mut Screen) {
    let cell = |uplink: &UplinkRow, column| match column {
        0 => Cell::from(uplink.name.clone()),
        1 => Cell::from(uplink.state).style(alarm_unless(!uplink.is_broken())),
        2 => number(uplink.lanes),
        3 => rate(uplink.rate.sent),
        4 => rate(uplink.rate.received),
        5 => number(uplink.failed_lanes),
        _ => Cell::from(uplink.budget.clone()),
    };
    let rows: Vec<_> = board.uplinks.iter().collect();
    draw_table(frame, area, ("uplinks", Pane::Uplinks, &UPLINKS), (&rows, cell), screen);
}

fn draw_lanes(frame: &mut Frame<'_>, area: Rect, board: &Board, screen: &mut Screen) {
    let cell = |lane: &LaneRow, column| match column {
        0 => Cell::from(lane.peer.clone()),
        1 => Cell::from(lane.name.clone()),
        2 => Cell::from(lane.uplink.clone()),
        3 => Cell::from(lane.remote.clone()),
        4 => Cell::from(lane.state.clone()).style(alarm_unless(lane.is_up)),
        5 => right(format!("{:.1} ms", lane.rtt_ms)),
        6 => rate(lane.rate.sent),
        7 => rate(lane.rate.received),
        _ => number(lane.suspicions),
    };
    let rows: Vec<_> = board.lanes.iter().collect();
    draw_table(frame, area, ("lanes", Pane::Lanes, &LANES), (&rows, cell), screen);
}

fn draw_flows(frame: &mut Frame<'_>, area: Rect, board: &Board, screen: &mut Screen) {
    let rows = screen.flows(board);
    let filter = match &screen.filter[..] {
        "" => String::new(),
        filter => format!(" with \"{filter}\""),
    };
    let title = format!(
        "flows: {} of {}{filter}, by {}",
        rows.len(),
        board.live_flows,
        screen.order.name()
    );
    let cell = |flow: &FlowRow, column| match column {
        0 => Cell::from(flow.peer.clone()),
        1 => Cell::from(flow.name.clone()),
        2 => Cell::from(flow.target.clone()),
        3 => Cell::from(flow.mode.clone()),
        4 => Cell::from(flow.lanes.clone()),
        5 => rate(flow.rate.sent),
        6 => rate(flow.rate.received),
        7 => right(amount(flow.total)),
        _ => Cell::from(flow.moved.clone()),
    };
    draw_table(frame, area, (&title, Pane::Flows, &FLOWS), (&rows, cell), screen);
}

/// Draws as much of a table as there is room for: no cell is made of a row that is not seen.
fn draw_table<R>(
    frame: &mut Frame<'_>,
    area: Rect,
    (title, part, columns): (&str, Pane, &[Column]),
    (rows, cell): (&[&R], impl Fn(&R, usize) -> Cell<'static>),
    screen: &mut Screen,
) {
    let is_framed = area.height >= ROOM_FOR_FRAME;
    let around = if is_framed { AROUND_ROWS } else { 1 };
    let height = usize::from(area.height.saturating_sub(around));
    let (seen, selected) = screen.window(part, rows.len(), height);
    let columns_shown = shown(columns, area.width.saturating_sub(if is_framed { 2 } else { 0 }));
    let lines =
        rows[seen].iter().map(|row| Row::new(columns_shown.iter().map(|index| cell(row, *index))));
    let is_looked_at = screen.part == part;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let looked_at = |style: Style| if is_looked_at { style } else { Style::new() };
    // What is left goes to the columns that matter most.
    let width = |column: &Column| match column.rank {
        0 => Constraint::Min(column.width),
        _ => Constraint::Length(column.width),
    };
    let widths = columns_shown.iter().map(|index| width(&columns[*index]));
    let head = columns_shown.iter().map(|index| match columns[*index] {
        Column { title, is_number: true, .. } => right(title.to_owned()),
        Column { title, .. } => Cell::from(title),
    });
    let frame_of = Block::bordered().title(Line::from(format!(" {title} ")).style(looked_at(bold)));
    let table = Table::new(lines, widths)
        .header(Row::new(head).style(bold))
        .row_highlight_style(looked_at(Style::new().add_modifier(Modifier::REVERSED)))
        .block(if is_framed { frame_of } else { Block::new() });
    let mut state = TableState::new().with_selected((!rows.is_empty()).then_some(selected));
    frame.render_stateful_widget(table, area, &mut state);
}

/// What a person is to see first; also without colours.
fn alarm() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn alarm_unless(is_well: bool) -> Style {
    if is_well { Style::new() } else { alarm() }
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn number(number: impl ToString + Copy) -> Cell<'static> {
    right(number.to_string())
}

/// Returns a rate in the unit of links; nothing where nothing goes.
fn rate(bytes_a_second: f64) -> Cell<'static> {
    let bits = bytes_a_second * 8.0;
    right(match bits {
        bits if bits < 1.0 => "-".to_owned(),
        bits if bits < 999_950.0 => format!("{:.1} kbit/s", bits / 1e3),
        bits if bits < 999_950_000.0 => format!("{:.1} Mbit/s", bits / 1e6),
        bits => format!("{:.2} Gbit/s", bits / 1e9),
    })
}

#[cfg(test)]
mod tests;
