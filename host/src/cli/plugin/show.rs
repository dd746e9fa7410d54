//! What a plugin decided about the messages of its cases, line by line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::paint::Paint;
use crate::authoring::case::Call;
use crate::authoring::compare::{differences, line, observed, summary};
use crate::authoring::run::{self, Ended, Ran, RanCall};
use crate::authoring::{Case, CaseError};
use crate::plugin::{Engine, EngineOptions};
use crate::telemetry::logging::printable;

/// What became of cases, for people.
pub(super) struct Shown {
    pub(super) text: String,
    /// Whether all pass.
    pub(super) passed: bool,
    /// Those that could be read.
    pub(super) cases: Vec<Case>,
    /// The outputs that the plugin named.
    pub(super) outputs: BTreeSet<String>,
}

/// Runs cases and shows each decision, and where it isn't the expected one.
pub(super) fn cases(
    component: &Path,
    files: &[PathBuf],
    paint: Paint,
    cache: Option<&Path>,
) -> anyhow::Result<Shown> {
    let wasm =
        std::fs::read(component).with_context(|| format!("can't read {}", component.display()))?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let engine = Engine::new(EngineOptions { cache_dir: cache.map(Path::to_owned) })?;
    let (mut text, mut passed) = (String::new(), 0);
    let (mut cases, mut outputs) = (Vec::new(), BTreeSet::new());
    for file in files {
        text.push_str(&format!("{}\n", file.display()));
        let shown = Case::read(file).and_then(|case| {
            let ran = run::run(&engine, &name, &wasm, &case);
            cases.push(case);
            let (case, ran) = (&cases[cases.len() - 1], ran?);
            outputs.extend(named(&ran));
            Ok(shown(case, &ran, paint))
        });
        match shown {
            Ok((said, good)) => {
                text.push_str(&said);
                passed += usize::from(good);
            }
            Err(error) => text.push_str(&format!("  {}\n", paint.bad(&indented(&error)))),
        }
    }
    let all = passed == files.len();
    let summary = format!("{passed} of {} cases pass", files.len());
    let summary = if all { paint.good(&summary) } else { paint.bad(&summary) };
    text.push_str(&format!("{summary}\n"));
    Ok(Shown { text, passed: all, cases, outputs })
}

/// An error may show lines of the case, with the place marked.
fn indented(error: &CaseError) -> String {
    error.0.lines().map(printable).collect::<Vec<_>>().join("\n  ")
}

/// The outputs of all emissions.
fn named(ran: &Ran) -> impl Iterator<Item = String> {
    let ends = ran.calls.iter().flat_map(|call| call.timers.iter().chain(&call.messages));
    let emissions = ends.flat_map(|ended| match ended {
        Ended::Decided(decision) => decision.emissions.as_slice(),
        Ended::Failed(_) => &[],
    });
    emissions.map(|emission| emission.output.clone())
}

fn shown(case: &Case, ran: &Ran, paint: Paint) -> (String, bool) {
    let found = differences(case, ran);
    let mut text = String::new();
    for (at, (call, answered)) in case.calls.iter().zip(&ran.calls).enumerate() {
        decided(at + 1, call, answered, &mut text);
    }
    for difference in &found {
        let side = |side: &Option<String>| printable(side.as_deref().unwrap_or("nothing"));
        let line = format!(
            "{}: expected {}, got {}",
            difference.place,
            side(&difference.expected),
            side(&difference.got)
        );
        text.push_str(&format!("  {}\n", paint.bad(&line)));
    }
    (text, found.is_empty())
}

/// Each input of a call, with what became of it.
fn decided(number: usize, call: &Call, answered: &RanCall, text: &mut String) {
    let timers =
        answered.fired.iter().map(|timer| (format!("timer {}", timer.name), Some(&timer.key)));
    let messages = call.messages.iter().map(|message| {
        let what = match message.routing_key.as_str() {
            "" => "message".to_owned(),
            key => format!("message {key}"),
        };
        (what, message.key.as_ref())
    });
    let ends = answered.timers.iter().chain(&answered.messages);
    for (at, ((what, key), ended)) in timers.chain(messages).zip(ends).enumerate() {
        let key = key.map(|key| format!(" of {key}")).unwrap_or_default();
        let said = observed(ended);
        let what = printable(&format!("{what}{key}: {}", summary(&said)));
        text.push_str(&format!("  {number}.{} {what}\n", at + 1));
        for emission in &said.emissions {
            text.push_str(&format!("        {}\n", printable(&line(emission))));
        }
        if let Ended::Failed(error) = ended {
            for frame in error.backtrace.iter().take(5) {
                text.push_str(&format!("        at {}\n", printable(frame)));
            }
        }
    }
}
