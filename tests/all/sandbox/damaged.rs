//! Components whose bytes were turned: refused with words or run in the sandbox, never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sluicegate::builtin;

use super::wasm::{MEMORIES, component, function, section};
use crate::guests::{generous, load};

/// All of a component's first bytes are turned, and so many of the others.
const HEAD: usize = 300;
const OTHERS: usize = 100;

/// One that is taken as it is, with an empty config.
fn sound() -> (&'static str, Vec<u8>) {
    let carried = builtin::names().filter_map(|name| Some((name, builtin::plugin(name)?.to_vec())));
    let taken = |(_, wasm): &(&str, Vec<u8>)| load(wasm, &[0x80], &generous()).is_ok();
    carried.into_iter().find(taken).expect("a built-in plugin that needs no config")
}

#[test]
fn no_turned_byte_of_a_component_makes_the_host_fall() {
    let (name, whole) = sound();
    let mut chance = fastrand::Rng::with_seed(0x5eed);
    let others = (0..OTHERS).map(|_| chance.usize(HEAD..whole.len())).collect::<Vec<_>>();
    let (mut refused, mut taken) = (0, 0);
    for at in (0..HEAD).chain(others) {
        let mut turned = whole.clone();
        turned[at] ^= 1 << chance.u8(0..8);
        // Whether it is refused or taken, the host says so and goes on.
        match catch_unwind(AssertUnwindSafe(|| load(&turned, &[0x80], &generous()))) {
            Ok(Ok(_)) => taken += 1,
            Ok(Err(why)) => {
                assert!(!why.is_empty());
                refused += 1;
            }
            Err(_) => panic!("byte {at} of {name} makes the host panic"),
        }
    }
    println!("{name}, {} bytes: {refused} refused, {taken} taken", whole.len());
    assert!(refused > HEAD / 2 && taken > 0, "{refused} refused, {taken} taken");
}

#[test]
fn no_cut_of_a_component_makes_the_host_fall() {
    let (_, whole) = sound();
    let step = whole.len() / 100;
    for end in (0..whole.len()).step_by(step) {
        let cut = catch_unwind(AssertUnwindSafe(|| load(&whole[..end], &[0x80], &generous())));
        let told = cut.unwrap_or_else(|_| panic!("cut at {end} the host panics"));
        assert!(told.is_err(), "cut at {end} it is taken");
    }
}

/// The smallest component that holds code: one core module of one function and one memory.
fn smallest() -> Vec<u8> {
    let [types, functions, code] = function(&[], 0, &[]);
    component(&[types, functions, section(MEMORIES, &[1, 0, 1]), code])
}

#[test]
fn every_bit_of_a_small_component_may_turn() {
    let whole = smallest();
    let told = load(&whole, b"", &generous()).expect_err("it is no plugin");
    assert!(told.contains("another world"), "{told}");
    let mut reasons = std::collections::BTreeMap::new();
    for bit in 0..whole.len() * 8 {
        let mut turned = whole.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        let told = catch_unwind(AssertUnwindSafe(|| load(&turned, b"", &generous())));
        let told = told.unwrap_or_else(|_| panic!("bit {bit} makes the host panic"));
        let why = told.expect_err("it is no plugin still");
        let kind = why.split([':', ';', '(']).nth(1).unwrap_or_default().trim().to_owned();
        *reasons.entry(kind).or_insert(0) += 1;
    }
    println!("{} bits: {reasons:?}", whole.len() * 8);
    assert!(reasons.len() > 2, "{reasons:?}");
}
