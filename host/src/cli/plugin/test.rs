//! `sluicegate plugin test`: a plugin's cases in the sandbox that a host runs it in.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::build;
use super::paint::Paint;
use crate::authoring::compare::{Difference, differences};
use crate::authoring::run::{self, Ran};
use crate::authoring::{Case, update};
use crate::cli::exit;
use crate::plugin::{Engine, EngineOptions};
use crate::telemetry::logging::printable;

/// Options of `plugin test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's folder, which is built first, or a component
    #[arg(default_value = ".", value_name = "FOLDER|FILE.wasm")]
    plugin: PathBuf,
    /// Cases, or folders of them [default: cases, in the plugin's folder or beside the component]
    #[arg(long = "cases", value_name = "FILE|FOLDER")]
    cases: Vec<PathBuf>,
    /// Write what the plugin answers into the cases as what is expected
    #[arg(long)]
    update: bool,
    /// Use only what cargo has fetched before
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How one case went.
pub(super) struct Told {
    file: PathBuf,
    about: Option<String>,
    end: End,
}

enum End {
    /// It couldn't be run.
    Broken(String),
    Ran {
        messages: usize,
        wall: Duration,
        differences: Vec<Difference>,
    },
    /// It was rewritten, or was right as it was.
    Updated {
        changed: bool,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (component, beside) = if args.plugin.is_dir() {
        (build::component_of(&args.plugin, args.offline)?, args.plugin.clone())
    } else {
        ensure!(
            args.plugin.exists(),
            "there is no {}: name a plugin's folder, or a component",
            args.plugin.display()
        );
        let beside = args.plugin.parent().unwrap_or(Path::new("")).to_owned();
        (args.plugin.clone(), beside)
    };
    let files = if args.cases.is_empty() {
        cases_in(&[beside.join("cases")])?
    } else {
        cases_in(&args.cases)?
    };
    let told = run_all(&component, &files, args.update)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let all: Vec<Value> = told.iter().map(Told::json).collect();
        writeln!(out, "{}", json!({ "plugin": component, "cases": all }))?;
    } else {
        out.write_all(text(&told, Paint::of_stdout()).as_bytes())?;
    }
    let good = told.iter().all(Told::passed);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) })
}

/// The files of cases: those named, and those in the folders named.
pub(super) fn cases_in(places: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for place in places {
        if place.is_file() {
            files.push(place.clone());
            continue;
        }
        let entries = fs::read_dir(place).with_context(|| {
            format!(
                "no cases in {}: write some (docs/plugins.md shows how), or name them with --cases",
                place.display()
            )
        })?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "toml" || end == "json") {
                found.push(path);
            }
        }
        found.sort();
        ensure!(
            !found.is_empty(),
            "{} has no case: write one as FILE.toml or FILE.json",
            place.display()
        );
        files.append(&mut found);
    }
    Ok(files)
}

/// Runs every case with that component.
pub(super) fn run_all(
    component: &Path,
    cases: &[PathBuf],
    update: bool,
) -> anyhow::Result<Vec<Told>> {
    let wasm =
        fs::read(component).with_context(|| format!("can't read {}", component.display()))?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let engine = Engine::new(EngineOptions::default())?;
    let mut told = Vec::with_capacity(cases.len());
    for file in cases {
        let (about, end) = match Case::read(file) {
            Err(error) => (None, End::Broken(error.to_string())),
            Ok(case) => {
                let end = match run::run(&engine, &name, &wasm, &case) {
                    Err(error) => End::Broken(error.to_string()),
                    Ok(ran) if update => rewrite(file, &case, &ran)?,
                    Ok(ran) => End::Ran {
                        messages: ran.calls.iter().map(|call| call.messages.len()).sum(),
                        wall: ran.calls.iter().map(|call| call.wall).sum(),
                        differences: differences(&case, &ran),
                    },
                };
                (case.about, end)
            }
        };
        told.push(Told { file: file.clone(), about, end });
    }
    Ok(told)
}

/// Writes a case's answers into its file, unless they are what it expects already.
fn rewrite(file: &Path, case: &Case, ran: &Ran) -> anyhow::Result<End> {
    let expects = |case: &Case| {
        case.calls.iter().all(|call| call.messages.iter().all(|message| message.expect.is_some()))
    };
    if expects(case) && differences(case, ran).is_empty() {
        return Ok(End::Updated { changed: false });
    }
    let answered = update::answered(case, ran);
    let is_json = file.extension().is_some_and(|end| end == "json");
    let text = if is_json {
        serde_json::to_string_pretty(&answered)? + "\n"
    } else {
        update::toml(&fs::read_to_string(file)?, &answered)
            .with_context(|| file.display().to_string())?
    };
    fs::write(file, text).with_context(|| format!("can't write {}", file.display()))?;
    Ok(End::Updated { changed: true })
}

/// All of them, for people.
pub(super) fn text(told: &[Told], paint: Paint) -> String {
    let mut text: String = told.iter().map(|told| told.text(paint)).collect();
    let passed = told.iter().filter(|told| told.passed()).count();
    let summary = format!("{passed} of {} cases pass", told.len());
    let summary = if passed == told.len() { paint.good(&summary) } else { paint.bad(&summary) };
    text.push_str(&summary);
    text.push('\n');
    text
}

impl Told {
    pub(super) fn passed(&self) -> bool {
        match &self.end {
            End::Broken(_) => false,
            End::Ran { differences, .. } => differences.is_empty(),
            End::Updated { .. } => true,
        }
    }

    fn text(&self, paint: Paint) -> String {
        let file = self.file.display();
        let about = self.about.as_ref().map(|about| format!("  {}", printable(about)));
        let about = about.unwrap_or_default();
        match &self.end {
            End::Broken(why) => {
                format!("{}  {file}{about}\n      {}\n", paint.bad("FAIL"), indented(why))
            }
            End::Updated { changed: true } => format!("{}  {file}{about}\n", paint.good("new ")),
            End::Updated { changed: false } => format!("{}  {file}{about}\n", paint.good("ok  ")),
            End::Ran { messages, wall, differences } if differences.is_empty() => {
                let figures = format!("{messages} messages, {:.1} ms", wall.as_secs_f64() * 1e3);
                format!("{}  {file}{about}  {}\n", paint.good("ok  "), paint.dim(&figures))
            }
            End::Ran { differences, .. } => {
                let mut text = format!("{}  {file}{about}\n", paint.bad("FAIL"));
                for difference in differences {
                    let Difference { place, expected, got } = difference;
                    let said = |side: &Option<String>| {
                        indented(&printable(side.as_deref().unwrap_or("nothing")))
                    };
                    text.push_str(&format!("      {place}\n"));
                    let expected = format!("expected  {}", said(expected));
                    text.push_str(&format!("        {}\n", paint.good(&expected)));
                    let got = format!("got       {}", said(got));
                    text.push_str(&format!("        {}\n", paint.bad(&got)));
                }
                text
            }
        }
    }

    fn json(&self) -> Value {
        let mut told = json!({ "file": self.file, "about": self.about, "passed": self.passed() });
        let more = match &self.end {
            End::Broken(why) => json!({ "error": why }),
            End::Updated { changed } => json!({ "updated": changed }),
            End::Ran { messages, wall, differences } => {
                let each = |d: &Difference| json!({ "place": d.place, "expected": d.expected, "got": d.got });
                json!({
                    "messages": messages,
                    "wall_s": wall.as_secs_f64(),
                    "differences": differences.iter().map(each).collect::<Vec<_>>(),
                })
            }
        };
        if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
            told.extend(more);
        }
        told
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n      ")
}

#[cfg(test)]
mod tests;
