//! Answers that keep the contract are taken over; each way to break it is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::message::Properties;
use crate::plugin::{StateChange, TimerChange};

fn limits() -> PluginLimits {
    PluginLimits {
        emissions: 2,
        emission_bytes: 1024,
        output_bytes: 4096,
        state_bytes: 8,
        ..PluginLimits::default()
    }
}

/// An answer under construction: a header, then tables as they are added.
struct Draft {
    arena: Vec<u8>,
    index: Vec<u32>,
    reasons: Vec<guest::Reason>,
}

impl Draft {
    fn new() -> Self {
        let mut index = vec![0; 16];
        index[0] = 1;
        Self { arena: b"hello output key abcdefghi".to_vec(), index, reasons: Vec::new() }
    }

    fn table(mut self, header: usize, size: u32, words: &[u32]) -> Self {
        self.index[header] = u32::try_from(self.index.len()).unwrap();
        self.index[header + 1] = u32::try_from(words.len()).unwrap() / size;
        self.index[header + 2] = size;
        self.index.extend_from_slice(words);
        self
    }

    fn verdicts(self, words: &[u32]) -> Self {
        self.table(1, 2, words)
    }

    fn reason(mut self, code: &str, text: &str) -> Self {
        self.reasons.push(guest::Reason {
            code: code.to_owned(),
            text: text.to_owned(),
            after_ms: Some(250),
        });
        self
    }

    fn decode(self, messages: usize, slots: usize) -> Result<Decisions, Broken> {
        let properties = Properties::default();
        let inputs: Vec<Input<'_>> = (0..messages).map(|_| input(&properties)).collect();
        self.decode_for(&inputs, slots)
    }

    fn decode_for(self, inputs: &[Input<'_>], slots: usize) -> Result<Decisions, Broken> {
        let answer =
            guest::Decisions { arena: self.arena, index: self.index, reasons: self.reasons };
        decode(answer, Expected { inputs, slots, now_us: NOW_US, limits: &limits() })
    }

    #[track_caller]
    fn refused(self, messages: usize, slots: usize, why: &str) {
        let error = self.decode(messages, slots).unwrap_err();
        assert!(error.0.contains(why), "'{}' doesn't say '{why}'", error.0);
    }
}

const NOW_US: u64 = 1_000_000;

fn input(properties: &Properties) -> Input<'_> {
    Input {
        exchange: "",
        routing_key: "due",
        key: Some("k"),
        properties,
        body: b"",
        attempt: 1,
        seed: [0; 16],
        slot: Some(0),
        row: None,
        due_us: None,
    }
}

const OUTPUT: [u32; 2] = [6, 6];
const ABSENT: [u32; 2] = [NONE, 0];

fn emission(message: u32, spans: [[u32; 2]; 4]) -> Vec<u32> {
    std::iter::once(message).chain(spans.into_iter().flatten()).collect()
}

fn plain(message: u32) -> Vec<u32> {
    emission(message, [OUTPUT, ABSENT, ABSENT, ABSENT])
}

#[test]
fn every_verdict_is_read() {
    let verdicts = [0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0];
    let decisions = Draft::new()
        .verdicts(&verdicts)
        .table(4, 6, &[0, 5, 13, 3, NONE, 0])
        .reason("code", "text")
        .decode(6, 0)
        .unwrap();
    let verdicts: Vec<_> = decisions.messages.into_iter().map(|d| d.verdict).collect();
    let replaced = Replacement {
        body: Some(Bytes::from_static(b"hello")),
        content_type: Some("key".to_owned()),
        headers: None,
    };
    let (code, text) = ("code".to_owned(), "text".to_owned());
    let after = Some(Duration::from_millis(250));
    assert_eq!(
        verdicts,
        [
            Verdict::Next(None),
            Verdict::Next(Some(replaced.into())),
            Verdict::Done,
            Verdict::Drop { reason: text.clone() },
            Verdict::Retry { code: code.clone(), text: text.clone(), after },
            Verdict::Reject { code, text },
        ]
    );
}

#[test]
fn emissions_go_to_their_messages() {
    let mut words = emission(1, [OUTPUT, [13, 3], ABSENT, [0, 5]]);
    words.extend(plain(1));
    let decisions = Draft::new().verdicts(&[2, 0, 2, 0]).table(7, 9, &words).decode(2, 0).unwrap();
    assert_eq!(decisions.messages[0].emissions, []);
    let [first, second] = &decisions.messages[1].emissions[..] else { panic!("two") };
    assert_eq!(first.output, "output");
    assert_eq!(first.routing_key.as_deref(), Some("key"));
    assert_eq!(first.body.as_deref(), Some(&b"hello"[..]));
    assert_eq!((second.routing_key.as_deref(), second.body.as_deref()), (None, None));
}

