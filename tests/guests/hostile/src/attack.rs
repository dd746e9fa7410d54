//! The ways to misbehave, each by its name.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::hint::black_box;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::NONE;
use crate::answer::Answer;
use crate::exports::sluicegate::plugin::guest::{Decisions, Reason};
use crate::sluicegate::plugin::log;

/// Does what the command says; unknown ones do nothing.
pub fn run(command: &str) {
    match command {
        "panic" => panic!("boom, as told"),
        "trap" => core::arch::wasm32::unreachable(),
        "exit" => std::process::exit(1),
        "loop" => loop {
            black_box(());
        },
        "hog" => hog(),
        "recurse" => drop(black_box(recurse(1))),
        "sleep" => std::thread::sleep(Duration::from_millis(1)),
        "stdin" => drop(std::io::stdin().read(&mut [0; 8])),
        "chatter" => chatter(),
        "bellow" => bellow(),
        "leak" => leak(8),
        "wait" => wait(),
        "set alloc" => ALLOC_TRAPS.store(true, Ordering::Relaxed),
        "set free" => FREE_TRAPS.store(true, Ordering::Relaxed),
        "shout" => log::write(log::Level::Info, NONE, &"x".repeat(20 << 20)),
        _ => {}
    }
}

/// Takes about a millisecond of a processor.
pub fn work() {
    for n in 0..1_000_000 {
        black_box(n);
    }
}

/// Eats memory until there is none.
fn hog() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Keeps so many mebibytes for ever.
fn leak(mebibytes: usize) {
    Box::leak(black_box(vec![1u8; mebibytes << 20]).into_boxed_slice());
}

/// Says things without end.
fn bellow() -> ! {
    loop {
        println!("{}", "so much to say ".repeat(50));
    }
}

/// Waits for what nobody will ever do.
fn wait() {
    let (lock, bell) = (std::sync::Mutex::new(()), std::sync::Condvar::new());
    if let Ok(held) = lock.lock() {
        drop(bell.wait_timeout(held, Duration::from_secs(1)));
    }
}

/// Calls that this instance has answered: what a pure function can't know.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Answers that differ from one instance to the next.
pub fn impure(how: &str) -> String {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    match how {
        "counter" => calls.to_string(),
        // Made here, from a seed that goes on from call to call.
        "random" => calls.wrapping_mul(0x9e37_79b9).rotate_left(13).to_string(),
        // `RandomState` counts its maps, so the order depends on how many there were.
        _ => {
            let map: HashMap<u32, ()> = (0..32).map(|n| (n, ())).collect();
            format!("{:?}", map.into_keys().collect::<Vec<_>>())
        }
    }
}

/// Floating point that must have one answer on every machine: the bits of NaNs.
pub fn nan() -> String {
    let zero = black_box(0.0_f64);
    let odd = f64::from_bits(black_box(0x7ff8_dead_beef_0001));
    let found = [zero / zero, odd + 1.0, -odd * zero, f64::NAN.sqrt(), odd.max(zero) + odd];
    found.map(|number| format!("{:016x}", number.to_bits())).join(" ")
}

/// Instructions whose answer the standard leaves to the processor: an index past the lanes, a number that
/// isn't one made whole, and one that is too large.
#[target_feature(enable = "relaxed-simd")]
pub fn relaxed_simd() -> String {
    use core::arch::wasm32::{
        f32x4, i8x16, i8x16_extract_lane, i8x16_relaxed_swizzle, i8x16_splat, i32x4_extract_lane,
        i32x4_relaxed_trunc_f32x4,
    };
    let lanes = black_box(i8x16(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
    let past = i8x16_relaxed_swizzle(lanes, black_box(i8x16_splat(17)));
    let whole = i32x4_relaxed_trunc_f32x4(black_box(f32x4(f32::NAN, 1e30, -1e30, 1.5)));
    format!(
        "{} {} {} {} {}",
        i8x16_extract_lane::<0>(past),
        i32x4_extract_lane::<0>(whole),
        i32x4_extract_lane::<1>(whole),
        i32x4_extract_lane::<2>(whole),
        i32x4_extract_lane::<3>(whole),
    )
}

pub static ALLOC_TRAPS: AtomicBool = AtomicBool::new(false);
pub static FREE_TRAPS: AtomicBool = AtomicBool::new(false);

/// What counts as large to [`Allocator`].
const LARGE: usize = 900 << 10;

/// The system's, until it is told to trap where much is taken or given back: the host calls it through
/// `cabi_realloc`, and the function that runs after a call's results were read frees them.
pub struct Allocator;

unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGE && ALLOC_TRAPS.load(Ordering::Relaxed) {
            core::arch::wasm32::unreachable();
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if layout.size() > LARGE && FREE_TRAPS.load(Ordering::Relaxed) {
            core::arch::wasm32::unreachable();
        }
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { System.realloc(at, layout, size) }
    }
}

fn recurse(depth: u64) -> u64 {
    if black_box(depth) == 0 { 0 } else { black_box(recurse(depth + 1)) + 1 }
}

fn chatter() {
    for line in 0..1000 {
        log::write(log::Level::Info, 0, &format!("line {line}"));
        println!("stdout {line}");
        eprintln!("stderr {line}");
    }
}

/// All that a guest can see beside its batch.
pub fn look(now_us: u64) -> String {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_micros());
    let started = Instant::now();
    let order: Vec<u32> = (0..8).map(|n| (n, n)).collect::<HashMap<_, _>>().into_keys().collect();
    let arguments: Vec<String> = std::env::args().collect();
    let environment: Vec<_> = std::env::vars().collect();
    format!(
        "now {now_us} clock {clock:?} elapsed {:?} order {order:?} arguments {arguments:?} \
         environment {environment:?}",
        started.elapsed()
    )
}

