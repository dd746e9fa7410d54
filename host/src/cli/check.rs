//! `sluicegate check`: everything that is wrong with a config, at once, each with its line and what
//! to do about it.

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::{ConfigFile, exit};
use crate::config::{self, Config, Locator, Plugin, Problem, Severity};
use crate::plugin::{Engine, EngineOptions};
use crate::reference::Table;
use crate::{service, topology};

/// Options of `check`. No broker is contacted; `topology --verify` does that.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// When there is no engine to load plugins with, or the answer can't be printed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut report = Report::of(args.config.path, args.strict);
    report.check_topology();
    let report = tokio::task::spawn_blocking(move || report.check_plugins()).await??;
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
    /// Where nothing is wrong with the text itself.
    config: Option<Config>,
    problems: Vec<Problem>,
    /// Warnings are errors.
    strict: bool,
}

impl Report {
    fn of(file: PathBuf, strict: bool) -> Self {
        let (source, read) = match config::load(&file) {
            Ok(source) => {
                let read = config::parse(&source, &file);
                (source, read)
            }
            Err(problems) => (String::new(), Err(problems)),
        };
        let (config, problems) = match read {
            Ok((config, problems)) => (Some(config), problems),
            Err(problems) => (None, problems),
        };
        Self { file, source, config, problems, strict }
    }

    /// Adds what is unwise, or will be refused, about the topology as a whole.
    fn check_topology(&mut self) {
        let Some(config) = &self.config else { return };
        let locator = Locator::new(&self.source, &self.file);
        self.problems.extend(unusable_tables(config, &locator));
        for finding in topology::findings(config, &topology::stated_versions(config)) {
            let severity = match finding.severity {
                topology::Severity::Error => Severity::Error,
                topology::Severity::Warning => Severity::Warning,
                topology::Severity::Note => Severity::Note,
            };
            let key = locator.place(&finding.place);
            let message = format!("{}: {}", finding.place, finding.text);
            self.problems.push(locator.problem(severity, &key, message, String::new()));
        }
    }

    /// Adds the plugins that can't be loaded, and what doesn't fit those that can. Loads them all:
    /// not for a thread that serves others.
    fn check_plugins(mut self) -> anyhow::Result<Self> {
        let Some(config) = &self.config else { return Ok(self) };
        let engine = Engine::new(EngineOptions::default()).context("can't check the plugins")?;
        let locator = Locator::new(&self.source, &self.file);
        for settings in config.plugins.values() {
            let section = locator.section("plugin", &settings.name);
            match service::load_plugins(&engine, settings) {
                Err(error) => {
                    let key = format!("{section}.{}", blamed(settings, &error.text));
                    let message = format!("plugin '{}': {}", settings.name, error.text);
                    self.problems.push(locator.problem(
                        Severity::Error,
                        &key,
                        message,
                        String::new(),
                    ));
                }
                Ok(plugin) if plugin.stateful() => {
                    self.problems.extend(keyless(config, &settings.name, &locator));
                }
                Ok(_) => {}
            }
        }
        self.problems.sort_by_key(|problem| (problem.line, problem.column, problem.severity));
        Ok(self)
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    fn is_good(&self) -> bool {
        self.config.is_some()
            && self.count(Severity::Error) == 0
            && (!self.strict || self.count(Severity::Warning) == 0)
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
        if self.count(Severity::Warning) == 0 { good } else { format!("{good}; {warnings}") }
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

/// Tables whose file can't be used.
fn unusable_tables(config: &Config, locator: &Locator) -> Vec<Problem> {
    let problem = |table: &config::Table| {
        let error = Table::read(table).err()?;
        let key = format!("table.{}.file", table.name);
        Some(locator.problem(Severity::Error, &key, error.to_string(), String::new()))
    };
    config.tables.values().filter_map(problem).collect()
}

/// The key of a plugin's section that a failure to load is about.
fn blamed(settings: &Plugin, text: &str) -> &'static str {
    match text {
        _ if text.contains("SHA-256") && settings.sha256.is_some() => "sha256",
        _ if text.contains("its config") => "config",
        _ => "file",
    }
}

/// Pipelines that run a stateful plugin without a key, by which alone state is found.
fn keyless(config: &Config, plugin: &str, locator: &Locator) -> Vec<Problem> {
    let uses = config.pipelines.iter().filter(|pipeline| {
        pipeline.key.is_none() && pipeline.stages.iter().any(|stage| stage.plugin == plugin)
    });
    let problems = uses.map(|pipeline| {
        let key = format!("{}.stages", locator.section("pipeline", &pipeline.name));
        let message = format!(
            "plugin '{plugin}' keeps state by key, and pipeline '{}' has none: where it uses state, \
             messages fail with `no_key`",
            pipeline.name
        );
        let remedy = "add `key = { header = \"NAME\" }`, `{ routing_key = 1 }` or `{ field = \"NAME\" }`";
        locator.problem(Severity::Warning, &key, message, remedy.to_owned())
    });
    problems.collect()
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