#[test]
fn state_is_set_cleared_or_kept() {
    let decisions = Draft::new()
        .verdicts(&[2, 0])
        .table(10, 3, &[0, NONE, 0, 1, 17, 8, 2, NONE, 0])
        .decode(1, 3)
        .unwrap();
    let set = StateChange::Set(Bytes::from_static(b"abcdefgh"));
    assert_eq!(decisions.states, [StateChange::Unchanged, set, StateChange::Cleared]);
}

#[test]
fn records_may_be_wider_than_this_host_knows() {
    let decisions = Draft::new().table(1, 3, &[2, 0, 77, 0, 0, 77]).decode(2, 0).unwrap();
    assert_eq!(decisions.messages[0].verdict, Verdict::Done);
}

#[test]
fn timers_are_set_and_cancelled_in_order() {
    let late = u32::try_from(NOW_US).unwrap();
    let words = [0, 13, 3, 2 * late, 0, 1, 13, 3, NONE, NONE, 1, 0, 5, 3, 0];
    let decisions = Draft::new().verdicts(&[2, 0, 0, 0]).table(13, 5, &words).decode(2, 0).unwrap();
    let change = |input, name: &str, due_us| TimerChange { input, name: name.to_owned(), due_us };
    let soonest = NOW_US + 10_000;
    let expected = [
        change(0, "key", Some(2 * NOW_US)),
        change(1, "key", None),
        change(1, "hello", Some(soonest)),
    ];
    assert_eq!(decisions.timers, expected);
}

#[test]
fn each_way_to_set_a_timer_wrongly_is_named() {
    let refused = |verdicts: &[u32], words: &[u32], why| {
        let draft = Draft::new().reason("code", "text").verdicts(verdicts).table(13, 5, words);
        draft.refused(verdicts.len() / 2, 0, why);
    };
    refused(&[2, 0], &[1, 13, 3, 0, 0], "timer 0: it is for message 1 of a batch of 1");
    refused(&[5, 0], &[0, 13, 3, 0, 0], "retried or rejected");
    refused(&[2, 0], &[0, NONE, 0, 0, 0], "it has no name");
    refused(&[2, 0], &[0, 13, 0, 0, 0], "it has no name");
    refused(&[2, 0], &[0, 20, 9, 0, 0], "name of 9 bytes at 20 leaves the arena");
    refused(&[2, 0], &[0, 13, 3, NONE, 1 << 20], "due in more than 3653 days");
    refused(&[2, 0, 2, 0], &[1, 13, 3, 0, 0, 0, 13, 3, 0, 0], "in the order");
    refused(&[2, 0], &[0, 13, 3, 0, 0].repeat(65), "more than 64 timers");
    let mut long = Draft::new();
    long.arena = vec![b'n'; 129];
    long.verdicts(&[2, 0]).table(13, 5, &[0, 0, 129, 0, 0]).refused(1, 0, "a name of 129 bytes");
    let properties = Properties::default();
    let keyless = [Input { slot: None, ..input(&properties) }];
    let draft = Draft::new().verdicts(&[2, 0]).table(13, 5, &[0, 13, 3, 0, 0]);
    let error = draft.decode_for(&keyless, 0).unwrap_err();
    assert!(error.0.contains("has no state slot"), "{error:?}");
}

#[test]
fn a_due_timer_has_no_next_stage() {
    let properties = Properties::default();
    let timer = [Input { due_us: Some(5), ..input(&properties) }];
    let error = Draft::new().verdicts(&[0, 0]).decode_for(&timer, 0).unwrap_err();
    assert!(error.0.contains("verdict of timer 'due': next"), "{error:?}");
    assert!(Draft::new().verdicts(&[2, 0]).decode_for(&timer, 0).is_ok());
}

