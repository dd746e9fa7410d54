//! One thing that is wrong in a config, where, and what to do; and how it looks.

use std::fmt::{self, Write};
use std::path::PathBuf;

use super::redact;

/// Characters of a source line that are shown around a problem.
const EXCERPT_CHARS: usize = 120;

/// One thing that is wrong in a config. Shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the host.
    pub severity: Severity,
    /// The config file.
    pub file: PathBuf,
    /// Line, from 1; 0 is the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters on that line that are meant; at least 1.
    pub width: usize,
    /// The key, as a path: `pipeline[0].stages[1].plugin`. Empty is the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a problem means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The host doesn't start with it.
    Error,
    /// The host starts; the operator should know.
    Warning,
    /// Worth knowing; nothing need be done.
    Note,
}

/// A problem of [`Severity::Warning`].
pub type Warning = Problem;

/// All problems with their source lines, an empty line behind each. `colour` adds ANSI colours.
#[must_use]
pub fn render_all(problems: &[Problem], source: &str, colour: bool) -> String {
    problems.iter().map(|problem| problem.render(source, colour) + "\n").collect()
}

// === impl Severity ===

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

// === impl Problem ===

impl Problem {
    /// The problem with its source line and a caret, over several lines.
    #[must_use]
    pub fn render(&self, source: &str, colour: bool) -> String {
        let paint = Paint { colour };
        let tone = match self.severity {
            Severity::Error => Paint::RED,
            Severity::Warning => Paint::YELLOW,
            Severity::Note => Paint::BLUE,
        };
        let mut out = String::new();
        let head = paint.with(tone, self.severity.as_str());
        // Writing to a string can't fail.
        let _ = writeln!(out, "{head}: {}", paint.with(Paint::BOLD, &self.message));
        let gutter = self.line.to_string().len();
        let arrow = paint.with(Paint::BLUE, "-->");
        let _ = write!(out, "{:gutter$}{arrow} {}", "", self.file.display());
        if self.line > 0 {
            let _ = write!(out, ":{}:{}", self.line, self.column);
        }
        if !self.key.is_empty() {
            let _ = write!(out, "  {}", paint.with(Paint::DIM, &self.key));
        }
        out.push('\n');
        if let Some((text, lead, width)) = self.excerpt(source) {
            let bar = paint.with(Paint::BLUE, "|");
            let number = paint.with(Paint::BLUE, &self.line.to_string());
            let carets = paint.with(tone, &"^".repeat(width));
            let _ = writeln!(out, "{:gutter$} {bar}", "");
            let _ = writeln!(out, "{number} {bar} {text}");
            let _ = writeln!(out, "{:gutter$} {bar} {lead}{carets}", "");
        }
        if !self.remedy.is_empty() {
            let help = paint.with(Paint::BOLD, "help");
            let equals = paint.with(Paint::BLUE, "=");
            let _ = writeln!(out, "{:gutter$} {equals} {help}: {}", "", self.remedy);
        }
        out
    }

    /// The source line, masked and cut to a window around the problem; what goes before the carets;
    /// how many of these.
    fn excerpt(&self, source: &str) -> Option<(String, String, usize)> {
        let line = source.lines().nth(self.line.checked_sub(1)?)?;
        let chars: Vec<char> = redact::line(line).chars().collect();
        let at = self.column.saturating_sub(1).min(chars.len());
        let from =
            if chars.len() <= EXCERPT_CHARS { 0 } else { at.saturating_sub(EXCERPT_CHARS / 2) };
        let to = chars.len().min(from + EXCERPT_CHARS);
        let cut = if from > 0 { "…" } else { "" };
        let text: String = chars[from..to].iter().collect();
        let lead: String =
            chars[from..at.min(to)].iter().map(|c| if *c == '\t' { '\t' } else { ' ' }).collect();
        let width = self.width.clamp(1, (to - at.min(to)).max(1));
        let lead = if from > 0 { format!(" {lead}") } else { lead };
        Some((format!("{cut}{text}"), lead, width))
    }
}

impl fmt::Display for Problem {
    /// One line, without the source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: ", self.severity.as_str())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// ANSI colours, or none.
struct Paint {
    colour: bool,
}

impl Paint {
    const RED: &'static str = "1;31";
    const YELLOW: &'static str = "1;33";
    const BLUE: &'static str = "1;34";
    const BOLD: &'static str = "1";
    const DIM: &'static str = "2";

    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
