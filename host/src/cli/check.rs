//! `sluicegate check`: everything that is wrong with a config, at once, each with its line and what
//! to do about it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::exit;
use crate::config::{self, Config, Problem, Severity};

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The config file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "sluicegate.toml",
        env = "SLUICEGATE_CONFIG"
    )]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// When the answer can't be printed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let report = Report::of(args.config);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        out.write_all(report.text(colour).as_bytes())?;
    }
    out.flush()?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(exit::CONFIG) })
}

/// What was found in one file.
struct Report {
    file: PathBuf,
    source: String,
    config: Option<Config>,
    problems: Vec<Problem>,
}

impl Report {
    fn of(file: PathBuf) -> Self {
        let source = match config::load(&file) {
            Ok(source) => source,
            Err(problems) => return Self { file, source: String::new(), config: None, problems },
        };
        match config::parse(&source, &file) {
            Ok((config, problems)) => Self { file, source, config: Some(config), problems },
            Err(problems) => Self { file, source, config: None, problems },
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    fn is_good(&self) -> bool {
        self.config.is_some() && self.count(Severity::Error) == 0
    }

    fn text(&self, colour: bool) -> String {
        config::render_all(&self.problems, &self.source, colour) + &self.summary() + "\n"
    }

    fn summary(&self) -> String {
        let file = self.file.display();
        let warnings = counted(self.count(Severity::Warning), "warning");
        let Some(config) = self.config.as_ref().filter(|_| self.is_good()) else {
            let errors = counted(self.count(Severity::Error), "error");
            return format!("{file}: {errors}, {warnings}");
        };
        let parts = [
            counted(config.brokers.len(), "broker"),
            counted(config.exchanges.len(), "exchange"),
            counted(config.queues.len(), "queue"),
            counted(config.plugins.len(), "plugin"),
            counted(config.pipelines.len(), "pipeline"),
        ];
        let good = format!("{file} is good: {}", parts.join(", "));
        if self.problems.is_empty() { good } else { format!("{good}; {warnings}") }
    }

    fn json(&self) -> serde_json::Value {
        let problems: Vec<_> = self.problems.iter().map(as_json).collect();
        let objects = self.config.as_ref().map(|config| {
            json!({
                "brokers": config.brokers.len(),
                "exchanges": config.exchanges.len(),
                "queues": config.queues.len(),
                "plugins": config.plugins.len(),
                "pipelines": config.pipelines.len(),
            })
        });
        json!({
            "file": self.file,
            "good": self.is_good(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "problems": problems,
            "objects": objects,
        })
    }
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": problem.severity.as_str(),
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "width": problem.width,
        "key": problem.key,
        "message": problem.message,
        "remedy": problem.remedy,
    })
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