#[test]
fn each_way_to_break_the_contract_is_named() {
    let d = Draft::new;
    d().refused(1, 0, "0 verdicts for 1 messages");
    d().verdicts(&[2, 0, 2, 0]).refused(1, 0, "2 verdicts for 1 messages");
    d().verdicts(&[6, 0]).refused(1, 0, "verdict of message 0: verdict 6");
    d().verdicts(&[1, 0]).refused(1, 0, "replacement 0 where there are 0");
    d().verdicts(&[5, 3]).refused(1, 0, "reason 3 where there are 0");
    d().verdicts(&[5, 0]).reason("", "x").refused(1, 0, "no code");
    d().verdicts(&[5, 0]).reason(&"c".repeat(256), "x").refused(1, 0, "code of 256 bytes");
    d().table(1, 1, &[2]).refused(1, 0, "verdicts of 1 words");
    let out = |spans| d().verdicts(&[2, 0]).table(7, 9, &emission(0, spans));
    out([ABSENT, ABSENT, ABSENT, ABSENT]).refused(1, 0, "names no output");
    out([[6, 0], ABSENT, ABSENT, ABSENT]).refused(1, 0, "names no output");
    out([OUTPUT, ABSENT, ABSENT, [20, 7]]).refused(1, 0, "body of 7 bytes at 20 leaves the arena");
    out([OUTPUT, ABSENT, ABSENT, [u32::MAX - 1, u32::MAX]]).refused(1, 0, "leaves the arena");
    d().verdicts(&[2, 0]).table(7, 9, &plain(1)).refused(1, 0, "message 1 of a batch of 1");
    d().verdicts(&[5, 0]).reason("code", "text").table(7, 9, &plain(0)).refused(
        1,
        0,
        "which is retried or rejected",
    );
    let disordered = [plain(1), plain(0)].concat();
    d().verdicts(&[2, 0, 2, 0]).table(7, 9, &disordered).refused(2, 0, "in the order");
    let three = [plain(0), plain(0), plain(0)].concat();
    d().verdicts(&[2, 0]).table(7, 9, &three).refused(1, 0, "more than 2 emissions");
    let mut large = Draft::new().verdicts(&[2, 0]);
    large.arena.resize(2048, b'x');
    let emitted = emission(0, [OUTPUT, ABSENT, ABSENT, [0, 1019]]);
    large.table(7, 9, &emitted).refused(1, 0, "emits 1025 bytes where 1024 are allowed");
    d().verdicts(&[2, 0]).refused(1, 1, "0 state slots where the batch has 1");
    d().verdicts(&[2, 0]).table(10, 3, &[1, 17, 9]).refused(1, 1, "a state of 9 bytes");
    d().verdicts(&[2, 0]).table(10, 3, &[1, NONE, 0]).refused(1, 1, "set, to nothing");
    d().verdicts(&[2, 0]).table(10, 3, &[3, 0, 0]).refused(1, 1, "change 3");
}

#[test]
fn an_index_that_is_cut_off_or_of_another_version_is_refused() {
    let mut draft = Draft::new();
    draft.index.clear();
    draft.refused(0, 0, "the index is empty");
    let mut draft = Draft::new();
    draft.index.truncate(15);
    draft.refused(0, 0, "an index of 15 words");
    let mut draft = Draft::new();
    draft.index[0] = 2;
    draft.refused(0, 0, "layout version 2");
    let mut draft = Draft::new();
    draft.index[1..4].copy_from_slice(&[u32::MAX; 3]);
    draft.refused(0, 0, "leave the index");
}

#[test]
fn names_that_amqp_cannot_carry_are_refused() {
    let mut draft = Draft::new();
    draft.arena = vec![b'k'; 300];
    let long = emission(0, [[0, 1], [0, 256], ABSENT, ABSENT]);
    draft.verdicts(&[2, 0]).table(7, 9, &long).refused(1, 0, "routing key of 256 bytes");
    let mut draft = Draft::new();
    draft.arena = vec![0xff; 3];
    let wild = emission(0, [[0, 3], ABSENT, ABSENT, ABSENT]);
    draft.verdicts(&[2, 0]).table(7, 9, &wild).refused(1, 0, "isn't UTF-8");
    let mut draft = Draft::new();
    draft.arena = b"output\x01\x00\x04soon".to_vec();
    let expires = emission(0, [[0, 6], ABSENT, [6, 7], ABSENT]);
    draft.verdicts(&[2, 0]).table(7, 9, &expires).refused(1, 0, "expiration 'soon'");
}

#[test]
fn an_answer_past_its_size_is_refused() {
    let mut draft = Draft::new();
    draft.arena = vec![0; 5000];
    draft.verdicts(&[2, 0]).refused(1, 0, "where 4096 are allowed");
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let decisions =
        Draft::new().verdicts(&[3, 0]).reason("", &"ä".repeat(600)).decode(1, 0).unwrap();
    let Verdict::Drop { reason } = &decisions.messages[0].verdict else { panic!("drop") };
    assert_eq!(reason.len(), limits::FAILURE_TEXT_BYTES);
}

proptest! {
    #[test]
    fn no_answer_makes_the_decoder_panic(
        arena in prop::collection::vec(any::<u8>(), 0..64),
        tail in prop::collection::vec(prop_oneof![0u32..40, any::<u32>()], 0..64),
        version in prop_oneof![9 => Just(1u32), 1 => any::<u32>()],
        messages in 0usize..4,
        slots in 0usize..3,
    ) {
        let mut index = vec![version];
        index.extend(tail);
        let reasons = vec![guest::Reason { code: "c".into(), text: "t".into(), after_ms: None }];
        let answer = guest::Decisions { arena, index, reasons };
        let limits = limits();
        let properties = Properties::default();
        let inputs: Vec<Input<'_>> = (0..messages)
            .map(|at| Input { due_us: (at == 2).then_some(5), ..input(&properties) })
            .collect();
        let expected = Expected { inputs: &inputs, slots, now_us: NOW_US, limits: &limits };
        let read = decode(answer, expected);
        if let Ok(decisions) = read {
            prop_assert_eq!(decisions.messages.len(), messages);
            prop_assert_eq!(decisions.states.len(), slots);
            for change in &decisions.timers {
                prop_assert!(change.input < messages && !change.name.is_empty());
            }
        }
    }
}
