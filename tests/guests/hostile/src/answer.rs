//! An answer that keeps the contract, until somebody spoils it.

use crate::NONE;
use crate::exports::sluicegate::plugin::guest::{Batch, Decisions, Reason};

pub struct Answer {
    pub messages: u32,
    pub arena: Vec<u8>,
    pub verdicts: Vec<[u32; 2]>,
    pub replacements: Vec<[u32; 6]>,
    pub emissions: Vec<[u32; 9]>,
    pub states: Vec<[u32; 3]>,
    pub timers: Vec<[u32; 5]>,
    pub reasons: Vec<Reason>,
}

impl Answer {
    /// `done` for each message, no state changed.
    pub fn new(batch: &Batch) -> Self {
        let (messages, slots) = (batch.index[2], batch.index[5]);
        Self {
            messages,
            arena: Vec::new(),
            verdicts: vec![[2, 0]; messages as usize],
            replacements: Vec::new(),
            emissions: Vec::new(),
            states: vec![[0, NONE, 0]; slots as usize],
            timers: Vec::new(),
            reasons: Vec::new(),
        }
    }

    pub fn span(&mut self, bytes: &[u8]) -> [u32; 2] {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(bytes);
        [start, bytes.len() as u32]
    }

    /// On to the next stage with that body.
    pub fn next(&mut self, at: u32, body: &[u8]) {
        let [start, length] = self.span(body);
        self.verdicts[at as usize] = [1, self.replacements.len() as u32];
        self.replacements.push([start, length, NONE, 0, NONE, 0]);
    }

    /// A mebibyte, which is given back only after the host has read it.
    pub fn large(&mut self, at: u32) {
        self.arena = Vec::with_capacity(1 << 20);
        self.arena.resize(1 << 20, b'l');
        self.verdicts[at as usize] = [1, self.replacements.len() as u32];
        self.replacements.push([0, 1 << 20, NONE, 0, NONE, 0]);
    }

    /// Emits the message's own names and properties, to the output `echo`.
    pub fn echo(&mut self, at: u32, exchange: &[u8], routing_key: &[u8], properties: &[u8]) {
        let output = self.span(b"echo");
        let key = self.span(routing_key);
        let properties = self.span(properties);
        let body = self.span(exchange);
        let mut words = [at, 0, 0, 0, 0, 0, 0, 0, 0];
        for (place, word) in words[1..].iter_mut().zip([output, key, properties, body].concat()) {
            *place = word;
        }
        self.emissions.push(words);
    }

    /// Asks for a retry, and says which attempt this was, when, and what it saw of exchange, routing
    /// key and properties.
    pub fn retry(&mut self, at: u32, attempt: u32, now_us: u64, seen: [&[u8]; 3]) {
        let [exchange, key] = [seen[0], seen[1]].map(String::from_utf8_lossy);
        let properties: String = seen[2].iter().map(|byte| format!("{byte:02x}")).collect();
        self.verdicts[at as usize] = [4, self.reasons.len() as u32];
        self.reasons.push(Reason {
            code: "told_to".to_owned(),
            text: format!("{attempt} {now_us} {exchange} {key} {properties}"),
            after_ms: None,
        });
    }

    /// Makes the key's state one byte longer.
    pub fn count(&mut self, at: u32, slot: u32, batch: &Batch) {
        let record = &batch.index[(batch.index[4] + slot * 4) as usize..];
        let mut state = match record[0] {
            NONE => Vec::new(),
            start => batch.arena[start as usize..(start + record[1]) as usize].to_vec(),
        };
        state.push(b'+');
        let [start, length] = self.span(&state);
        self.states[slot as usize] = [1, start, length];
        self.next(at, format!("{}", state.len()).as_bytes());
    }

    /// Sets a timer of a message's key to a time.
    pub fn timer(&mut self, at: u32, name: &[u8], due_us: u64) {
        let [start, length] = self.span(name);
        self.timers.push([at, start, length, due_us as u32, (due_us >> 32) as u32]);
    }

    pub fn finish(self) -> Decisions {
        let mut index = vec![0; 16];
        index[0] = 1;
        let mut table = |header: usize, size: usize, words: &[u32]| {
            index[header] = index.len() as u32;
            index[header + 1] = (words.len() / size) as u32;
            index[header + 2] = size as u32;
            index.extend_from_slice(words);
        };
        table(1, 2, self.verdicts.as_flattened());
        table(4, 6, self.replacements.as_flattened());
        table(7, 9, self.emissions.as_flattened());
        table(10, 3, self.states.as_flattened());
        table(13, 5, self.timers.as_flattened());
        Decisions { arena: self.arena, index, reasons: self.reasons }
    }
}
