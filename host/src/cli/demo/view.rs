//! The board on a terminal. Draws what it is given, into whatever room there is.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Cell, Padding, Paragraph, Row, Sparkline, Table};

use super::board::{Board, Lane, Phase};
use super::words::{clock, latency, mib, p50, p99};
use crate::cli::figures::grouped;
use crate::telemetry::PipelineSnapshot;

/// The widest that a bar gets.
const BAR_CELLS: u64 = 24;

/// Draws the board.
pub(super) fn draw(board: &Board, frame: &mut Frame<'_>) {
    let lanes = u16::try_from(board.lanes.len()).unwrap_or(u16::MAX).clamp(1, 8);
    let [head, pipelines, middle, alerts, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lanes * 2 + 2),
        Constraint::Length(9),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(headline(board), head);
    draw_lanes(board, frame, pipelines);
    let [decided, dead, found] = Layout::horizontal([
        Constraint::Percentage(36),
        Constraint::Percentage(32),
        Constraint::Percentage(32),
    ])
    .areas(middle);
    draw_counts("decisions", Color::Green, board.emitted().into_iter().collect(), frame, decided);
    draw_counts("dead letters", Color::Red, board.failures(), frame, dead);
    draw_found(board, frame, found);
    draw_alerts(board, frame, alerts);
    frame.render_widget(footline(board), foot);
}

fn panel(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(Color::DarkGray))
        .padding(Padding::horizontal(1))
        .title(format!(" {title} ").bold())
}

fn headline(board: &Board) -> Line<'_> {
    let time = match board.ends_after {
        Some(end) => format!("{} of {}", clock(board.elapsed), clock(end)),
        None => clock(board.elapsed),
    };
    let phase = match board.phase {
        Phase::Running => " running ".black().on_green(),
        Phase::Draining => " draining ".black().on_yellow(),
    };
    Line::from(vec![
        " sluicegate demo ".bold().cyan(),
        phase,
        format!("  {} meters → {}  ·  {time}  ·  ", board.meters, board.server).into(),
        "q".bold(),
        " ends it".into(),
    ])
}

fn draw_lanes(board: &Board, frame: &mut Frame<'_>, area: Rect) {
    let block = panel("pipelines");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = Layout::vertical(board.lanes.iter().map(|_| Constraint::Length(2))).split(inner);
    for (lane, area) in board.lanes.iter().zip(rows.iter()) {
        draw_lane(lane, frame, *area);
    }
}

fn draw_lane(lane: &Lane, frame: &mut Frame<'_>, area: Rect) {
    let [text, spark] =
        Layout::horizontal([Constraint::Length(60), Constraint::Min(10)]).spacing(2).areas(area);
    let now = &lane.now;
    let figures = Line::from(vec![
        format!("{:<10}", now.name).bold(),
        format!("{:>8}/s", grouped(lane.rate())).cyan().bold(),
        format!("  done {}", grouped(now.done)).into(),
        format!("  dead {}", grouped(now.dead_lettered + now.annotated)).red(),
    ]);
    let costs = match &now.paused {
        Some(why) => Line::from(format!("{:<10}paused: {why}", "")).yellow(),
        None => costs(now),
    };
    frame.render_widget(Paragraph::new(vec![figures, costs]), text);
    let width = usize::from(spark.width);
    let late = lane.rates.iter().skip(lane.rates.len().saturating_sub(width)).copied();
    let sparkline = Sparkline::default().data(late.collect::<Vec<_>>()).style(Style::new().cyan());
    frame.render_widget(sparkline, spark);
}

/// What a pipeline's messages and calls cost.
fn costs(now: &PipelineSnapshot) -> Line<'static> {
    Line::from(format!(
        "{:<10}p50 {}, p99 {}, {} in flight, {:.0} a call",
        "",
        latency(now.latency_p50_s),
        latency(now.latency_p99_s),
        now.in_flight.max(0),
        now.messages_called as f64 / now.batches.max(1) as f64,
    ))
    .dark_gray()
}

/// Names with their counts and bars on a scale that shows small ones too.
fn draw_counts(
    title: &str,
    colour: Color,
    mut counts: Vec<(String, u64)>,
    frame: &mut Frame<'_>,
    area: Rect,
) {
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = counts.first().map_or(1, |(_, count)| bits(*count)).max(1);
    let rows = counts.iter().map(|(name, count)| {
        let bar = bits(*count) * BAR_CELLS / most;
        let bar: String = std::iter::repeat_n('▪', usize::try_from(bar).unwrap_or(0)).collect();
        Row::new([
            Cell::from(name.as_str()),
            Cell::from(Line::from(grouped(*count)).right_aligned()),
            Cell::from(bar).style(Style::new().fg(colour)),
        ])
    });
    let widths = [Constraint::Length(16), Constraint::Length(9), Constraint::Min(0)];
    frame.render_widget(Table::new(rows, widths).block(panel(title)), area);
}

/// How many bits a count has: bars grow with the order of magnitude.
fn bits(count: u64) -> u64 {
    u64::from(u64::BITS - count.leading_zeros())
}

fn draw_found(board: &Board, frame: &mut Frame<'_>, area: Rect) {
    let (tally, sent) = (&board.tally, &board.tally.sent);
    let of = |name: &'static str, found: u64, planted: u64| {
        let share = if planted == 0 {
            ""
        } else {
            &*format!("{:>4.0} %", found as f64 * 100.0 / planted as f64)
        };
        Line::from(vec![
            format!("{name:<13}").into(),
            format!("{:>5} of {:<5}", grouped(found), grouped(planted)).into(),
            share.to_owned().green(),
        ])
    };
    let lines = vec![
        of("spikes", tally.spikes_found, sent.spikes),
        of("faults", tally.faults_found, sent.faults),
        of("bad messages", tally.bad_found, sent.bad),
        Line::from(""),
        Line::from(format!("{:<13}{:>5}", "false alarms", grouped(tally.false_alarms))),
        Line::from(format!("{:<13}{:>5}", "good rejected", grouped(tally.good_rejected))),
    ];
    frame.render_widget(Paragraph::new(lines).block(panel("planted and found")), area);
}

fn draw_alerts(board: &Board, frame: &mut Frame<'_>, area: Rect) {
    let lines = board.tally.alerts.iter().map(|alert| {
        let colour = match alert.severity.as_str() {
            "critical" => Color::Red,
            "major" => Color::Yellow,
            _ => Color::Blue,
        };
        Line::from(vec![
            format!("{:<9}", alert.severity).fg(colour).bold(),
            alert.text.as_str().into(),
        ])
    });
    frame
        .render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(panel("last alerts")), area);
}

fn footline(board: &Board) -> Line<'_> {
    let resident = board.resident_bytes.map_or_else(|| "–".to_owned(), mib);
    let plugins = u64::try_from(board.plugin_bytes()).unwrap_or(0);
    Line::from(format!(
        " in {}  out {}  ·  p50 {}  p99 {}  ·  {:.1} µs in plugins a message  ·  {resident} resident, plugins {}",
        grouped(board.tally.confirmed),
        grouped(board.settled()),
        latency(p50(board)),
        latency(p99(board)),
        board.plugin_us(),
        mib(plugins),
    ))
    .dark_gray()
}

#[cfg(test)]
pub(super) mod tests;
