//! Writes what the calls answered into a case's file as what is expected.
//!
//! A TOML file is edited by its lines, so that everything else in it stays as it is, comments too. What
//! comes out is read again and must be the case that was meant, else nothing is written.

use serde::Serialize;

use super::case::{Call, Case, CaseError, DueTimer, Expected};
use super::compare::{observed, set, span, states};
use super::run::{Fired, Ran, RanCall};

/// The case with its answers as what it expects.
#[must_use]
pub fn answered(case: &Case, ran: &Ran) -> Case {
    let mut case = case.clone();
    for (call, answered) in case.calls.iter_mut().zip(&ran.calls) {
        if call.pass.is_some() || call.down.is_some() {
            call.timers = fired(&call.timers, answered);
        }
        for (timer, ended) in call.timers.iter_mut().zip(&answered.timers) {
            timer.expect = Some(observed(ended));
        }
        for (message, ended) in call.messages.iter_mut().zip(&answered.messages) {
            message.expect = Some(observed(ended));
        }
        call.state = states(answered);
        call.set = set(answered);
    }
    case
}

/// The timers that came while time passed, with what else was said of those that were expected.
fn fired(expected: &[DueTimer], answered: &RanCall) -> Vec<DueTimer> {
    let fired = answered.fired.iter().enumerate();
    let timer = |(at, fired): (usize, &Fired)| {
        let said = expected.get(at).filter(|it| (&it.name, &it.key) == (&fired.name, &fired.key));
        let (name, key) = (fired.name.clone(), fired.key.clone());
        let timer =
            said.cloned().unwrap_or(DueTimer { name, key, attempt: 1, ..DueTimer::default() });
        DueTimer { after: Some(span(fired.after)), ..timer }
    };
    fired.map(timer).collect()
}

/// A case's file, in TOML, with what is expected from `case`.
///
/// # Errors
/// A file that is written in a way that this can't follow.
pub fn toml(text: &str, case: &Case) -> Result<String, CaseError> {
    let mut edit = Edit {
        case,
        lines: Vec::new(),
        call: None,
        input: None,
        timers: 0,
        messages: 0,
        within: Within::Top,
        open: false,
        place: None,
    };
    for line in text.lines() {
        edit.line(line)?;
    }
    edit.end_call()?;
    while edit.lines.pop_if(|last| last.trim().is_empty()).is_some() {}
    let mut written = edit.lines.join("\n");
    written.push('\n');
    match Case::from_toml(&written) {
        Ok(read) if read == *case => Ok(written),
        _ => Err(CaseError(
            "it can't be rewritten: write calls, messages and state as [[call]], [[call.message]] \
             and [[call.state]], and `expect` as `expect = { … }`"
                .to_owned(),
        )),
    }
}

/// What the lines that are read belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// The case, or a call.
    Top,
    /// A message or a timer.
    Input,
    /// A value that is left out, whose brackets are open so deep.
    Left(usize),
    /// What is written anew: expectations and states.
    Dropped,
}

struct Edit<'c> {
    case: &'c Case,
    lines: Vec<String>,
    call: Option<usize>,
    /// What is expected of the input that is read.
    input: Option<&'c Expected>,
    /// How many of the call's were read.
    timers: usize,
    messages: usize,
    within: Within,
    /// The call's states aren't written yet.
    open: bool,
    /// Where the first of them was.
    place: Option<usize>,
}

impl<'c> Edit<'c> {
    fn line(&mut self, line: &str) -> Result<(), CaseError> {
        let bare = line.trim();
        if let Within::Left(depth) = self.within {
            let depth = depth.saturating_add_signed(opened(bare));
            self.within = if depth == 0 { Within::Input } else { Within::Left(depth) };
            return Ok(());
        }
        if let Some(header) = bare.strip_prefix('[') {
            return self.header(line, header.trim_start_matches('[').trim_start());
        }
        let is_expected = bare.starts_with("expect") && !bare.starts_with("expected");
        match self.within {
            Within::Input if is_expected => {
                if let Ok(depth @ 1..) = usize::try_from(opened(bare)) {
                    self.within = Within::Left(depth);
                }
            }
            // Comments are nobody's.
            Within::Dropped if !bare.starts_with('#') => {}
            _ => self.lines.push(line.to_owned()),
        }
        Ok(())
    }