/// Answers that break the contract, each in its own way.
pub fn malformed(mut answer: Answer, wrong: &str) -> Decisions {
    let output = answer.span(b"output");
    match wrong {
        "too few verdicts" => drop(answer.verdicts.pop()),
        "too many verdicts" => answer.verdicts.push([2, 0]),
        "unknown verdict" => answer.verdicts[0] = [9, 0],
        "no such reason" => answer.verdicts[0] = [5, 7],
        "body outside" => {
            answer.replacements.push([1 << 30, 1 << 30, NONE, 0, NONE, 0]);
            answer.verdicts[0] = [1, 0];
        }
        "ghost message" => {
            answer.emissions.push([99, output[0], output[1], NONE, 0, NONE, 0, NONE, 0]);
        }
        "emission of a rejected message" => {
            answer.verdicts[0] = [5, 0];
            answer.reasons.push(Reason {
                code: "code".to_owned(),
                text: "text".to_owned(),
                after_ms: None,
            });
            answer.emissions.push([0, output[0], output[1], NONE, 0, NONE, 0, NONE, 0]);
        }
        "output that isn't text" => {
            let [start, length] = answer.span(&[0xff, 0xfe]);
            answer.emissions.push([0, start, length, NONE, 0, NONE, 0, NONE, 0]);
        }
        "long routing key" => {
            let [start, length] = answer.span(&[b'k'; 256]);
            answer.emissions.push([0, output[0], output[1], start, length, NONE, 0, NONE, 0]);
        }
        "properties cut off" => {
            let [start, length] = answer.span(&[0x80, 0x00, 40, b'a']);
            answer.emissions.push([0, output[0], output[1], NONE, 0, start, length, NONE, 0]);
        }
        "too many emissions" => {
            let emission = [0, output[0], output[1], NONE, 0, NONE, 0, NONE, 0];
            answer.emissions = vec![emission; 1001];
        }
        "large state" => {
            let [start, length] = answer.span(&vec![0; 70 << 10]);
            answer.states[0] = [1, start, length];
        }
        "lengths of 2^32" => {
            answer.replacements.push([0, u32::MAX, NONE, 0, NONE, 0]);
            answer.verdicts[0] = [1, 0];
        }
        "counts of 2^32" => {
            let mut decisions = answer.finish();
            for header in [2, 5, 8, 11] {
                decisions.index[header] = u32::MAX;
            }
            return decisions;
        }
        "emits much" => {
            let [start, length] = answer.span(&vec![b'e'; 1 << 20]);
            let emission = [0, output[0], output[1], NONE, 0, NONE, 0, start, length];
            answer.emissions = vec![emission; 17];
        }
        "overlapping bodies" => {
            // Allowed, and costs the host nothing: every message shares one mebibyte.
            let [start, length] = answer.span(&vec![b'o'; 1 << 20]);
            answer.replacements.push([start, length, NONE, 0, NONE, 0]);
            answer.verdicts.fill([1, 0]);
        }
        "huge" => answer.arena = vec![0; 20 << 20],
        "ghost timer" => answer.timer(99, b"t", 1),
        "timer without a name" => answer.timer(0, b"", 1),
        "long name of a timer" => answer.timer(0, &[b'n'; 129], 1),
        "name that isn't text" => answer.timer(0, &[0xff], 1),
        "name outside" => answer.timers.push([0, 1 << 30, 1 << 30, 1, 0]),
        "too many timers" => {
            for n in 0..65 {
                answer.timer(0, format!("timer {n}").as_bytes(), 1);
            }
        }
        "timer in a thousand years" => answer.timer(0, b"t", 32_503_680_000_000_000),
        "timers of the past" => {
            answer.timer(0, b"in 1970", 0);
            answer.timer(0, b"cancelled", u64::MAX);
        }
        "timers out of order" => {
            answer.timer(1, b"t", 1);
            answer.timer(0, b"t", 1);
        }
        "timer of a rejected message" => {
            answer.verdicts[0] = [4, 0];
            answer.reasons.push(Reason {
                code: "code".to_owned(),
                text: "text".to_owned(),
                after_ms: None,
            });
            answer.timer(0, b"t", 1);
        }
        "timers outside" | "small timers" => {
            answer.timer(0, b"t", 1);
            let mut decisions = answer.finish();
            match wrong {
                "small timers" => decisions.index[15] = 4,
                _ => decisions.index[14] = u32::MAX,
            }
            return decisions;
        }
        "next" => answer.verdicts.fill([0, 0]),
        "empty" => return Decisions { arena: vec![], index: vec![], reasons: vec![] },
        "tables outside" => {
            let mut decisions = answer.finish();
            decisions.index[1..16].fill(u32::MAX);
            return decisions;
        }
        _ => {}
    }
    answer.finish()
}
