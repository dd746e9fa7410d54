//! Tables: fitted and coloured on a terminal, plain and whole in a pipe.

use std::io::{IsTerminal as _, Write};

use crate::telemetry::logging::printable;

#[cfg(test)]
mod tests;

/// Between two columns.
const GAP: &str = "  ";
/// An elastic column is never narrower.
const ELASTIC_MIN: usize = 16;

/// How a cell looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// As text is.
    #[default]
    Plain,
    /// What the eye goes to.
    Strong,
    /// What is there for completeness.
    Faint,
    /// What is good.
    Good,
    /// What is bad.
    Bad,
}

/// Rows under a head. A column whose name begins with `>` is aligned to the right; one whose name
/// begins with `~` gives way where the terminal is too narrow.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Look)>>,
}

/// Whether standard output is a terminal that wants colours, and its width.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    /// Colours are wanted.
    pub(super) color: bool,
    /// Characters; `None` is no terminal.
    pub(super) width: Option<usize>,
}

impl Screen {
    /// Standard output's.
    pub(super) fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::default();
        }
        let color = std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let width = ratatui::crossterm::terminal::size().ok().map(|(width, _)| usize::from(width));
        Self { color, width: width.filter(|width| *width > 0).or(Some(100)) }
    }

    /// A text in that look.
    pub(super) fn paint(self, text: &str, look: Look) -> String {
        let code = match look {
            _ if !self.color => return text.to_owned(),
            Look::Plain => return text.to_owned(),
            Look::Strong => "1",
            Look::Faint => "2",
            Look::Good => "32",
            Look::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; what could steer a terminal is made visible.
    pub(super) fn row<const N: usize>(&mut self, cells: [(&str, Look); N]) {
        self.rows.push(cells.into_iter().map(|(text, look)| (printable(text), look)).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints it.
    pub(super) fn print(&self, screen: Screen, out: &mut dyn Write) -> std::io::Result<()> {
        let widths = self.widths(screen.width);
        let titles =
            self.head.iter().map(|name| (name.trim_start_matches(['>', '~']), Look::Faint));
        self.line(titles, &widths, screen, out)?;
        for row in &self.rows {
            let cells = row.iter().map(|(text, look)| (text.as_str(), *look));
            self.line(cells, &widths, screen, out)?;
        }
        Ok(())
    }

    fn line<'c>(
        &self,
        cells: impl Iterator<Item = (&'c str, Look)>,
        widths: &[usize],
        screen: Screen,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let mut line = String::new();
        for ((at, (text, look)), width) in cells.enumerate().zip(widths) {
            let text = fitted(text, *width);
            let pad = " ".repeat(width.saturating_sub(text.chars().count()));
            let painted = screen.paint(&text, look);
            if at > 0 {
                line.push_str(GAP);
            }
            match self.head[at].starts_with('>') {
                true => line.extend([pad.as_str(), &painted]),
                false => line.extend([painted.as_str(), &pad]),
            }
        }
        writeln!(out, "{}", line.trim_end())
    }

    /// Each column as wide as its widest cell; elastic ones share what is left of the terminal.
    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let chars = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = (0..self.head.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| chars(&row[at].0));
                cells.max().unwrap_or(0).max(chars(self.head[at].trim_start_matches(['>', '~'])))
            })
            .collect();
        let Some(room) = room else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        loop {
            let total = widths.iter().sum::<usize>() + gaps;
            let elastic = (0..widths.len()).filter(|&at| self.head[at].starts_with('~'));
            let widest = elastic.max_by_key(|&at| widths[at]);
            match widest {
                Some(at) if total > room && widths[at] > ELASTIC_MIN => {
                    let next = widths[at].saturating_sub(total - room).max(ELASTIC_MIN);
                    // Not below the next widest, so that two elastic columns shrink alike.
                    let others = (0..widths.len())
                        .filter(|&o| o != at && self.head[o].starts_with('~'))
                        .map(|o| widths[o])
                        .max();
                    widths[at] = next.max(others.unwrap_or(0).min(widths[at] - 1));
                }
                _ => return widths,
            }
        }
    }
}

/// The text in so many characters, its end cut off where it is longer.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
