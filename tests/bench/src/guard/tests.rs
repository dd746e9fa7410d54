#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn figures(instructions: f64, allocations: f64) -> Figures {
    let cost = Cost { instructions, allocations };
    Figures { made_with: "a".to_owned(), message: BTreeMap::from([("pass".to_owned(), cost)]) }
}

#[test]
fn what_is_within_the_tolerance_passes() {
    let moved = figures(1000.0, 4.0).moved(&figures(1049.0, 4.1)).unwrap();
    assert_eq!(moved, []);
}

#[test]
fn what_got_dearer_is_told_and_what_got_cheaper_too() {
    let kept = figures(1000.0, 4.0);
    let told = |now: Figures| {
        let moved = kept.moved(&now).unwrap();
        moved.into_iter().map(|moved| moved.what).collect::<Vec<_>>()
    };
    assert_eq!(told(figures(1051.0, 4.0)), ["pass: instructions"]);
    assert_eq!(told(figures(900.0, 4.0)), ["pass: instructions"]);
    assert_eq!(told(figures(1000.0, 5.0)), ["pass: allocations"]);
}

#[test]
fn figures_of_another_compiler_are_not_compared() {
    let now = Figures { made_with: "b".to_owned(), ..figures(1000.0, 4.0) };
    let error = figures(1000.0, 4.0).moved(&now).unwrap_err().to_string();
    assert_eq!(error, "kept figures are of a, these of b");
}

#[test]
fn a_kind_of_message_that_has_no_figures_is_told() {
    let kept = Figures { message: BTreeMap::new(), ..figures(0.0, 0.0) };
    assert_eq!(kept.moved(&figures(1000.0, 4.0)).unwrap().len(), 2);
}

#[test]
fn the_kept_figures_can_be_read_and_are_complete() {
    let kept = Figures::read(&kept()).unwrap();
    let all: Vec<&str> = kept.message.keys().map(String::as_str).collect();
    assert_eq!(all, ["anomaly", "check-json", "pass", "route"]);
}
