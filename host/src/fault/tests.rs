#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::plan::Fault;

fn strikes(fault: &str, passings: &[&[&[u8]]]) -> Vec<bool> {
    let fault: Fault = fault.parse().unwrap();
    passings.iter().map(|bodies| fault.strikes(bodies)).collect()
}

#[test]
fn a_fault_strikes_where_all_its_conditions_hold() {
    let (innocent, poison): (&[&[u8]], &[&[u8]]) = (&[b"good"], &[b"good", b"a poison pill"]);
    assert_eq!(strikes("pre-run:abort", &[innocent]), [true]);
    assert_eq!(
        strikes("pre-run:abort:body~poison", &[innocent, poison, poison]),
        [false, true, true]
    );
    let second = strikes("pre-ack:stall:body~poison:after=2", &[poison, innocent, poison, poison]);
    assert_eq!(second, [false, false, true, false]);
}

#[test]
fn the_same_seed_strikes_the_same_passings() {
    let nothing: &[&[u8]] = &[];
    let passings = vec![nothing; 1000];
    let once = strikes("post-run:exit:chance=0.1:seed=7", &passings);
    assert_eq!(once, strikes("post-run:exit:chance=0.1:seed=7", &passings));
    let struck = once.iter().filter(|struck| **struck).count();
    assert!((50..200).contains(&struck), "{struck}");
}

#[test]
fn what_is_no_fault_is_refused() {
    for wrong in [
        "",
        "mid-run:abort",
        "pre-run",
        "pre-run:explode",
        "pre-run:abort:body",
        "pre-run:abort:after=soon",
        "pre-run:abort:body~",
        "pre-run:abort:chance=often",
    ] {
        assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
    }
}
