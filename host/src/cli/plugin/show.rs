//! What a plugin decided about the messages of its cases, line by line.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::paint::Paint;
use crate::authoring::case::Call;
use crate::authoring::compare::{differences, line, observed, summary};
use crate::authoring::run::{self, Ended, RanCall};
use crate::authoring::{Case, CaseError};
use crate::plugin::{Engine, EngineOptions};
use crate::telemetry::logging::printable;

/// Runs cases and shows each decision, and where it isn't the expected one. Answers whether all pass.
pub(super) fn cases(
    component: &Path,
    files: &[PathBuf],
    paint: Paint,
) -> anyhow::Result<(String, bool)> {
    let wasm =
        std::fs::read(component).with_context(|| format!("can't read {}", component.display()))?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let engine = Engine::new(EngineOptions::default())?;
    let (mut text, mut passed) = (String::new(), 0);
    for file in files {
        text.push_str(&format!("{}\n", file.display()));
        let shown = Case::read(file).and_then(|case| shown(&engine, &name, &wasm, &case, paint));
        match shown {
            Ok((said, good)) => {
                text.push_str(&said);
                passed += usize::from(good);
            }
            Err(error) => text.push_str(&format!("  {}\n", paint.bad(&printable(&error.0)))),
        }
    }
    let all = passed == files.len();
    let summary = format!("{passed} of {} cases pass", files.len());
    let summary = if all { paint.good(&summary) } else { paint.bad(&summary) };
    text.push_str(&format!("{summary}\n"));
    Ok((text, all))
}

fn shown(
    engine: &Engine,
    name: &str,
    wasm: &[u8],
    case: &Case,
    paint: Paint,
) -> Result<(String, bool), CaseError> {
    let ran = run::run(engine, name, wasm, case)?;
    let found = differences(case, &ran);
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
    Ok((text, found.is_empty()))
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
