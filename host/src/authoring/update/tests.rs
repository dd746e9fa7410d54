#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::authoring::case::{Content, Emitted, Expected, KeyState, Verdict};

#[test]
fn what_is_expected_is_rewritten_and_the_rest_stays() {
    let text = "# my case\nconfig = { limit = 1 } # as on site\n\n[[call]]\n# the first\n\
                [[call.message]]\nkey = \"a\"\nbody.json = { n = 1 } # one\nexpect.verdict = \"next\"\n";
    let mut case = Case::from_toml(text).unwrap();
    case.calls[0].messages[0].expect = Some(Expected {
        verdict: Verdict::Reject,
        code: Some("odd".into()),
        text: Some("it is \"odd\"".into()),
        emissions: vec![Emitted {
            output: "o".into(),
            body: Some(Content::Json(json!({ "x": [1, 2.5] }))),
            ..Emitted::default()
        }],
        ..Expected::default()
    });
    let state = KeyState { key: "a".into(), value: Some(Content::Msgpack(json!([3]))) };
    case.calls[0].state = vec![state, KeyState { key: "b".into(), value: None }];
    let written = toml(text, &case).unwrap();
    for kept in ["# my case", "# as on site", "# the first", "body.json = { n = 1 } # one"] {
        assert!(written.contains(kept), "{written}");
    }
    assert_eq!(Case::from_toml(&written).unwrap(), case, "{written}");
    assert_eq!(toml(&written, &case).unwrap(), written);
}

#[test]
fn every_way_of_writing_an_expectation_is_replaced_once() {
    let text = "[[call]]\n[[call.timer]]\nkey = \"a\"\nname = \"t\"\nexpect = { verdict = \"next\", emit = [\n  \
                { output = \"#]\" },\n] }\n\n[[call.message]]\n[call.message.expect]\nverdict = \"next\"\n\
                [[call.message.expect.emit]]\noutput = \"o\"\n\n[[call.message]]\nheaders = { a = 1 }\n\n\
                # what it leaves\n[[call.state]]\nkey = \"a\"\nvalue.msgpack = [1]\n\n[[call.set]]\n\
                key = \"a\"\nname = \"t\"\nafter = \"5m\"\n\n[[call]]\n[[call.message]]\n";
    let mut case = Case::from_toml(text).unwrap();
    let done = || Some(Expected { verdict: Verdict::Done, ..Expected::default() });
    case.calls[0].timers[0].expect = done();
    for call in &mut case.calls {
        call.messages.iter_mut().for_each(|message| message.expect = done());
    }
    case.calls[0].set[0].after = None;
    let written = toml(text, &case).unwrap();
    assert_eq!(written.matches("expect = { verdict = \"done\" }").count(), 4, "{written}");
    assert!(written.contains("# what it leaves\n[[call.state]]\nkey = \"a\"\n"), "{written}");
    assert!(written.contains("name = \"t\"\n\n[[call]]"), "{written}");
    assert_eq!(toml(&written, &case).unwrap(), written);
}

#[test]
fn a_file_that_cannot_be_followed_is_left_alone() {
    let text = "call = [{ message = [{ key = \"a\" }] }]\n";
    let mut case = Case::from_toml(text).unwrap();
    case.calls[0].messages[0].expect = Some(Expected::default());
    assert!(toml(text, &case).unwrap_err().to_string().contains("[[call.message]]"));
}
