//! Components whose bytes were turned: refused with words or run in the sandbox, never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sluicegate::builtin;

use crate::guests::{generous, load};

/// All of a component's first bytes are turned, and so many of the others.
const HEAD: usize = 400;
const OTHERS: usize = 200;

#[test]
fn no_turned_byte_of_a_component_makes_the_host_fall() {
    let name = builtin::names().next().expect("a built-in plugin");
    let whole = builtin::plugin(name).expect("its component").to_vec();
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
    assert!(refused > HEAD / 2, "{refused} refused, {taken} taken");
}

#[test]
fn no_cut_of_a_component_makes_the_host_fall() {
    let name = builtin::names().next().expect("a built-in plugin");
    let whole = builtin::plugin(name).expect("its component").to_vec();
    let step = whole.len() / 100;
    for end in (0..whole.len()).step_by(step) {
        let cut = catch_unwind(AssertUnwindSafe(|| load(&whole[..end], &[0x80], &generous())));
        let told = cut.unwrap_or_else(|_| panic!("cut at {end} the host panics"));
        assert!(told.is_err(), "cut at {end} it is taken");
    }
}

/// The smallest component that holds code: one core module of one function and one memory.
fn smallest(memory: &[u8]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend([1, 4, 1, 0x60, 0, 0]);
    module.extend([3, 2, 1, 0]);
    module.extend([5, u8::try_from(memory.len() + 1).expect("it is short"), 1]);
    module.extend(memory);
    module.extend([7, 5, 1, 1, b'f', 0, 0]);
    module.extend([10, 4, 1, 2, 0, 0x0b]);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend([1, u8::try_from(module.len()).expect("it is short")]);
    component.extend(module);
    component
}

#[test]
fn every_bit_of_a_small_component_may_turn() {
    let whole = smallest(&[0, 1]);
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

#[test]
fn shared_memory_is_refused_for_there_are_no_threads() {
    let told = load(&smallest(&[3, 1, 1]), b"", &generous()).expect_err("it is refused");
    assert!(told.contains("threads") || told.contains("shared"), "{told}");
}