    fn header(&mut self, line: &str, name: &str) -> Result<(), CaseError> {
        let name = name.split(']').next().unwrap_or_default().trim();
        let passes = self.current().is_some_and(|call| call.pass.is_some() || call.down.is_some());
        let dropped = ["call.state", "call.set"].contains(&name)
            || passes && (name == "call.timer" || name.starts_with("call.timer."))
            || name.starts_with("call.message.expect")
            || name.starts_with("call.timer.expect");
        if dropped {
            self.end_input()?;
            self.within = Within::Dropped;
            if !name.contains("expect") {
                self.place.get_or_insert(self.lines.len());
            }
            return Ok(());
        }
        let behind_dropped = self.within == Within::Dropped;
        match name {
            "call" => {
                self.end_call()?;
                self.call = Some(self.call.map_or(0, |at| at + 1));
                (self.timers, self.messages, self.place) = (0, 0, None);
                self.within = Within::Top;
                self.open = true;
            }
            "call.message" => {
                self.end_input()?;
                let message = self.current().and_then(|call| call.messages.get(self.messages));
                self.input = message.and_then(|message| message.expect.as_ref());
                self.messages += 1;
                self.within = Within::Input;
            }
            "call.timer" => {
                self.end_input()?;
                let timer = self.current().and_then(|call| call.timers.get(self.timers));
                self.input = timer.and_then(|timer| timer.expect.as_ref());
                self.timers += 1;
                self.within = Within::Input;
            }
            // A table of a message, `[call.message.headers]`: nothing of the message can follow it.
            _ if name.starts_with("call.message.") || name.starts_with("call.timer.") => {
                self.end_input()?;
                self.within = Within::Top;
            }
            _ => {
                self.end_call()?;
                self.within = Within::Top;
            }
        }
        if behind_dropped && self.lines.last().is_some_and(|last| !last.is_empty()) {
            self.lines.push(String::new());
        }
        self.lines.push(line.to_owned());
        Ok(())
    }

    fn current(&self) -> Option<&'c Call> {
        self.case.calls.get(self.call?)
    }

    /// Writes what is expected of the input that ends here, below its last line.
    fn end_input(&mut self) -> Result<(), CaseError> {
        if let (Within::Input, Some(expected)) = (self.within, self.input.take()) {
            let line = format!("expect = {}", inline(expected)?);
            let at = self.end_of_values();
            self.lines.insert(at, line);
            self.within = Within::Top;
        }
        Ok(())
    }

    /// Writes the states and timers that are expected after the call that ends here.
    fn end_call(&mut self) -> Result<(), CaseError> {
        self.end_input()?;
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        let mut at = self.place.take().unwrap_or_else(|| self.end_of_values());
        // Where time passes, timers are what is expected, as states are.
        let passes = |call: &&Call| call.pass.is_some() || call.down.is_some();
        for timer in self.current().filter(passes).into_iter().flat_map(|call| &call.timers) {
            let fields = toml::Table::try_from(timer)
                .map_err(|error| CaseError(format!("it can't be rewritten: {error}")))?;
            let mut block = vec!["[[call.timer]]".to_owned()];
            block.extend(fields.iter().map(|(name, value)| format!("{name} = {value}")));
            self.insert(&mut at, block);
        }
        for state in self.current().into_iter().flat_map(|call| &call.state) {
            let mut block =
                vec!["[[call.state]]".to_owned(), format!("key = {}", inline(&state.key)?)];
            if let Some(value) = &state.value {
                block.push(format!("value = {}", inline(value)?));
            }
            self.insert(&mut at, block);
        }
        for timer in self.current().into_iter().flat_map(|call| &call.set) {
            let mut block = vec![
                "[[call.set]]".to_owned(),
                format!("key = {}", inline(&timer.key)?),
                format!("name = {}", inline(&timer.name)?),
            ];
            if let Some(after) = &timer.after {
                block.push(format!("after = {}", inline(after)?));
            }
            self.insert(&mut at, block);
        }
        Ok(())
    }

    fn insert(&mut self, at: &mut usize, block: Vec<String>) {
        let before = at.checked_sub(1).and_then(|before| self.lines.get(before));
        let apart = before.is_some_and(|line| !line.is_empty() && !line.starts_with('#'));
        for line in apart.then(String::new).into_iter().chain(block) {
            self.lines.insert(*at, line);
            *at += 1;
        }
    }

    /// Where the last line is that is neither blank nor a comment, and behind it.
    fn end_of_values(&self) -> usize {
        let is_value = |line: &String| !line.trim().is_empty() && !line.trim().starts_with('#');
        self.lines.iter().rposition(is_value).map_or(self.lines.len(), |at| at + 1)
    }
}

/// Brackets that a line opens more than it closes, those in quotes apart.
fn opened(line: &str) -> isize {
    let (mut open, mut quote, mut escaped) = (0, None, false);
    for c in line.chars() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', Some('"')) => escaped = true,
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('#', None) => break,
            ('{' | '[', None) => open += 1,
            ('}' | ']', None) => open -= 1,
            _ => {}
        }
    }
    open
}

/// A value on one line.
fn inline<T: Serialize>(value: &T) -> Result<String, CaseError> {
    let value = toml::Value::try_from(value)
        .map_err(|error| CaseError(format!("it can't be rewritten: {error}")))?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests;
